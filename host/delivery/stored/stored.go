// Package stored reads the state of handlers from the store: of those that are not open, and
// of deliveries that an open one does not have.
package stored

import (
	"context"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
)

// Store is the part of delivery.Store that this package reads.
type Store interface {
	LoadBacklog(ctx context.Context, handler string) (event.Backlog, error)
	Deliveries(ctx context.Context, seq uint64) ([]event.Delivery, error)
	Cursor(ctx context.Context, name string) (seq uint64, found bool, err error)
	CountRedriven(ctx context.Context, handler string, from, to uint64) (int, error)
}

// Delivery returns the delivery of an event to a handler; one without a status when there is
// none.
func Delivery(ctx context.Context, store Store, handler string, seq uint64) (event.Delivery, error) {
	list, err := store.Deliveries(ctx, seq)
	for _, one := range list {
		if one.Handler == handler {
			return one, err
		}
	}
	return event.Delivery{}, err
}

// Retrying returns the deliveries of a handler that wait for another attempt, in any order.
func Retrying(ctx context.Context, store Store, handler string) (list []event.Delivery, err error) {
	b, err := store.LoadBacklog(ctx, handler)
	if err != nil {
		return nil, err
	}
	for _, one := range b.Open {
		if one.Status == event.StatusRetrying {
			list = append(list, one)
		}
	}
	return list, nil
}

// Sampled returns a handler's range of successes that are not stored.
func Sampled(ctx context.Context, store Store, handler string) (s event.Sampled, err error) {
	names := event.HandlerCursors(handler)
	if s.From, _, err = store.Cursor(ctx, names.SampledFrom); err == nil {
		s.To, _, err = store.Cursor(ctx, names.SampledTo)
	}
	return s, err
}

// RefuseSkip returns why an event with this stored status, "" for none, cannot be skipped, nil
// when it can: fault.NotFound or fault.Conflict. open reports whether the handler is open; then
// it does not have the event.
func RefuseSkip(handler string, seq uint64, status event.Status, open bool) error {
	switch {
	case status == "" && open:
		return fault.New(fault.NotFound, "the handler %s does not get the event %d", handler, seq)
	case status == "":
		return fault.New(fault.Conflict, "the handler %s does not run, and has not read event %d: start it first, paused if no event may be "+
			"delivered yet", handler, seq)
	case status.Final():
		return fault.New(fault.Conflict, "the delivery of event %d to %s is final (%s): there is nothing to skip", seq, handler, status)
	case open:
		return fault.New(fault.Conflict, "event %d was given to %s again a moment ago, or waits until a replay has ended: try again later", seq, handler)
	}
	return nil
}
