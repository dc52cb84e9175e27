package delivery

import (
	"time"

	"github.com/berth-host/berth/host/event"
)

// task is one event on its way. It is settled when the cursor may pass it: its
// outcome, or its next attempt, is in the hands of the recorder. Tasks are small
// and few, because a busy handler goes through them as fast as it can read them.
type task struct {
	record     event.Record    // without the event when it is final
	lane       uint64          // of its order key; 0 without one
	next       *task           // waits for this one, having the same key
	links      [2]link         // see index
	past       *event.Delivery // how the attempt before ended, or what the store has; it never changes. nil: nothing
	hand       *Hand           // the instance's that has it; nil if it was taken without one
	arrived    int64           // when it was read, unix ns; 0 when past says more
	place      uint8           // in the hand
	users      uint8           // of these: the open tasks, the window
	delivering bool            // it is an instance's
	settled    bool
	rowless    bool // the store has no row of it
	fed        bool // the feeder brought it
}

// maxFree bounds the tasks that are kept to be used again.
const maxFree = maxWindow

// shown is the delivery of a task that is not final.
func (h *Handler) shown(t *task) event.Delivery {
	d := event.Delivery{Handler: h.name, Seq: t.record.Seq, Status: event.StatusPending}
	if t.past != nil {
		d = *t.past
	} else {
		d.At = time.Unix(0, t.arrived).UTC()
	}
	if t.delivering && (t.hand == nil || t.hand.hasBegun(t)) {
		d.Status = event.StatusDelivering
	}
	return d
}

// due is when the next attempt may begin, and whether that is to be waited for.
func (t *task) due() (at time.Time, waits bool) {
	if t.past == nil || t.past.Status != event.StatusRetrying {
		return time.Time{}, false
	}
	return t.past.Due, true
}

// attempt is the one that is made, or will be made next.
func (t *task) attempt() event.Attempt {
	a := event.Attempt{Seq: t.record.Seq, Event: t.record.Event, Number: 1}
	if t.past != nil {
		a.Number += t.past.Attempts
	}
	return a
}

// drop says that one of the task's users is done with it. The last one makes it
// free.
func (h *Handler) drop(t *task) {
	if t.users--; t.users == 0 {
		h.recycle(t)
	}
}

func (h *Handler) recycle(t *task) {
	if len(h.free) >= maxFree {
		return
	}
	*t = task{}
	h.free = append(h.free, t)
}

// reuse appends up to n free tasks, of which the last was used last.
func (h *Handler) reuse(to []*task, n int) []*task {
	from := max(0, len(h.free)-n)
	to = append(to, h.free[from:]...)
	clear(h.free[from:])
	h.free = h.free[:from]
	return to
}
