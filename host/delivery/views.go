package delivery

import (
	"context"
	"sort"
	"time"

	"github.com/berth-host/berth/host/delivery/recorder"
	"github.com/berth-host/berth/host/delivery/view"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/wire"
)

// state is the delivery of an event as a handler, the recorder or the store has it.
type state struct {
	event.Delivery
	// since is the time up to which a final delivery in the store is out of date.
	since   time.Time
	waiting *wire.WaitingFor
}

// Deliveries returns the delivery of one event to every handler that has it or will get
// it, sorted by name, each with its history and what it waits for, and without versions.
func (d *Dispatcher) Deliveries(ctx context.Context, rec event.Record) ([]wire.Delivery, error) {
	// Memory first: a delivery or an attempt that moves from there to the store meanwhile is
	// then found in the store.
	views := make(map[string]state)
	var past []event.PastAttempt
	handlers := d.list()
	for _, h := range handlers {
		if v, ok := h.view(rec); ok {
			views[h.name] = v
		}
		past = h.unsavedAttempts(rec.Seq, past)
	}
	d.recorder.View(func(saving *recorder.Batch) {
		for v := range saving.Of(rec.Seq) {
			if a, kept := v.Past(); kept && v.Effects == nil {
				past = append(past, a)
			}
			if _, live := views[v.Handler]; !live {
				views[v.Handler] = state{Delivery: v, since: justBefore(v)}
			}
		}
	})
	stored, err := d.cfg.Store.Deliveries(ctx, rec.Seq)
	if err != nil {
		return nil, err
	}
	kept, err := d.cfg.Store.Attempts(ctx, rec.Seq)
	if err != nil {
		return nil, err
	}
	past = append(past, kept...)
	for _, v := range stored {
		known, live := views[v.Handler]
		if !live || v.Status.Final() && (known.since.IsZero() || v.At.After(known.since)) {
			views[v.Handler] = state{Delivery: v}
		}
	}
	for _, h := range handlers {
		v, known := views[h.name]
		if !known {
			if v.Delivery, known = h.notKept(rec); known {
				views[h.name] = v
			}
		} else if v.waiting == nil && (v.Status == event.StatusPending || v.Status == event.StatusRetrying) {
			v.waiting = h.backlog(v.Delivery)
			views[h.name] = v
		}
	}
	out := make([]wire.Delivery, 0, len(views))
	for _, v := range views {
		w := view.Of(v.Delivery)
		w.WaitingFor, w.History = v.waiting, view.History(v.Delivery, past)
		out = append(out, w)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Plugin < out[j].Plugin })
	return out, nil
}

// view returns the delivery of an event that the handler has or will get.
func (h *handler) view(rec event.Record) (v state, ok bool) {
	h.mu.Lock()
	t, ahead, policy := h.open.get(rec.Seq), h.ahead(rec.Seq) && !h.done[rec.Seq], h.policy
	waits, later := h.later[rec.Seq]
	later = later && !h.done[rec.Seq]
	v.since = h.since(rec.Seq)
	known := t != nil
	if known {
		v.Delivery = h.delivery(t)
		if v.Status != event.StatusDelivering {
			v.waiting = h.waiting(t, time.Now())
		}
	} else if v.Delivery, known = h.outcomes.Find(rec.Seq); known {
		v.since = justBefore(v.Delivery)
	}
	h.mu.Unlock()
	switch {
	case known:
		return v, true
	case later:
		v.Delivery = waits
	case ahead && policy.takes(h.name, rec.Event):
		v.Delivery = event.Delivery{Handler: h.name, Seq: rec.Seq, Status: event.StatusPending, At: rec.Event.Metadata().Time}
	default:
		return v, false
	}
	v.waiting = h.backlog(v.Delivery)
	return v, true
}

// unsavedAttempts adds the attempts of an event that the store may not have yet.
func (h *handler) unsavedAttempts(seq uint64, to []event.PastAttempt) []event.PastAttempt {
	h.mu.Lock()
	defer h.mu.Unlock()
	to = h.outcomes.Past(seq, to)
	for i := range h.collected {
		to = h.collected[i].Past(seq, to)
	}
	return to
}

// waiting returns what a task waits for that no instance has. The caller holds handler.mu.
func (h *handler) waiting(t *task, now time.Time) *wire.WaitingFor {
	due, retries := t.due()
	switch {
	case h.policy.Paused:
		return view.Paused(h.pausedAt)
	case t.blocked:
		for first := range h.open.all {
			if first.lane == t.lane && !first.blocked {
				w := view.Behind(first.record.Event.ID())
				if next, retried := first.due(); retried && next.After(now) {
					w.Until = &next
				}
				return w
			}
		}
		return view.Behind("")
	case retries && due.After(now) && h.breaker.Waits(now) < due.Sub(now):
		return view.DueAt(due)
	case h.breaker.Open():
		return h.breakerOpen(now)
	}
	return view.Busy(h.suspended, h.unsavedBytes >= maxUnsavedBytes)
}

func (h *handler) breakerOpen(now time.Time) *wire.WaitingFor {
	return view.BreakerOpen(h.breaker.Failed(), now, h.breaker.Waits(now))
}

// backlog returns what a delivery waits for that has no task yet.
func (h *handler) backlog(d event.Delivery) *wire.WaitingFor {
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
		return h.breakerOpen(now)
	}
	return view.Unread("")
}

// notKept returns the delivery of an event whose success is not stored, as far as the
// handler knows; see event.Sampled.
func (h *handler) notKept(rec event.Record) (event.Delivery, bool) {
	h.mu.Lock()
	s, cursor, policy := h.sampled, h.cursor(), h.policy
	h.mu.Unlock()
	if !s.Has(rec.Seq) || rec.Seq > cursor || !policy.takes(h.name, rec.Event) {
		return event.Delivery{}, false
	}
	return rec.NotKept(h.name), true
}

// justBefore is the since of an outcome that may be in the store by now: there it
// counts, and older ones do not.
func justBefore(d event.Delivery) time.Time { return d.At.Add(-1) }

// since is the time up to which a final delivery of the event precedes a replay.
func (h *handler) since(seq uint64) time.Time {
	if r := h.replay; r != nil && seq >= r.From && seq <= r.To {
		return r.StartedAt
	}
	return time.Time{}
}
