package delivery

import (
	"github.com/berth-host/berth/host/delivery/fair"
	"github.com/berth-host/berth/host/delivery/queue"
)

// readyTasks are the tasks whose attempts can start: first in, first out, or shared among the
// values of Policy.Fair.
type readyTasks struct {
	fifo queue.FIFO[task]
	fair *fair.Queue[task] // handler.fair
}

// Len returns the number of tasks.
func (r *readyTasks) Len() int {
	if r.fair != nil {
		return r.fair.Len()
	}
	return r.fifo.Len()
}

// Push adds a task.
func (r *readyTasks) Push(t *task) {
	if r.fair != nil {
		r.fair.Push(t.group, t)
		return
	}
	r.fifo.Push(t)
}

// PushFront adds a task that Pop returns next.
func (r *readyTasks) PushFront(t *task) {
	if r.fair != nil {
		r.fair.PushFront(t.group, t)
		return
	}
	r.fifo.PushFront(t)
}

// Return adds a task before those of its value, or before all without Policy.Fair.
func (r *readyTasks) Return(t *task) {
	if r.fair != nil {
		r.fair.Return(t.group, t)
		return
	}
	r.fifo.PushFront(t)
}

// Peek returns the task that Pop would return; there is one.
func (r *readyTasks) Peek() *task {
	if r.fair != nil {
		return r.fair.Peek()
	}
	return r.fifo.Peek()
}

// Pop removes and returns the next task, nil when there is none.
func (r *readyTasks) Pop() *task {
	if r.fair != nil {
		return r.fair.Pop()
	}
	return r.fifo.Pop()
}

// Remove removes a task. It returns false when it is not there.
func (r *readyTasks) Remove(t *task) bool {
	if r.fair != nil {
		return r.fair.Remove(t.group, t)
	}
	return r.fifo.Remove(t)
}
