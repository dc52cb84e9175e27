package queue

import "hash/maphash"

// Lane returns the number of an order key's lane; 0 for no key.
func Lane(seed maphash.Seed, key string) uint64 {
	if key == "" {
		return 0
	}
	return max(maphash.String(seed, key), 1)
}

// Lanes has the last entry of every lane, by the lane's number, which is a hash. It is a
// table with linear probing, so that a look-up reads one cache line and allocates nothing.
// It grows and does not shrink. The zero value is empty. It is not safe for concurrent use.
type Lanes[T any] struct {
	entries []laneEntry[T] // none, or a power of two of which at most half are used
	n       int            // used entries
}

// laneEntry is free when it has no last entry.
type laneEntry[T any] struct {
	number uint64
	last   *T
}

const minEntries = 64

// Len returns the number of lanes.
func (l *Lanes[T]) Len() int { return l.n }

// at returns the index of the number's entry, or of the free one where it belongs. There
// are entries.
func (l *Lanes[T]) at(number uint64) uint64 {
	mask := uint64(len(l.entries) - 1)
	i := number & mask
	for l.entries[i].last != nil && l.entries[i].number != number {
		i = (i + 1) & mask
	}
	return i
}

// Last returns the last entry of a lane, nil if it has none.
func (l *Lanes[T]) Last(number uint64) *T {
	if l.n == 0 {
		return nil
	}
	return l.entries[l.at(number)].last
}

// Put makes t the last entry of a lane. It returns the one before, nil if there is none.
func (l *Lanes[T]) Put(number uint64, t *T) (before *T) {
	if 2*(l.Len()+1) > len(l.entries) {
		l.grow()
	}
	e := &l.entries[l.at(number)]
	if before = e.last; before == nil {
		l.n++
	}
	*e = laneEntry[T]{number, t}
	return before
}

func (l *Lanes[T]) grow() {
	old := l.entries
	l.entries = make([]laneEntry[T], max(minEntries, 2*len(old)))
	for _, e := range old {
		if e.last != nil {
			l.entries[l.at(e.number)] = e
		}
	}
}

// Remove forgets a lane. Entries behind it move to the front, where look-ups find them.
func (l *Lanes[T]) Remove(number uint64) {
	if l.n == 0 {
		return
	}
	free := l.at(number)
	if l.entries[free].last == nil {
		return
	}
	l.n--
	mask := uint64(len(l.entries) - 1)
	for i := (free + 1) & mask; l.entries[i].last != nil; i = (i + 1) & mask {
		if home := l.entries[i].number & mask; (i-home)&mask >= (i-free)&mask {
			l.entries[free] = l.entries[i]
			free = i
		}
	}
	l.entries[free] = laneEntry[T]{}
}
