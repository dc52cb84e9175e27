package delivery

import (
	"time"

	"github.com/berth-host/berth/host/delivery/fair"
	"github.com/berth-host/berth/host/delivery/pending"
	"github.com/berth-host/berth/host/event"
)

// task is one event of a handler's queue. Tasks are small and reused, because a busy
// handler uses them up as fast as it reads events.
type task struct {
	record     event.Record    // without the event when it is final, see isOpen
	lane       uint64          // of its order key; 0 without one
	next       *task           // the next task of the lane, which waits for this one
	past       *event.Delivery // after the previous attempt, or as stored; immutable. nil: no attempt
	lease      *Lease          // that has it; nil without one
	arrived    int64           // when it was read, Unix ns; 0 when past is set
	slot       uint8           // its index in the lease
	users      uint8           // of these: handler.open, handler.window
	conflicts  uint8           // runs since the last attempt that ended in conflict
	delivering bool            // an instance has it, or its lease
	committing bool            // its effects are being written
	blocked    bool            // another task of its lane is before it
	recorded   bool            // the cursor may pass it: its outcome or its next attempt is with the recorder
	fed        bool            // the feeder added it
	group      fair.Group      // of its value, while it is open and handler.fair is set
}

// maxFree bounds the tasks that are kept for reuse.
const maxFree = maxWindow

// delivery returns the delivery of a task that is not final.
func (h *handler) delivery(t *task) event.Delivery {
	d := event.Delivery{Handler: h.name, Seq: t.record.Seq, Status: event.StatusPending}
	if t.past != nil {
		d = *t.past
	} else {
		d.At = time.Unix(0, t.arrived).UTC()
	}
	if t.committing || t.delivering && (t.lease == nil || t.lease.hasStarted(t)) {
		d.Status = event.StatusDelivering
	} else if t.conflicts > 0 {
		d = pending.Conflict(d, int(t.conflicts))
	}
	return d
}

// taken reports whether an instance has the task, or its effects are being written.
func (t *task) taken() bool { return t.delivering || t.committing }

// due returns when the next attempt may start, and whether it has to wait for that.
func (t *task) due() (at time.Time, waits bool) {
	if t.past == nil || t.past.Status != event.StatusRetrying {
		return time.Time{}, false
	}
	return t.past.Due, true
}

// DueAt implements queue.Due, for a task that waits for its next attempt.
func (t *task) DueAt() time.Time { return t.past.Due }

// attempt returns the current or next attempt.
func (t *task) attempt() event.Attempt {
	a := event.Attempt{Seq: t.record.Seq, Event: t.record.Event, Number: 1}
	if t.past != nil {
		a.Number += t.past.Attempts
	}
	return a
}

// trace returns the traceparent of an attempt that starts; "" when it is not traced.
func (h *handler) trace(a event.Attempt) string {
	if tracer := h.dispatcher.cfg.Tracer; tracer != nil {
		return tracer.Attempt(h.name, a)
	}
	return ""
}

// drop removes one user of the task and recycles the task after the last one.
func (h *handler) drop(t *task) {
	if t.users--; t.users == 0 {
		h.recycle(t)
	}
}

func (h *handler) recycle(t *task) {
	if len(h.free) >= maxFree {
		return
	}
	*t = task{}
	h.free = append(h.free, t)
}

// reuse appends up to n free tasks, the most recently used last.
func (h *handler) reuse(to []*task, n int) []*task {
	from := max(0, len(h.free)-n)
	to = append(to, h.free[from:]...)
	clear(h.free[from:])
	h.free = h.free[:from]
	return to
}
