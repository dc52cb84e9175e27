package delivery

import (
	"context"

	"github.com/berth-host/berth/host/event"
)

// sampled is the range of a handler's successes that an older version of this host did
// not keep when its store was too slow, or that a repair of the store lost: at from, at to,
// and at any Seq between. The zero value is an empty range. This version keeps the outcome
// of every delivery; it reads the range when the handler is opened, and never writes it.
type sampled struct{ from, to uint64 }

func loadSampled(ctx context.Context, store Store, handler string) (s sampled, err error) {
	names := event.HandlerCursors(handler)
	if s.from, _, err = store.Cursor(ctx, names.SampledFrom); err == nil {
		s.to, _, err = store.Cursor(ctx, names.SampledTo)
	}
	return s, err
}

// notKept returns the delivery of an event whose success is not stored, as far as the
// handler knows: an event in the sampled range that it takes, that its cursor has passed,
// and that has no stored delivery was successful.
func (h *handler) notKept(rec event.Record) (event.Delivery, bool) {
	h.mu.Lock()
	s, cursor, policy := h.sampled, h.cursor(), h.policy
	h.mu.Unlock()
	if s.from == 0 || rec.Seq < s.from || rec.Seq > s.to || rec.Seq > cursor || !policy.takes(h.name, rec.Event) {
		return event.Delivery{}, false
	}
	return NotKept(h.name, rec), true
}

// NotKept returns the delivery of an event whose success is not stored, see sampled.
func NotKept(handler string, rec event.Record) event.Delivery {
	return event.Delivery{Handler: handler, Seq: rec.Seq, Status: event.StatusOK, Attempts: 1, At: rec.Event.Metadata().Time, NotKept: true}
}
