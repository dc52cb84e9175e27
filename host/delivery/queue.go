package delivery

// fifo is a queue of tasks. Its zero value is empty.
type fifo struct {
	tasks []*task
	head  int
}

func (q *fifo) len() int { return len(q.tasks) - q.head }

func (q *fifo) push(t *task) {
	if q.head > 0 && q.head == len(q.tasks) {
		q.tasks, q.head = q.tasks[:0], 0
	} else if q.head > 1024 && q.head > len(q.tasks)/2 {
		n := copy(q.tasks, q.tasks[q.head:])
		clear(q.tasks[n:])
		q.tasks, q.head = q.tasks[:n], 0
	}
	q.tasks = append(q.tasks, t)
}

func (q *fifo) pushFront(t *task) {
	if q.head == 0 { // a lease returns many, one by one
		q.head = maxLease
		q.tasks = append(make([]*task, q.head, q.head+len(q.tasks)), q.tasks...)
	}
	q.head--
	q.tasks[q.head] = t
}

// all returns the tasks in order, valid until the queue changes.
func (q *fifo) all() []*task { return q.tasks[q.head:] }

func (q *fifo) peek() *task { return q.tasks[q.head] }

func (q *fifo) pop() *task {
	if q.len() == 0 {
		return nil
	}
	t := q.tasks[q.head]
	q.tasks[q.head] = nil
	q.head++
	return t
}

// retryHeap has the task that is due first on top (container/heap).
type retryHeap []*task

func (h retryHeap) Len() int           { return len(h) }
func (h retryHeap) Less(i, j int) bool { return h[i].past.Due.Before(h[j].past.Due) }
func (h retryHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }

// Push implements heap.Interface.
func (h *retryHeap) Push(x any) {
	*h = append(*h, x.(*task))
}

// Pop implements heap.Interface.
func (h *retryHeap) Pop() any {
	old := *h
	t := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return t
}
