package fair

import "github.com/berth-host/berth/host/delivery/queue"

// Ready has the tasks of a handler whose attempts can start: first in, first out, or shared among
// the values of its policy. The zero value is empty, and first in, first out. It is not safe for
// concurrent use.
type Ready[T any] struct {
	fifo   queue.FIFO[T]
	shared *Queue[T] // nil: first in, first out
	group  func(*T) Group
}

// Share has a queue share the tasks, none with nil. There are no tasks. group returns the group
// of a task.
func (r *Ready[T]) Share(q *Queue[T], group func(*T) Group) { r.shared, r.group = q, group }

// Unshared returns the tasks in order when none are shared, valid until they change.
func (r *Ready[T]) Unshared() []*T { return r.fifo.All() }

// Len returns the number of tasks.
func (r *Ready[T]) Len() int {
	if r.shared != nil {
		return r.shared.Len()
	}
	return r.fifo.Len()
}

// Push adds a task.
func (r *Ready[T]) Push(t *T) {
	if r.shared != nil {
		r.shared.Push(r.group(t), t)
		return
	}
	r.fifo.Push(t)
}

// PushFront adds a task that Pop returns next.
func (r *Ready[T]) PushFront(t *T) {
	if r.shared != nil {
		r.shared.PushFront(r.group(t), t)
		return
	}
	r.fifo.PushFront(t)
}

// Return adds a task before those of its value, or before all without a policy.
func (r *Ready[T]) Return(t *T) {
	if r.shared != nil {
		r.shared.Return(r.group(t), t)
		return
	}
	r.fifo.PushFront(t)
}

// Peek returns the task that Pop would return; there is one.
func (r *Ready[T]) Peek() *T {
	if r.shared != nil {
		return r.shared.Peek()
	}
	return r.fifo.Peek()
}

// Pop removes and returns the next task, nil when there is none.
func (r *Ready[T]) Pop() *T {
	if r.shared != nil {
		return r.shared.Pop()
	}
	return r.fifo.Pop()
}

// PopAll moves the next tasks to a list; there are as many.
func (r *Ready[T]) PopAll(list []*T) {
	if r.shared == nil {
		r.fifo.PopAll(list)
		return
	}
	for i := range list {
		list[i] = r.shared.Pop()
	}
}

// Remove removes a task. It returns false when it is not there.
func (r *Ready[T]) Remove(t *T) bool {
	if r.shared != nil {
		return r.shared.Remove(r.group(t), t)
	}
	return r.fifo.Remove(t)
}
