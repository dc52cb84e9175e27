package delivery

import (
	"context"
	"fmt"
	"time"

	"github.com/berth-host/berth/host/event"
)

// Letters keeps dead deliveries until they are redriven or purged.
type Letters interface {
	DeadLetters(ctx context.Context, f event.DeadFilter, cursor string, limit int) (list []event.DeadLetter, next string, err error)
	// Redrive makes the dead letters that f selects pending, with no attempt made,
	// in one transaction for each bounded batch, and answers how many those were.
	// What it has answered to, also beside an error, survives a crash.
	Redrive(ctx context.Context, f event.DeadFilter) (int, error)
	// Purge gives up the dead letters that f selects, in the same manner. They stay
	// dead and final.
	Purge(ctx context.Context, f event.DeadFilter) (int, error)
	// Redriven returns a handler's pending deliveries above a Seq, ascending.
	Redriven(ctx context.Context, handler string, after uint64, limit int) ([]event.Delivery, error)
	// CountRedriven counts those from one Seq to another, both included.
	CountRedriven(ctx context.Context, handler string, from, to uint64) (int, error)
	// StartReplay sets a handler back, in one transaction; see event.BeginReplay.
	StartReplay(ctx context.Context, handler string, from, to uint64, at time.Time) error
}

// DeadLetters returns the dead letters that a filter selects, newest event
// first, at most limit (1 to 1000). next is the cursor for more, or "".
func (d *Dispatcher) DeadLetters(ctx context.Context, f event.DeadFilter, cursor string, limit int) (list []event.DeadLetter, next string, err error) {
	return d.cfg.Store.DeadLetters(ctx, f, cursor, limit)
}

// Redrive delivers the dead letters that a filter selects again, to the handlers
// they died with, with all their attempts before them, and answers how many
// those were. A handler that is open takes them up at once, one event of a key
// at a time with what else it has of that key; another one when it is opened
// next. What is not dead is not touched, so doing it twice changes nothing. On
// an error, what was redriven until then stays so.
func (d *Dispatcher) Redrive(ctx context.Context, f event.DeadFilter) (int, error) {
	if err := d.recorder.settle(ctx); err != nil { // what is shown as dead is redriven
		return 0, fmt.Errorf("redrive: %w", err)
	}
	n, err := d.cfg.Store.Redrive(ctx, f)
	if n > 0 || err != nil {
		for _, h := range d.list() {
			if f.Handler == "" || f.Handler == h.name {
				h.Probe()                          // whoever redrives has mended something
				if e := h.recount(ctx); e != nil { // the figures only: the feeder takes them up all the same
					d.cfg.Logger.Warn("redriven events are not counted until they are taken up", "plugin", h.name, "error", e)
				}
				token(h.refill)
			}
		}
	}
	return n, err
}

// Purge gives up the dead letters that a filter selects, and answers how many
// those were: they cannot be redriven then, and no longer keep their events in
// the log. Their deliveries are dead as before.
func (d *Dispatcher) Purge(ctx context.Context, f event.DeadFilter) (int, error) {
	if err := d.recorder.settle(ctx); err != nil {
		return 0, fmt.Errorf("purge: %w", err)
	}
	return d.cfg.Store.Purge(ctx, f)
}
