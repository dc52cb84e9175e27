package delivery

import (
	"sort"

	"github.com/berth-host/berth/host/delivery/queue"
)

// openTasks are a handler's tasks that are not final. Nearly all are in the window, which
// is in order of Seq: only the others need an entry of their own.
type openTasks struct {
	window *queue.FIFO[task]
	n      int
	// beside has those that are not in the window: redriven, restored, or passed by the
	// cursor while they wait for a retry.
	beside map[uint64]*task
}

// isOpen reports whether the task is not final.
func (t *task) isOpen() bool { return t.record.Event != nil }

// get returns the open task of a Seq, nil if there is none.
func (o *openTasks) get(seq uint64) *task {
	if t := o.beside[seq]; t != nil {
		return t
	}
	list := o.window.All()
	i := sort.Search(len(list), func(i int) bool { return list[i].record.Seq >= seq })
	if i < len(list) && list[i].record.Seq == seq && list[i].isOpen() {
		return list[i]
	}
	return nil
}

// add adds a task, which is in the window already if it will be.
func (o *openTasks) add(t *task) {
	o.n++
	t.users++
	if t.users == 1 {
		o.setBeside(t)
	}
}

func (o *openTasks) setBeside(t *task) {
	if o.beside == nil {
		o.beside = make(map[uint64]*task)
	}
	o.beside[t.record.Seq] = t
}

// leftWindow notes that the window no longer has an open task.
func (o *openTasks) leftWindow(t *task) { o.setBeside(t) }

// remove removes a task that has become final. The caller drops it.
func (o *openTasks) remove(t *task) {
	o.n--
	if t.users == 1 {
		delete(o.beside, t.record.Seq)
	}
}

// all yields every open task, those of the window first and in order.
func (o *openTasks) all(yield func(*task) bool) {
	for _, t := range o.window.All() {
		if t.isOpen() && !yield(t) {
			return
		}
	}
	for _, t := range o.beside {
		if !yield(t) {
			return
		}
	}
}
