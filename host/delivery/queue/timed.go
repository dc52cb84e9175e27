package queue

import (
	"container/heap"
	"slices"
	"time"
)

// Due is an entry of Timed.
type Due interface {
	comparable
	// DueAt returns when the entry is due. It changes only before a call of Reorder.
	DueAt() time.Time
}

// Timed has entries that wait until a time: the first is due first, the others are in no
// particular order. The zero value is empty. It is not safe for concurrent use.
type Timed[T Due] []T

// Len returns the number of entries.
func (q Timed[T]) Len() int { return len(q) }

// Add adds an entry.
func (q *Timed[T]) Add(t T) { heap.Push((*dueFirst[T])(q), t) }

// First returns when the first entry is due of those that there are.
func (q Timed[T]) First() time.Time { return q[0].DueAt() }

// Pop removes and returns the first entry, if it is due at a time.
func (q *Timed[T]) Pop(now time.Time) (t T, ok bool) {
	if q.Len() == 0 || q.First().After(now) {
		return t, false
	}
	return heap.Pop((*dueFirst[T])(q)).(T), true
}

// Remove removes an entry, in time proportional to the number of entries. It returns false
// when there is no such entry.
func (q *Timed[T]) Remove(t T) bool {
	i := slices.Index(*q, t)
	if i >= 0 {
		heap.Remove((*dueFirst[T])(q), i)
	}
	return i >= 0
}

// Reorder restores the order after entries have become due at another time.
func (q *Timed[T]) Reorder() { heap.Init((*dueFirst[T])(q)) }

// dueFirst has the entry that is due first on top (container/heap).
type dueFirst[T Due] []T

func (h dueFirst[T]) Len() int           { return len(h) }
func (h dueFirst[T]) Less(i, j int) bool { return h[i].DueAt().Before(h[j].DueAt()) }
func (h dueFirst[T]) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }

// Push implements heap.Interface.
func (h *dueFirst[T]) Push(x any) { *h = append(*h, x.(T)) }

// Pop implements heap.Interface.
func (h *dueFirst[T]) Pop() any {
	old := *h
	t := old[len(old)-1]
	clear(old[len(old)-1:])
	*h = old[:len(old)-1]
	return t
}
