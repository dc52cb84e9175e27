// Package engine has what package delivery takes from others: the store, the log, a tracer, and the
// policies of handlers.
package engine

import (
	"context"
	"log/slog"
	"math/rand/v2"

	"github.com/berth-host/berth/host/delivery/actions"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/spec"
)

// Store keeps outcomes and cursors. SaveDeliveries writes all of its arguments or none,
// the successes before the deliveries, and publishes the deliveries' Children and applies
// their Effects in the same transaction; accepted arguments survive a crash as far as the
// store guarantees. It uses none of the slices after it has returned. It skips a child that
// was published before, and effects that it applied before with this outcome. A delivery
// whose child's idempotency key was used with other content, or whose effects exceed the
// quota, is stored as a dead letter without children and effects, and is among
// event.Saved.Refused. One whose effects have read a value that differs now is stored as
// event.Delivery.Rerun makes it, and is among event.Saved.Conflicts. SaveDeliveries stores
// nothing of a handler whose fence is of a past epoch, and returns that fence among fenced.
type Store interface {
	LoadBacklog(ctx context.Context, handler string) (event.Backlog, error)
	SaveDeliveries(ctx context.Context, fences []spec.Fence, successes []event.Successes, list []event.Delivery, cursors []event.Cursor) (
		saved event.Saved, fenced []spec.Fence, err error)
	Deliveries(ctx context.Context, seq uint64) ([]event.Delivery, error)
	// Attempts returns the attempts of an event that are kept, of every handler.
	Attempts(ctx context.Context, seq uint64) ([]event.PastAttempt, error)
	Cursor(ctx context.Context, name string) (seq uint64, found bool, err error)
	actions.DeadLetterStore
}

// Log is the event log that handlers read.
type Log interface {
	// Subscribe reads from the event with this Seq on.
	Subscribe(from uint64) Reader
	// Read returns events with at least this Seq, ascending.
	Read(ctx context.Context, from uint64, limit int) ([]event.Record, error)
	// Last returns the highest Seq of the log, 0 when it is empty.
	Last() uint64
}

// Reader is one reader of the log, used by one goroutine.
type Reader interface {
	// Next waits for events and puts at least one into buf, in order.
	Next(ctx context.Context, buf []event.Record) (int, error)
	Close()
}

// Tracer follows attempts. It must be safe for concurrent use and must not block.
type Tracer interface {
	// Attempt is called when an attempt starts, and returns its traceparent, "" for none. The
	// handler's lock may be held.
	Attempt(handler string, a event.Attempt) (traceparent string)
	// Ended is called when an attempt that has a traceparent has ended, unless the host
	// stopped it. d follows from it and is not stored yet.
	Ended(rec event.Record, d event.Delivery, traceparent string)
}

// Config configures a delivery.Dispatcher.
type Config struct {
	Store    Store // required
	Log      Log   // required
	Logger   *slog.Logger
	Observer func(event.Record, event.Delivery) // receives every recorded outcome; must not block. Default none
	Watched  func() bool                        // whether Observer has to be called now; must not block. Default always
	// OnFailure receives the delivery of every failed attempt, with its lines; it must not block,
	// and must not change the delivery. Default none.
	OnFailure func(event.Record, event.Delivery)
	Random    func() float64 // in [0, 1), for jitter. Default math/rand
	Tracer    Tracer         // default none
	// Start returns where a handler without a cursor starts: after the event with this
	// Seq. Default: at the log's end.
	Start func(ctx context.Context, handler string) (after uint64, err error)
	// OnCondition is called when the Condition of an open handler has changed. It must
	// not block. Default none.
	OnCondition func(handler string)
	// Shared: other hosts have the same store and log, and a handler runs here only while
	// Dispatcher.Own says that this host owns it. Default: every handler is this host's.
	Shared bool
	// Owner returns the name of the host that owns a handler, "" for none, to be shown. It must
	// not block. Default none.
	Owner func(handler string) string
	// Claim stores a handler's first cursor unless there is one of its name, as one of several
	// hosts that do so at once. Required if Shared.
	Claim func(context.Context, event.Cursor) error
}

// Observes reports whether outcomes are observed now.
func (c *Config) Observes() bool { return c.Observer != nil && (c.Watched == nil || c.Watched()) }

// SetDefaults sets the fields that are not set.
func (c *Config) SetDefaults() {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Start == nil {
		last := c.Log.Last
		c.Start = func(context.Context, string) (uint64, error) { return last(), nil }
	}
	if c.OnCondition == nil {
		c.OnCondition = func(string) {}
	}
	if c.Random == nil {
		c.Random = rand.Float64
	}
	if c.Owner == nil {
		c.Owner = func(string) string { return "" }
	}
}
