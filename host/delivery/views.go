package delivery

import (
	"context"
	"time"

	"github.com/berth-host/berth/host/delivery/recorder"
	"github.com/berth-host/berth/host/delivery/tasks"
	"github.com/berth-host/berth/host/delivery/view"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/wire"
)

// Deliveries returns the delivery of one event to every handler that has it or will get
// it, sorted by name, each with its history and what it waits for, and without versions.
func (d *Dispatcher) Deliveries(ctx context.Context, rec event.Record) ([]wire.Delivery, error) {
	return view.Deliveries(ctx, d.cfg.Store, rec, d.handlers.Running(), func(add func(event.Delivery)) {
		d.recorder.View(func(saving *recorder.Batch) {
			for v := range saving.Of(rec.Seq) {
				add(v)
			}
		})
	})
}

// Name implements view.Handler.
func (h *handler) Name() string { return h.name }

// View implements view.Handler.
func (h *handler) View(rec event.Record) (v view.State, ok bool) {
	h.mu.Lock()
	t, ahead, policy := h.open.Get(rec.Seq), h.ahead(rec.Seq) && !h.done[rec.Seq] || h.fair.Has(rec.Seq), h.policy
	waits, later := h.later[rec.Seq]
	later = later && !h.done[rec.Seq]
	if past, kept := h.keptPast[rec.Seq]; kept {
		waits, later = past, true
	}
	v.Since = h.replay.Since(rec.Seq)
	known := t != nil
	if known {
		v.Delivery = t.Delivery(h.name)
		if v.Status != event.StatusDelivering {
			v.WaitingFor = h.waiting(t, time.Now())
		}
	} else if v.Delivery, known = h.outcomes.Find(rec.Seq); known {
		v.Since = view.JustBefore(v.Delivery)
	}
	h.mu.Unlock()
	switch {
	case known:
		return v, true
	case later:
		v.Delivery = waits
	case ahead && policy.Gets(h.name, rec):
		v.Delivery = event.Delivery{Handler: h.name, Seq: rec.Seq, Status: event.StatusPending, At: rec.Event.Metadata().Time}
	default:
		return v, false
	}
	v.WaitingFor = h.Backlog(v.Delivery)
	return v, true
}

// Unsaved implements view.Handler.
func (h *handler) Unsaved(seq uint64, to []event.PastAttempt) []event.PastAttempt {
	h.mu.Lock()
	defer h.mu.Unlock()
	to = h.outcomes.Past(seq, to)
	return h.collected.Past(seq, to)
}

// waiting returns what a task waits for that no instance has. The caller holds handler.mu.
func (h *handler) waiting(t *tasks.Task, now time.Time) *wire.WaitingFor {
	due, retries := t.Due()
	switch {
	case h.policy.Paused:
		return view.Paused(h.pausedAt)
	case t.Phase == tasks.Blocked:
		for first := range h.open.All {
			if first.Lane == t.Lane && first.Phase != tasks.Blocked {
				w := view.Behind(first.Record.Event.ID())
				if next, retried := first.Due(); retried && next.After(now) {
					w.Until = &next
				}
				return w
			}
		}
		return view.Behind("")
	case retries && due.After(now) && h.breaker.Waits(now) < due.Sub(now):
		return view.DueAt(due)
	case h.breaker.Open():
		return view.BreakerOpen(&h.breaker, now)
	}
	return view.Busy(h.suspended, h.unsavedBytes >= maxUnsavedBytes)
}

// Backlog implements view.Handler.
func (h *handler) Backlog(d event.Delivery) *wire.WaitingFor {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	switch o := h.obstacles.First(); {
	case h.policy.Paused:
		return view.Paused(h.pausedAt)
	case o.At != "":
		return view.Unread(o.Reason)
	case d.Status == event.StatusRetrying && d.Due.After(now):
		return view.DueAt(d.Due)
	case h.breaker.Open():
		return view.BreakerOpen(&h.breaker, now)
	}
	return view.Ahead(h.hold.Beyond(d.Seq) != nil)
}

// NotKept implements view.Handler.
func (h *handler) NotKept(rec event.Record) (event.Delivery, bool) {
	h.mu.Lock()
	s, cursor, policy := h.sampled, h.cursor(), h.policy
	h.mu.Unlock()
	if !s.Has(rec.Seq) || rec.Seq > cursor || !policy.Gets(h.name, rec) {
		return event.Delivery{}, false
	}
	return rec.NotKept(h.name), true
}
