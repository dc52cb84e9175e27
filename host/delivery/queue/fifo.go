package queue

// reserve is how much free memory PushFront makes before the first entry: a lease returns
// many, one by one.
const reserve = 64

// FIFO is a queue. Its zero value is empty. It is not safe for concurrent use.
type FIFO[T any] struct {
	entries []*T
	head    int
}

// Len returns the number of entries.
func (q *FIFO[T]) Len() int { return len(q.entries) - q.head }

// Push adds an entry at the end.
func (q *FIFO[T]) Push(t *T) {
	if q.head > 0 && q.head == len(q.entries) {
		q.entries, q.head = q.entries[:0], 0
	} else if q.head > 1024 && q.head > len(q.entries)/2 {
		n := copy(q.entries, q.entries[q.head:])
		clear(q.entries[n:])
		q.entries, q.head = q.entries[:n], 0
	}
	q.entries = append(q.entries, t)
}

// PushFront adds an entry before all others.
func (q *FIFO[T]) PushFront(t *T) {
	if q.head == 0 {
		q.head = reserve
		q.entries = append(make([]*T, q.head, q.head+len(q.entries)), q.entries...)
	}
	q.head--
	q.entries[q.head] = t
}

// All returns the entries in order, valid until the queue changes.
func (q *FIFO[T]) All() []*T { return q.entries[q.head:] }

// Peek returns the first entry of a queue that has one.
func (q *FIFO[T]) Peek() *T { return q.entries[q.head] }

// Pop removes and returns the first entry, nil when there is none.
func (q *FIFO[T]) Pop() *T {
	if q.Len() == 0 {
		return nil
	}
	t := q.entries[q.head]
	q.entries[q.head] = nil
	q.head++
	return t
}

// PopAll moves the first entries to a list; there are as many.
func (q *FIFO[T]) PopAll(list []*T) {
	n := copy(list, q.entries[q.head:])
	clear(q.entries[q.head : q.head+n])
	q.head += n
}

// Remove removes an entry, in time proportional to the entries behind it. It returns false
// when the queue does not have it.
func (q *FIFO[T]) Remove(t *T) bool {
	for i := q.head; i < len(q.entries); i++ {
		if q.entries[i] == t {
			copy(q.entries[i:], q.entries[i+1:])
			q.entries[len(q.entries)-1] = nil
			q.entries = q.entries[:len(q.entries)-1]
			return true
		}
	}
	return false
}
