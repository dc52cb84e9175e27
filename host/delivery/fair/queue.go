package fair

import (
	"hash/maphash"

	"github.com/berth-host/berth/host/delivery/queue"
)

// maxGroups bounds the groups: values beyond it share the group Shared.
const maxGroups = 1<<16 - 1

// Group is the number of a group, valid while it has an entry.
type Group uint16

// Shared is the group of events without a value, and of the values beyond maxGroups.
const Shared Group = 0

// Queue has the groups of one handler. Create it with New. A nil Queue has nothing kept. It is
// not safe for concurrent use.
type Queue[T any] struct {
	policy *Policy // nil: everything is in the group Shared
	seed   maphash.Seed
	byHash map[uint64]*group[T] // of the value; without Shared
	groups []*group[T]          // by number; nil for a free number
	free   []Group
	front  *group[T] // the group that is taken from next, in a ring of those with ready entries
	ready  int
	kept   kept[T]
}

// group has the entries of one value.
type group[T any] struct {
	number        Group
	hash          uint64 // of the value
	weight        int    // entries of a round
	credit        int    // of them that are left
	open          int    // entries that are not final
	behind        int    // of them that wait for another one of their key
	ready         queue.FIFO[T]
	before, after *group[T] // in the ring
	linked        int       // entries of the ledger that are not taken
	first, last   uint64    // of those, by index
	starved       bool      // it is in kept.starved
	feeding       bool      // between Starved and Fed
}

// New returns an empty Queue.
func New[T any](policy *Policy) *Queue[T] {
	q := &Queue[T]{policy: policy, seed: maphash.MakeSeed(), byHash: make(map[uint64]*group[T])}
	q.groups = []*group[T]{{hash: q.hash("")}}
	q.SetPolicy(policy)
	return q
}

// Policy returns the policy in force.
func (q *Queue[T]) Policy() *Policy { return q.policy }

// SetPolicy changes the weights: policy has the same By.
func (q *Queue[T]) SetPolicy(policy *Policy) {
	q.policy = policy
	weights := make(map[uint64]int)
	if policy != nil {
		for value, weight := range policy.Weights {
			weights[q.hash(value)] = weight
		}
	}
	for _, g := range q.groups {
		if g != nil {
			g.weight = max(1, weights[g.hash])
			g.credit = min(g.credit, g.weight)
		}
	}
}

func (q *Queue[T]) hash(value string) uint64 { return maphash.String(q.seed, value) }

// Group returns the group of a value. The caller adds an entry to it.
func (q *Queue[T]) Group(value string) Group {
	if value == "" {
		return Shared
	}
	hash := q.hash(value)
	if g := q.byHash[hash]; g != nil {
		return g.number
	}
	g := &group[T]{hash: hash, weight: 1}
	switch n := len(q.free); {
	case n > 0:
		g.number, q.free = q.free[n-1], q.free[:n-1]
	case len(q.groups) > maxGroups:
		return Shared
	default:
		g.number = Group(len(q.groups))
		q.groups = append(q.groups, nil)
	}
	if q.policy != nil && q.policy.Weights[value] > 0 {
		g.weight = q.policy.Weights[value]
	}
	q.groups[g.number], q.byHash[hash] = g, g
	return g.number
}

// release frees a group that has nothing.
func (q *Queue[T]) release(g *group[T]) {
	if g.open == 0 && g.linked == 0 && !g.starved && !g.feeding && g.number != Shared {
		delete(q.byHash, g.hash)
		q.groups[g.number] = nil
		q.free = append(q.free, g.number)
	}
}

// Opened counts an entry as open.
func (q *Queue[T]) Opened(n Group) { q.groups[n].open++ }

// Closed counts an entry as final. It does nothing for a nil queue.
func (q *Queue[T]) Closed(n Group) {
	if q != nil {
		q.closed(q.groups[n])
	}
}

func (q *Queue[T]) closed(g *group[T]) {
	g.open--
	q.note(g)
	q.release(g)
}

// Blocked counts an open entry as one that waits for another one of its key; Unblocked undoes it.
func (q *Queue[T]) Blocked(n Group) { q.groups[n].behind++ }

// Unblocked counts an entry of Blocked as one that no longer waits. It does nothing for a nil queue.
func (q *Queue[T]) Unblocked(n Group) {
	if q != nil {
		q.groups[n].behind--
	}
}

// Len returns the number of ready entries.
func (q *Queue[T]) Len() int { return q.ready }

// Push adds a ready entry behind those of its group.
func (q *Queue[T]) Push(n Group, t *T) {
	g := q.groups[n]
	g.ready.Push(t)
	q.ready++
	if g.after == nil {
		q.link(g)
	}
}

// Return adds a ready entry before those of its group.
func (q *Queue[T]) Return(n Group, t *T) {
	g := q.groups[n]
	g.ready.PushFront(t)
	q.ready++
	if g.after == nil {
		q.link(g)
	}
}

// PushFront adds a ready entry before all others: Pop returns it next.
func (q *Queue[T]) PushFront(n Group, t *T) {
	g := q.groups[n]
	g.ready.PushFront(t)
	q.ready++
	if g.after != nil && q.front != g {
		q.unlink(g)
	}
	if g.after == nil {
		q.link(g)
	}
	q.front, g.credit = g, max(1, g.credit)
}

// All yields the ready entries, those of a group in order.
func (q *Queue[T]) All(yield func(*T) bool) {
	for _, g := range q.groups {
		if g == nil {
			continue
		}
		for _, t := range g.ready.All() {
			if !yield(t) {
				return
			}
		}
	}
}

// Peek returns the entry that Pop would return, nil for none.
func (q *Queue[T]) Peek() *T {
	if q.front == nil {
		return nil
	}
	return q.front.ready.Peek()
}

// Pop removes and returns the next ready entry, nil when there is none.
func (q *Queue[T]) Pop() *T {
	g := q.front
	if g == nil {
		return nil
	}
	t := g.ready.Pop()
	q.ready--
	g.credit--
	switch {
	case g.ready.Len() == 0:
		q.unlink(g)
		q.note(g)
	case g.credit == 0:
		g.credit = g.weight
		q.front = g.after
	}
	return t
}

// Remove removes a ready entry. It returns false when the entry is not ready.
func (q *Queue[T]) Remove(n Group, t *T) bool {
	g := q.groups[n]
	if !g.ready.Remove(t) {
		return false
	}
	q.ready--
	if g.ready.Len() == 0 {
		q.unlink(g)
	}
	return true
}

// link adds a group to the ring: it comes last.
func (q *Queue[T]) link(g *group[T]) {
	g.credit = g.weight
	if q.front == nil {
		q.front, g.before, g.after = g, g, g
		return
	}
	g.before, g.after = q.front.before, q.front
	g.before.after, g.after.before = g, g
}

func (q *Queue[T]) unlink(g *group[T]) {
	if q.front == g {
		if q.front = g.after; g.after == g {
			q.front = nil
		}
	}
	g.before.after, g.after.before = g.after, g.before
	g.before, g.after = nil, nil
}

// Fits reports whether a group may have another open entry of the window.
func (q *Queue[T]) Fits(n Group) bool { return q.groups[n].counted() < q.share() }

// Reserved reports whether a group has fewer open entries than are reserved for it.
func (q *Queue[T]) Reserved(n Group) bool { return q.groups[n].open < q.reserve() }

// counted returns how much of its share a group uses. While nothing of it is ready the entries
// behind others do not count, so that those of other keys follow.
func (g *group[T]) counted() int {
	if g.ready.Len() == 0 {
		return g.open - g.behind
	}
	return g.open
}

// share is how many open entries a group may have: an equal part of the window, with one for
// the next group.
func (q *Queue[T]) share() int { return max(q.reserve(), q.policy.window()/(len(q.byHash)+2)) }

// reserve is how many open entries every group may have, however many the others have.
func (q *Queue[T]) reserve() int { return max(1, q.policy.window()/256) }
