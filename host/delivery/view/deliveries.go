package view

import (
	"context"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/wire"
)

// Handler is an open handler.
type Handler interface {
	Name() string
	// View returns the delivery of an event that the handler has or will get.
	View(rec event.Record) (s State, ok bool)
	// Unsaved adds the attempts of an event that the store may not have yet.
	Unsaved(seq uint64, to []event.PastAttempt) []event.PastAttempt
	// Backlog returns what a delivery waits for that has no task yet.
	Backlog(d event.Delivery) *wire.WaitingFor
	// NotKept returns the delivery of an event whose success is not stored, as far as the handler
	// knows; see event.Sampled.
	NotKept(rec event.Record) (d event.Delivery, ok bool)
}

// Store has the deliveries of events, and the attempts that are kept.
type Store interface {
	Deliveries(ctx context.Context, seq uint64) ([]event.Delivery, error)
	Attempts(ctx context.Context, seq uint64) ([]event.PastAttempt, error)
}

// Deliveries returns the delivery of one event to every handler that has it or will get it; see
// Join.List. writing calls a function with the outcomes that are being written.
func Deliveries[H Handler](ctx context.Context, store Store, rec event.Record, handlers []H, writing func(add func(event.Delivery))) (
	[]wire.Delivery, error) {
	var j Join
	for _, h := range handlers {
		if v, ok := h.View(rec); ok {
			j.Set(h.Name(), v)
		}
		j.Past = h.Unsaved(rec.Seq, j.Past)
	}
	writing(j.Writing)
	stored, err := store.Deliveries(ctx, rec.Seq)
	if err != nil {
		return nil, err
	}
	kept, err := store.Attempts(ctx, rec.Seq)
	if err != nil {
		return nil, err
	}
	j.Stored(stored, kept)
	for _, h := range handlers {
		v, known := j.Of(h.Name())
		if !known {
			v.Delivery, known = h.NotKept(rec)
		} else if v.WaitingFor == nil && (v.Status == event.StatusPending || v.Status == event.StatusRetrying) {
			v.WaitingFor = h.Backlog(v.Delivery)
		}
		if known {
			j.Set(h.Name(), v)
		}
	}
	return j.List(), nil
}
