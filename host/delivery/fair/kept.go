package fair

import "math"

// kept are the events of which only the Seqs are in memory, and those of them that were read
// again and are not recorded.
type kept[T any] struct {
	ledger
	live int // entries that wait and are not skipped
	// owners is by the hash of an order key that has waiting entries: their group. All of them are
	// there. Two keys with the same hash only wait with each other.
	owners  map[uint32]owner
	starved []*group[T] // groups that have kept events and may have more open ones, the first that became so first
}

// owner is the group of a key's waiting entries, and their number; maxEntries for as many or
// more, which is not counted down.
type owner struct {
	group   Group
	entries uint16
}

const maxEntries = math.MaxUint16

// Live returns how many events are kept by their Seqs.
func (q *Queue[T]) Live() int {
	if q == nil {
		return 0
	}
	return q.kept.live
}

// Entries returns how many Seqs are in memory, also of events that the cursor may pass behind
// one that it may not.
func (q *Queue[T]) Entries() int { return q.kept.Len() }

// First returns the first Seq that the cursor may not pass, 0 for none and for a nil queue.
func (q *Queue[T]) First() uint64 {
	if q == nil {
		return 0
	}
	if q.kept.trim(); q.kept.Len() == 0 {
		return 0
	}
	return q.kept.seq(q.kept.begin)
}

// Has reports whether an event is kept by its Seq.
func (q *Queue[T]) Has(seq uint64) bool {
	if q == nil || q.kept.live == 0 {
		return false
	}
	i, found := q.kept.find(seq)
	return found && q.kept.status(i) == waits
}

// Behind reports whether an event has to be kept because earlier ones of its group or key are.
func (q *Queue[T]) Behind(n Group, lane uint64) bool {
	return q.groups[n].linked > 0 || q.owner(short(lane)) != nil
}

// BehindKey reports whether earlier events of a key are kept.
func (q *Queue[T]) BehindKey(lane uint64) bool { return q.owner(short(lane)) != nil }

// short returns the hash of a lane; 0 for no lane.
func short(lane uint64) uint32 {
	if lane == 0 {
		return 0
	}
	return max(1, uint32(lane>>32)^uint32(lane))
}

// owner returns the group that has the waiting entries of a key, nil for none.
func (q *Queue[T]) owner(lane uint32) *group[T] {
	o, found := q.kept.owners[lane]
	if !found {
		return nil
	}
	g := q.groups[o.group]
	if g == nil || g.linked == 0 { // there were so many that they were not counted
		delete(q.kept.owners, lane)
		return nil
	}
	return g
}

// Keep keeps an event by its Seq, which is above all others, in its group or in that of its
// key's events.
func (q *Queue[T]) Keep(n Group, lane, seq uint64) {
	g, key := q.groups[n], short(lane)
	if key != 0 {
		if o := q.owner(key); o != nil {
			q.release(g)
			g = o
		}
		if q.kept.owners == nil {
			q.kept.owners = make(map[uint32]owner)
		}
		q.kept.owners[key] = owner{g.number, uint16(min(maxEntries, int(q.kept.owners[key].entries)+1))}
	}
	i := q.kept.add(seq, key, g.number)
	if g.linked == 0 {
		g.first = i
	} else {
		q.kept.link(g.last, i)
	}
	g.last = i
	g.linked++
	q.kept.live++
	q.note(g)
}

// unlinkFirst removes the first entry of a group from it, and those behind it that are
// skipped: the first one is always one that waits.
func (q *Queue[T]) unlinkFirst(g *group[T]) {
	for again := true; again; again = g.linked > 0 && q.kept.status(g.first) == done {
		q.unlinkOne(g)
	}
	if q.kept.live == 0 {
		q.kept.owners = nil // a map does not shrink
	}
}

func (q *Queue[T]) unlinkOne(g *group[T]) {
	if lane := q.kept.lane(g.first); lane != 0 {
		switch o := q.kept.owners[lane]; {
		case o.entries == 1:
			delete(q.kept.owners, lane)
		case o.entries > 1 && o.entries < maxEntries:
			o.entries--
			q.kept.owners[lane] = o
		}
	}
	next, more := q.kept.next(g.first)
	if g.linked--; more {
		g.first = next
	}
}

// Skip forgets an event that is kept by its Seq: the cursor may pass it. It returns false when
// it is not.
func (q *Queue[T]) Skip(seq uint64) bool {
	if !q.Has(seq) {
		return false
	}
	i, _ := q.kept.find(seq)
	q.kept.setStatus(i, done)
	q.kept.live--
	if g := q.groups[q.kept.group(i)]; g.first == i {
		q.unlinkFirst(g)
		q.release(g)
	}
	return true
}

// Recorded notes that the cursor may pass an event.
func (q *Queue[T]) Recorded(seq uint64) {
	if q != nil && q.kept.Len() > 0 {
		q.recorded(seq)
	}
}

func (q *Queue[T]) recorded(seq uint64) {
	if i, found := q.kept.find(seq); found && q.kept.status(i) == taken {
		q.kept.setStatus(i, done)
	}
}

// note queues a group that has kept events and less than half of its share open.
func (q *Queue[T]) note(g *group[T]) {
	if !g.starved && !g.feeding && g.linked > 0 && g.counted() <= q.share()/2 {
		g.starved = true
		q.kept.starved = append(q.kept.starved, g)
	}
}

// Starved returns the first starved group for which fits is true, and which Seqs to read: from
// one on, at most limit. The caller takes its events and calls Fed.
func (q *Queue[T]) Starved(fits func(Group) bool, limit int) (n Group, from uint64, count int, ok bool) {
	for at := 0; at < len(q.kept.starved); at++ {
		g := q.kept.starved[at]
		if g.linked > 0 && !fits(g.number) {
			continue
		}
		q.kept.starved = append(q.kept.starved[:at], q.kept.starved[at+1:]...)
		g.starved = false
		if g.linked == 0 {
			q.release(g)
			at--
			continue
		}
		g.feeding = true
		last := g.first
		for range min(limit, q.share()) - 1 {
			next, more := q.kept.next(last)
			if !more {
				break
			}
			last = next
		}
		from = q.kept.seq(g.first)
		return g.number, from, int(min(uint64(limit), q.kept.seq(last)-from+1)), true
	}
	return 0, 0, 0, false
}

// IsStarved reports whether a group is starved.
func (q *Queue[T]) IsStarved() bool { return len(q.kept.starved) > 0 }

// Next returns the group of a kept event if it is the first one of its group.
func (q *Queue[T]) Next(seq uint64) (n Group, ok bool) {
	i, found := q.kept.find(seq)
	if !found || q.kept.status(i) != waits {
		return 0, false
	}
	g := q.groups[q.kept.group(i)]
	return g.number, g.first == i
}

// Take removes the first kept event of a group: it becomes an open entry. The cursor does not
// pass it before Recorded.
func (q *Queue[T]) Take(n Group) { q.remove(q.groups[n], taken) }

func (q *Queue[T]) remove(g *group[T], s status) {
	q.kept.setStatus(g.first, s)
	q.kept.live--
	q.unlinkFirst(g)
}

// Fed notes that the log was read for a starved group up to a Seq. there reports whether it
// has an event: kept events that it does not have any more are forgotten.
func (q *Queue[T]) Fed(n Group, to uint64, there func(seq uint64) bool) {
	g := q.groups[n]
	for g.linked > 0 {
		if seq := q.kept.seq(g.first); seq > to || there(seq) {
			break
		}
		q.remove(g, done)
	}
	g.feeding = false
	q.note(g)
	q.release(g)
}

// Regroup returns a Queue with another policy, which takes over the kept events: all of them are
// in the group Shared, in order. No entry is ready or open: the caller opens and pushes them.
func (q *Queue[T]) Regroup(policy *Policy) *Queue[T] {
	old := q.kept.ledger
	q = New[T](policy)
	q.kept.ledger = old
	g := q.groups[Shared]
	for i := old.begin; i < old.end; i++ {
		if old.status(i) != waits {
			continue
		}
		old.setGroup(i, Shared)
		old.link(i, i)
		if g.linked == 0 {
			g.first = i
		} else {
			old.link(g.last, i)
		}
		g.last = i
		g.linked++
		q.kept.live++
		if lane := old.lane(i); lane != 0 {
			if q.kept.owners == nil {
				q.kept.owners = make(map[uint32]owner)
			}
			q.kept.owners[lane] = owner{Shared, uint16(min(maxEntries, int(q.kept.owners[lane].entries)+1))}
		}
	}
	q.note(g)
	return q
}
