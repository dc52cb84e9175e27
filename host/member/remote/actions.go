package remote

import (
	"context"
	"maps"
	"slices"

	"github.com/berth-host/berth/host/cluster"
	"github.com/berth-host/berth/host/event"
)

// Handlers are the handlers of this host; see delivery.Dispatcher.
type Handlers interface {
	IsOpen(handler string) bool
	Runs(handler string) bool
	Deliveries
}

// Deliveries are the actions on deliveries, on the host that runs the handler.
type Deliveries interface {
	Replay(ctx context.Context, handler string, from, to uint64) error
	Requeue(ctx context.Context, handler string, seqs []uint64) (int, error)
	RetryNow(ctx context.Context, handler string, seqs []uint64) (int, error)
	SkipEvent(ctx context.Context, handler string, seq uint64) error
	Redrive(ctx context.Context, f event.DeadFilter) (int, error)
	Purge(ctx context.Context, f event.DeadFilter) (int, error)

	// The following only read what is stored.
	Retrying(ctx context.Context, handler string, after uint64, limit int) ([]event.Delivery, error)
	DeadLetters(ctx context.Context, f event.DeadFilter, cursor string, limit int) ([]event.DeadLetter, string, error)
}

// Actions are Deliveries on any host. It is safe for concurrent use.
type Actions struct {
	Deliveries
	way  Way
	here Handlers
	// dead counts the dead letters of each handler.
	dead func(context.Context) (map[string]uint64, error)
}

// NewActions returns the actions on the handlers of all hosts.
func NewActions(way Way, here Handlers, dead func(context.Context) (map[string]uint64, error)) *Actions {
	return &Actions{here, way, here, dead}
}

type span struct{ From, To uint64 }

// The names of the commands.
const (
	replay  = "replay"
	requeue = "requeue"
	retry   = "retry"
	skip    = "skip"
	redrive = "redrive"
	purge   = "purge"
)

// Methods are the commands that hosts carry out for each other.
func (a *Actions) Methods() map[string]cluster.Method {
	list := map[string]cluster.Method{
		replay:  method(replay, a.replay),
		requeue: method(requeue, a.here.Requeue),
		retry:   method(retry, a.here.RetryNow),
		skip:    method(skip, a.skip),
		redrive: method(redrive, a.redrive),
		purge:   method(purge, a.purge),
	}
	for name, m := range list {
		list[name] = a.whenStarted(m)
	}
	return list
}

// whenStarted carries a command out once this host runs the handler, if it is open: it may be about to
// start.
func (a *Actions) whenStarted(m cluster.Method) cluster.Method {
	return func(ctx context.Context, handler string, body []byte) ([]byte, error) {
		if err := await(ctx, func() bool { return !a.here.IsOpen(handler) || a.here.Runs(handler) }); err != nil {
			return nil, err
		}
		return m(ctx, handler, body)
	}
}

func (a *Actions) replay(ctx context.Context, handler string, s span) (nothing, error) {
	return nothing{}, a.here.Replay(ctx, handler, s.From, s.To)
}

func (a *Actions) skip(ctx context.Context, handler string, seq uint64) (nothing, error) {
	return nothing{}, a.here.SkipEvent(ctx, handler, seq)
}

func (a *Actions) redrive(ctx context.Context, handler string, f event.DeadFilter) (int, error) {
	f.Handler = handler
	return a.here.Redrive(ctx, f)
}

func (a *Actions) purge(ctx context.Context, handler string, f event.DeadFilter) (int, error) {
	f.Handler = handler
	return a.here.Purge(ctx, f)
}

// Replay implements Deliveries.
func (a *Actions) Replay(ctx context.Context, handler string, from, to uint64) error {
	_, err := call(ctx, a.way, handler, replay, span{from, to}, a.replay)
	return err
}

// Requeue implements Deliveries.
func (a *Actions) Requeue(ctx context.Context, handler string, seqs []uint64) (int, error) {
	return call(ctx, a.way, handler, requeue, seqs, a.here.Requeue)
}

// RetryNow implements Deliveries.
func (a *Actions) RetryNow(ctx context.Context, handler string, seqs []uint64) (int, error) {
	return call(ctx, a.way, handler, retry, seqs, a.here.RetryNow)
}

// SkipEvent implements Deliveries.
func (a *Actions) SkipEvent(ctx context.Context, handler string, seq uint64) error {
	_, err := call(ctx, a.way, handler, skip, seq, a.skip)
	return err
}

// Redrive implements Deliveries.
func (a *Actions) Redrive(ctx context.Context, f event.DeadFilter) (int, error) {
	if !a.way.Shared {
		return a.here.Redrive(ctx, f)
	}
	return a.each(ctx, f, redrive, a.redrive)
}

// Purge implements Deliveries.
func (a *Actions) Purge(ctx context.Context, f event.DeadFilter) (int, error) {
	if !a.way.Shared {
		return a.here.Purge(ctx, f)
	}
	return a.each(ctx, f, purge, a.purge)
}

// each carries out an action on the dead letters of a handler, or of each that has any.
func (a *Actions) each(ctx context.Context, f event.DeadFilter, name string, here func(context.Context, string, event.DeadFilter) (int, error)) (n int, err error) {
	handlers := []string{f.Handler}
	if f.Handler == "" {
		counts, err := a.dead(ctx)
		if err != nil {
			return 0, err
		}
		handlers = slices.Sorted(maps.Keys(counts))
	}
	for _, handler := range handlers {
		if f.Handler == "" {
			one := f
			one.Handler = handler
			found, _, err := a.DeadLetters(ctx, one, "", 1)
			if err != nil {
				return n, err
			}
			if len(found) == 0 {
				continue // its owner need not be asked
			}
		}
		done, err := call(ctx, a.way, handler, name, f, here)
		n += done
		if err != nil {
			return n, err
		}
	}
	return n, nil
}
