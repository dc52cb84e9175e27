package delivery

import (
	"context"
	"time"

	"github.com/berth-host/berth/host/event"
)

// The history holds the last attempt of every event that needed several or failed,
// and the plain successes as long as the store keeps up: once a write would hold more than thinAbove outcomes, for thinFor the
// successes are left out that need no row, because they are first attempts
// without children that the cursor in the same write passes. Nothing else
// changes: what a crash forgets is what neither a row nor a cursor tells.
const (
	thinAbove = 2048
	thinFor   = time.Second
)

// thinned says where successes were left out of a handler's history: at from, at
// to, and at some of what is between. The zero value is nowhere.
type thinned struct{ from, to uint64 }

func (t *thinned) add(seq uint64) {
	if t.from == 0 || seq < t.from {
		t.from = seq
	}
	t.to = max(t.to, seq)
}

// save appends what has changed since before.
func (t thinned) save(cursors []event.Cursor, before thinned, handler string) []event.Cursor {
	_, from, to := event.HandlerCursors(handler)
	if t.from != before.from {
		cursors = append(cursors, event.Cursor{Name: from, Seq: t.from})
	}
	if t.to != before.to {
		cursors = append(cursors, event.Cursor{Name: to, Seq: t.to})
	}
	return cursors
}

func loadThinned(ctx context.Context, s Store, handler string) (t thinned, err error) {
	_, from, to := event.HandlerCursors(handler)
	if t.from, _, err = s.Cursor(ctx, from); err == nil {
		t.to, _, err = s.Cursor(ctx, to)
	}
	return t, err
}

// leftOut is the delivery of an event whose success is not in the history, if it
// is one as far as the handler can tell: where successes were left out, an event
// that it takes and has passed, and of which nothing is known otherwise, was ok.
func (h *Handler) leftOut(rec event.Record) (event.Delivery, bool) {
	h.mu.Lock()
	t, cursor, takes := h.thinned, h.cursor(), h.policy.Takes
	h.mu.Unlock()
	if t.from == 0 || rec.Seq < t.from || rec.Seq > t.to || rec.Seq > cursor || !takes(rec.Event) {
		return event.Delivery{}, false
	}
	return event.Delivery{Handler: h.name, Seq: rec.Seq, Status: event.StatusOK, Attempts: 1, At: rec.Event.Metadata().Time}, true
}
