package tasks

import (
	"sort"

	"github.com/berth-host/berth/host/delivery/queue"
)

// Open has the tasks of a handler that are not final. Nearly all are in the window, which
// is in order of Seq: only the others need an entry of their own.
type Open struct {
	Window *queue.FIFO[Task]
	N      int
	// beside has those that are not in the window: redriven, restored, or passed by the
	// cursor while they wait for a retry.
	Beside map[uint64]*Task
}

// IsOpen reports whether the task is not final.
func (t *Task) IsOpen() bool { return t.Record.Event != nil }

// Get returns the open task of a Seq, nil if there is none.
func (o *Open) Get(seq uint64) *Task {
	if t := o.Beside[seq]; t != nil {
		return t
	}
	list := o.Window.All()
	i := sort.Search(len(list), func(i int) bool { return list[i].Record.Seq >= seq })
	if i < len(list) && list[i].Record.Seq == seq && list[i].IsOpen() {
		return list[i]
	}
	return nil
}

// Add adds a task, which is in the window already if it will be.
func (o *Open) Add(t *Task) {
	o.N++
	t.Users++
	if t.Users == 1 {
		o.SetBeside(t)
	}
}

func (o *Open) SetBeside(t *Task) {
	if o.Beside == nil {
		o.Beside = make(map[uint64]*Task)
	}
	o.Beside[t.Record.Seq] = t
}

// LeftWindow notes that the window no longer has an open task.
func (o *Open) LeftWindow(t *Task) { o.SetBeside(t) }

// Remove removes a task that has become final. The caller drops it.
func (o *Open) Remove(t *Task) {
	o.N--
	if t.Users == 1 {
		delete(o.Beside, t.Record.Seq)
	}
}

// All yields every open task, those of the window first and in order.
func (o *Open) All(yield func(*Task) bool) {
	for _, t := range o.Window.All() {
		if t.IsOpen() && !yield(t) {
			return
		}
	}
	for _, t := range o.Beside {
		if !yield(t) {
			return
		}
	}
}

// Unlink removes a task from its lane that is not the first one there.
func Unlink(open *Open, lanes *queue.Lanes[Task], t *Task) {
	for before := range open.All {
		if before.Next == t {
			if before.Next = t.Next; lanes.Last(t.Lane) == t {
				lanes.Put(t.Lane, before)
			}
			break
		}
	}
	t.Next = nil
}
