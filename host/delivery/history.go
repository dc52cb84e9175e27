package delivery

import (
	"context"

	"github.com/berth-host/berth/host/event"
)

// skipped is the range of a handler's skipped successes: at from, at to, and at any Seq
// between. The zero value is an empty range.
//
// The history has the last attempt of every event that needed several or failed, and the
// plain successes as long as the store keeps up. When it does not, the recorder skips the
// successes that need no stored delivery: first attempts without children that the cursor
// in the same write passes. A crash still only loses outcomes that neither the store nor a
// cursor has.
type skipped struct{ from, to uint64 }

func (s *skipped) add(seq uint64) {
	if s.from == 0 || seq < s.from {
		s.from = seq
	}
	s.to = max(s.to, seq)
}

// save appends the cursors that have changed since before.
func (s skipped) save(cursors []event.Cursor, before skipped, handler string) []event.Cursor {
	_, from, to := event.HandlerCursors(handler)
	if s.from != before.from {
		cursors = append(cursors, event.Cursor{Name: from, Seq: s.from})
	}
	if s.to != before.to {
		cursors = append(cursors, event.Cursor{Name: to, Seq: s.to})
	}
	return cursors
}

func loadSkipped(ctx context.Context, store Store, handler string) (s skipped, err error) {
	_, from, to := event.HandlerCursors(handler)
	if s.from, _, err = store.Cursor(ctx, from); err == nil {
		s.to, _, err = store.Cursor(ctx, to)
	}
	return s, err
}

// skippedSuccess returns the delivery of an event whose success was skipped, as far as
// the handler knows: an event in the skipped range that it takes, that its cursor has
// passed, and that has no stored delivery was successful.
func (h *handler) skippedSuccess(rec event.Record) (event.Delivery, bool) {
	h.mu.Lock()
	s, cursor, takes := h.skipped, h.cursor(), h.policy.Takes
	h.mu.Unlock()
	if s.from == 0 || rec.Seq < s.from || rec.Seq > s.to || rec.Seq > cursor || !takes(rec.Event) {
		return event.Delivery{}, false
	}
	return event.Delivery{Handler: h.name, Seq: rec.Seq, Status: event.StatusOK, Attempts: 1, At: rec.Event.Metadata().Time}, true
}
