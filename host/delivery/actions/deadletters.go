package actions

import (
	"context"
	"fmt"
	"time"

	"github.com/berth-host/berth/host/event"
)

// DeadLetterStore keeps dead letters until they are redriven or purged.
type DeadLetterStore interface {
	DeadLetters(ctx context.Context, f event.DeadFilter, cursor string, limit int) (list []event.DeadLetter, next string, err error)
	// Redrive makes the dead letters that f selects pending, with no attempt made, in one
	// transaction per bounded batch, and returns their number. Those that it has counted,
	// also beside an error, survive a crash.
	Redrive(ctx context.Context, f event.DeadFilter) (int, error)
	// Purge discards the dead letters that f selects, in the same manner. Their
	// deliveries stay dead and final.
	Purge(ctx context.Context, f event.DeadFilter) (int, error)
	// Requeue makes the final deliveries of a handler's events pending in the same manner, and
	// events that it has passed without a delivery. Others stay as they are.
	Requeue(ctx context.Context, handler string, seqs []uint64) (int, error)
	// Redriven returns a handler's pending deliveries above a Seq, ascending.
	Redriven(ctx context.Context, handler string, after uint64, limit int) ([]event.Delivery, error)
	// CountRedriven counts those from one Seq to another, both included.
	CountRedriven(ctx context.Context, handler string, from, to uint64) (int, error)
	// StartReplay moves a handler's cursor back, in one transaction; see event.BeginReplay.
	StartReplay(ctx context.Context, handler string, from, to uint64, at time.Time) error
}

// DeadLetters returns the dead letters that a filter selects, newest event first, at most
// limit (1 to 1000). next is the cursor for more, or "".
func (a *Actions) DeadLetters(ctx context.Context, f event.DeadFilter, cursor string, limit int) (
	list []event.DeadLetter, next string, err error) {
	return a.cfg.Store.DeadLetters(ctx, f, cursor, limit)
}

// Redrive delivers the dead letters that a filter selects again, to the same handlers and
// with all their attempts, and returns their number. An open handler takes them up at
// once, one event of a key at a time together with its other events of that key; any
// other when it is opened next. Events that are not dead stay as they are, so a second
// Redrive changes nothing. On an error, those redriven before it stay redriven.
func (a *Actions) Redrive(ctx context.Context, f event.DeadFilter) (int, error) {
	ctx, err := a.begin(ctx, f.Handler) // unwritten dead letters are redriven too
	if err != nil {
		return 0, fmt.Errorf("redrive: %w", err)
	}
	n, err := a.cfg.Store.Redrive(ctx, f)
	if n > 0 || err != nil {
		a.takeUp(ctx, f.Handler)
	}
	return n, err
}

// takeUp has a handler, or all for "", take up events that are pending in the store.
func (a *Actions) takeUp(ctx context.Context, handler string) {
	if h, open := a.cfg.Handler(handler); open {
		h.TakeUp(ctx)
	} else if handler == "" {
		for _, h := range a.cfg.Handlers() {
			h.TakeUp(ctx)
		}
	}
}

// Requeue delivers events that a handler has had, or has passed without taking them, to it
// again, with all their attempts, and returns their number. It continues like Redrive. Events
// that are not final for the handler stay as they are.
func (a *Actions) Requeue(ctx context.Context, handler string, seqs []uint64) (int, error) {
	ctx, err := a.begin(ctx, handler) // unwritten outcomes are final too
	if err != nil {
		return 0, fmt.Errorf("requeue: %w", err)
	}
	n, err := a.cfg.Store.Requeue(ctx, handler, seqs)
	if n > 0 || err != nil {
		a.takeUp(ctx, handler)
	}
	return n, err
}

// Purge discards the dead letters that a filter selects, and returns their number: they
// cannot be redriven any more, and no longer keep their events in the log. Their
// deliveries stay dead.
func (a *Actions) Purge(ctx context.Context, f event.DeadFilter) (int, error) {
	ctx, err := a.begin(ctx, f.Handler)
	if err != nil {
		return 0, fmt.Errorf("purge: %w", err)
	}
	return a.cfg.Store.Purge(ctx, f)
}
