package outcomes

import (
	"slices"

	"github.com/berth-host/berth/host/event"
)

// Collected has the lists that the recorder has collected and the store has not answered. The
// zero value is empty. It is not safe for concurrent use.
type Collected[S any] struct {
	lists []List[S]
	spare List[S] // memory for the next outcomes
}

// Take moves the outcomes of a list to the collected ones and returns them; the list is empty
// then. A handler that was marked dirty twice is collected twice.
func (c *Collected[S]) Take(from *List[S]) (taken List[S]) {
	if from.Len() == 0 {
		return taken
	}
	taken = *from
	*from, c.spare = c.spare, List[S]{}
	c.lists = append(c.lists, taken)
	return taken
}

// Written empties the collected outcomes, which the store has answered. It returns those that
// it may have refused, and the number and the size of all.
func (c *Collected[S]) Written() (refusable []Full[S], n, bytes int) {
	if len(c.lists) == 0 {
		return nil, 0, 0
	}
	for i := range c.lists {
		l := &c.lists[i]
		refusable = slices.AppendSeq(refusable, l.Refusable)
		n += l.Len()
		bytes += l.Bytes()
		l.Clear()
	}
	c.spare = c.lists[0] // the largest one, if there are two
	clear(c.lists)
	c.lists = c.lists[:0]
	return refusable, n, bytes
}

// Drop empties the collected outcomes and a list, which the store will not get, and returns
// those that it could have refused.
func (c *Collected[S]) Drop(list *List[S]) (dropped []Full[S]) {
	c.Take(list)
	for i := range c.lists {
		dropped = slices.AppendSeq(dropped, c.lists[i].Refusable)
	}
	*c = Collected[S]{}
	return dropped
}

// Past is List.Past for the collected outcomes.
func (c *Collected[S]) Past(seq uint64, to []event.PastAttempt) []event.PastAttempt {
	for i := range c.lists {
		to = c.lists[i].Past(seq, to)
	}
	return to
}
