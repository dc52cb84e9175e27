package delivery

import (
	"github.com/berth-host/berth/host/event"
)

// cursor is how far everything is settled.
func (h *Handler) cursor() uint64 {
	for h.window.len() > 0 && h.window.peek().settled {
		h.window.pop()
	}
	if h.window.len() > 0 {
		return h.window.peek().record.Seq - 1
	}
	return h.readTo
}

// collect appends the outcomes to rows and the cursor to cursors. The cursor
// is left out when it did not move, and when it is all there is and all is
// false: a cursor alone only saves reading again what the handler does not take.
func (h *Handler) collect(rows []event.Delivery, cursors []event.Cursor, all bool) ([]event.Delivery, []event.Cursor) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if c := h.cursor(); c > h.saved && (all || len(h.outcomes) > 0) {
		h.saved = c
		cursors = append(cursors, event.Cursor{Name: cursorName(h.name), Seq: c})
	}
	rows = append(rows, h.outcomes...)
	clear(h.outcomes)
	h.outcomes = h.outcomes[:0]
	return rows, cursors
}

// wrote says that n outcomes are in the store, with so many bytes of children.
func (h *Handler) wrote(n, children int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.unsaved -= n
	h.children -= children
	token(h.room)
	if children > 0 {
		h.signal() // those in Next may have waited for it
	}
}

// refused says that a delivery that was ok is stored as dead.
func (h *Handler) refused() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.stats.Delivered--
	h.stats.Failed++
}

// childBytes is how much the children of a delivery take.
func childBytes(d event.Delivery) (n int) {
	for _, child := range d.Children {
		n += len(child.Envelope())
	}
	return n
}

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
