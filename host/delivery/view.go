package delivery

import "github.com/berth-host/berth/host/event"

// view is what the handler knows of an event, if it has it or will get it.
func (h *Handler) view(rec event.Record) (event.Delivery, bool) {
	h.mu.Lock()
	t, readTo, takes := h.open[rec.Seq], h.readTo, h.policy.Takes
	var v event.Delivery
	known := t != nil
	if known {
		v = t.last
		if t.delivering {
			v.Status = event.StatusDelivering
		}
	}
	for _, row := range h.outcomes {
		if row.Seq == rec.Seq && !known {
			v, known = row, true
		}
	}
	h.mu.Unlock()
	if known {
		return v, true
	}
	if rec.Seq > readTo && takes(rec.Event) {
		return event.Delivery{Handler: h.name, Seq: rec.Seq, Status: event.StatusPending, At: rec.Event.Metadata().Time}, true
	}
	return v, false
}

// Settled returns the Seq up to which nothing is open.
func (h *Handler) Settled() uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	seq := h.cursor()
	for open := range h.open {
		seq = min(seq, open-1)
	}
	return seq
}

// Stats returns the figures.
func (h *Handler) Stats() Stats {
	last := h.dispatcher.cfg.Log.Last()
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.stats
	s.Lag = uint64(h.retries.Len())
	if c := h.cursor(); last > c {
		s.Lag += last - c
	}
	return s
}
