package delivery

import (
	"context"
	"encoding/json"
	"sort"
	"time"

	"github.com/berth-host/berth/host/delivery/recorder"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/wire"
)

// Deliveries returns the delivery of one event to every handler that has it or will get
// it, sorted by name.
func (d *Dispatcher) Deliveries(ctx context.Context, rec event.Record) ([]wire.Delivery, error) {
	// Memory first: a delivery that moves from there to the store meanwhile is then found
	// in the store.
	views := make(map[string]event.Delivery)
	handlers := d.list()
	since := make(map[string]time.Time)
	for _, h := range handlers {
		if v, from, ok := h.view(rec); ok {
			views[h.name], since[h.name] = v, from
		}
	}
	d.recorder.View(func(saving *recorder.Batch) {
		for v := range saving.Of(rec.Seq) {
			if _, live := views[v.Handler]; !live {
				views[v.Handler], since[v.Handler] = v, justBefore(v)
			}
		}
	})
	stored, err := d.cfg.Store.Deliveries(ctx, rec.Seq)
	if err != nil {
		return nil, err
	}
	for _, v := range stored {
		if _, live := views[v.Handler]; !live || v.Status.Final() && (since[v.Handler].IsZero() || v.At.After(since[v.Handler])) {
			views[v.Handler] = v
		}
	}
	for _, h := range handlers {
		if _, known := views[h.name]; !known {
			if v, ok := h.notKept(rec); ok {
				views[h.name] = v
			}
		}
	}
	out := make([]wire.Delivery, 0, len(views))
	for _, v := range views {
		out = append(out, Wire(v))
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Plugin < out[j].Plugin })
	return out, nil
}

// view returns the delivery of an event that the handler has or will get. A final
// delivery in the store that is not younger than since is out of date.
func (h *handler) view(rec event.Record) (v event.Delivery, since time.Time, ok bool) {
	h.mu.Lock()
	t, ahead, takes := h.open.get(rec.Seq), h.ahead(rec.Seq) && !h.done[rec.Seq], h.policy.Takes
	waits, later := h.later[rec.Seq]
	since = h.since(rec.Seq)
	known := t != nil
	if known {
		v = h.delivery(t)
	} else if v, known = h.outcomes.find(rec.Seq); known {
		since = justBefore(v)
	}
	h.mu.Unlock()
	switch {
	case known:
		return v, since, true
	case later:
		return waits, since, true
	case ahead && takes(rec.Event):
		return event.Delivery{Handler: h.name, Seq: rec.Seq, Status: event.StatusPending, At: rec.Event.Metadata().Time}, since, true
	}
	return v, since, false
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

// Wire converts a delivery to its form in the API.
func Wire(v event.Delivery) wire.Delivery {
	w := wire.Delivery{
		Plugin:     v.Handler,
		Status:     string(v.Status),
		Attempts:   v.Attempts,
		DurationMS: float64(v.Duration) / float64(time.Millisecond),
		Fuel:       v.Fuel,
		At:         v.At,
		SHA256:     v.SHA256,
	}
	if v.Result != "" {
		w.Result = json.RawMessage(v.Result)
	}
	if v.NotKept {
		w.ResultKept = new(bool)
	}
	if v.ErrorClass != "" {
		w.Error = &wire.DeliveryError{Class: string(v.ErrorClass), Message: v.ErrorMessage}
	}
	return w
}
