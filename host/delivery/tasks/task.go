// Package tasks has the events of a handler's queue that are not final.
package tasks

import (
	"sync/atomic"
	"time"

	"github.com/berth-host/berth/host/delivery/fair"
	"github.com/berth-host/berth/host/delivery/pending"
	"github.com/berth-host/berth/host/event"
)

// Phase is what a task that is not final waits for. The memory of a task counts: see Task.
type Phase uint8

// The phases.
const (
	Waiting    Phase = iota // for an instance, or until it is due
	Blocked                 // another task of its lane is before it
	Delivering              // an instance has it, or its lease
	Committing              // its effects are being written
)

// Task is one event of a handler's queue. Tasks are small and reused, because a busy
// handler uses them up as fast as it reads events.
type Task struct {
	Record    event.Record    // without the event when it is final, see IsOpen
	Lane      uint64          // of its order key; 0 without one
	Next      *Task           // the next task of the lane, which waits for this one
	Past      *event.Delivery // after the previous attempt, or as stored; immutable. nil: no attempt
	Lease     *atomic.Int32   // how many tasks its lease has started; nil without one
	Arrived   int64           // when it was read, Unix ns; 0 when past is set
	Slot      uint8           // its index in the lease
	Users     uint8           // of these: Open, the window
	Conflicts uint8           // runs since the last attempt that ended in conflict
	Phase     Phase
	Recorded  bool       // the cursor may pass it: its outcome or its next attempt is with the recorder
	Fed       bool       // the feeder added it
	Group     fair.Group // of its value, while it is open and the handler's events are shared
}

// Delivery returns the delivery of a task that is not final. The lock of its handler is held.
func (t *Task) Delivery(handler string) event.Delivery {
	d := event.Delivery{Handler: handler, Seq: t.Record.Seq, Status: event.StatusPending}
	if t.Past != nil {
		d = *t.Past
	} else {
		d.At = time.Unix(0, t.Arrived).UTC()
	}
	if t.Conflicts > event.MaxConflicts {
		d.Due = d.At // as event.Delivery.Rerun made it, before pending.Again
	}
	if t.Phase == Committing || t.Phase == Delivering && (t.Lease == nil || int32(t.Slot) < t.Lease.Load()) {
		d.Status = event.StatusDelivering
	} else if t.Conflicts > 0 {
		d = pending.Conflict(d, int(t.Conflicts))
	}
	return d
}

// Taken reports whether an instance has the task, or its effects are being written.
func (t *Task) Taken() bool { return t.Phase == Delivering || t.Phase == Committing }

// Due returns when the next attempt may start, and whether it has to wait for that.
func (t *Task) Due() (at time.Time, waits bool) {
	if t.Past == nil || t.Past.Status != event.StatusRetrying {
		return time.Time{}, false
	}
	return t.Past.Due, true
}

// DueAt implements queue.Due, for a task that waits for its next attempt.
func (t *Task) DueAt() time.Time { return t.Past.Due }

// Attempt returns the current or next attempt.
func (t *Task) Attempt() event.Attempt {
	a := event.Attempt{Seq: t.Record.Seq, Event: t.Record.Event, Number: 1}
	if t.Past != nil {
		a.Number += t.Past.Attempts
	}
	return a
}
