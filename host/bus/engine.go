package bus

import (
	"context"
	"time"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/spec"
)

// Log is the part of an engine that keeps events: an append-only sequence with a
// Seq for each event. All methods are safe for concurrent use. Package logtest
// states the same in tests that every engine passes.
type Log interface {
	// Append stores events in this order and returns when they are stored, with
	// one receipt each. An event whose key the log has already is a duplicate or,
	// with other content, in conflict (Receipt.Err, fault.Conflict); neither keeps
	// the other events from being stored. The events of one call become visible
	// together, before Append returns. An error means that none of them was
	// stored: fault.Exhausted without capacity (with a RetryAfter at the log's own
	// bound, see event.LogFull), fault.Unavailable otherwise. After an error that
	// is not the context's the caller tries again with the same keys: an engine
	// whose disk did not confirm a write may have stored the events after all, and
	// then answers duplicate.
	Append(ctx context.Context, events []*event.Event) ([]event.Receipt, error)
	// Read returns the events from Seq from on, ascending, at most limit. The
	// result can be shared and must not be written to. It may be shorter than
	// limit when there are more; it is empty only when the log has none from there on.
	Read(ctx context.Context, from uint64, limit int) ([]event.Record, error)
	// Wait returns nil once Last is above after, an error that wraps the
	// context's when that ends first, fault.Unavailable when the log is closed.
	Wait(ctx context.Context, after uint64) error
	// Last returns the highest Seq that was stored, trimmed or not; 0 for none.
	Last() uint64
	// Trim removes the events below before and returns their number.
	Trim(ctx context.Context, before uint64) (int, error)
	// Status returns the size of the log: exactly, and without counting.
	Status(ctx context.Context) (event.LogStatus, error)
	// SetMaxBytes bounds Status.Bytes for what publishers append; 0 is no bound.
	// Children, which come with an outcome, are exempt. Events that are not due yet, children
	// included, have half of it: beyond that a published one is refused alone, and a delivery with
	// all of its children; see event.FitScheduled.
	SetMaxBytes(bytes int64)

	// Event returns the event with this id or, without one, with this idempotency
	// key. fault.NotFound when there is neither.
	Event(ctx context.Context, id string) (event.Record, error)
	// Events returns the newest events that q selects, newest first.
	Events(ctx context.Context, q event.Query) ([]event.Record, error)
	// SeqAt returns the Seq of the first event that was appended at or after t, or
	// Last()+1 when there is none yet.
	SeqAt(ctx context.Context, t time.Time) (uint64, error)
	// Skip makes readers pass over unreadable events from one Seq to another, both
	// included. fault.Conflict when one of them can be read.
	Skip(ctx context.Context, from, to uint64) (event.Skipped, error)

	Schedule
}

// State is the part of an engine that keeps the progress of handlers and the
// key-value state of plugins. All methods are safe for concurrent use; what a
// writing method stored survives as the log's events do.
type State interface {
	// Cursor returns a named cursor, and whether there is one; Cursors returns all
	// of them by name. SetCursor makes or moves one, also back.
	Cursor(ctx context.Context, name string) (seq uint64, found bool, err error)
	Cursors(ctx context.Context) ([]event.Cursor, error)
	SetCursor(ctx context.Context, c event.Cursor) error

	// SaveDeliveries stores outcomes, appends their children to the log and moves
	// cursors, in one transaction. It stores the successes first and then the
	// deliveries in their order, each in place of what is stored of the same
	// handler and Seq, in whichever form. A child that the log has already is
	// skipped. When a child is in conflict, no child of its delivery is appended,
	// and the delivery is stored as Delivery.Refuse makes it and returned as
	// refused.
	//
	// In that transaction it also applies the Effects of the deliveries, in their order and
	// after the children of each. When a key that one has read has another value now, none
	// of its writes and children is stored, and it is stored as Delivery.Rerun makes it and
	// returned as a conflict. When its writes exceed the plugin's quota, it is stored as
	// Delivery.RefuseEffects makes it and returned as refused; one that is refused for its
	// children has no effects either. Deliveries beside each other that share their Effects
	// are those of a batch: they are applied once, and what happens to one of them happens to
	// all. Effects of a delivery that is stored already as a success, with the same number of
	// attempts and the same time, are not applied again, nor are those of an event that was
	// trimmed, with its children: the caller repeats a write of unknown result.
	//
	// It also keeps the attempt that led to each of the deliveries, if
	// Delivery.Past says so, also when a later delivery of the call replaces this one; an
	// attempt with the number, time and status of one that is kept is the same attempt.
	// Nothing else is stored of an event that was trimmed. The engine uses none of the slices
	// after it has returned: the caller reuses them.
	//
	// fences name the epochs in which the caller owns the handlers. A fence whose
	// epoch is not the present one is returned as fenced, and nothing of its
	// handler is stored: no outcome, no child and no cursor. A handler without a
	// fence is not checked. Engines of one host know epoch 0 only.
	SaveDeliveries(ctx context.Context, fences []spec.Fence, successes []event.Successes, deliveries []event.Delivery,
		cursors []event.Cursor) (saved event.Saved, fenced []spec.Fence, err error)
	// Deliveries returns the deliveries of one event, by handler.
	Deliveries(ctx context.Context, seq uint64) ([]event.Delivery, error)
	// Attempts returns the attempts of one event that are kept, by handler and in the order
	// in which they ended: of each delivery the newest event.MaxPastAttempts. They are
	// removed with the event. The oldest attempts of a handler lose their logs when it has
	// more than spec.MaxHandlerLog of them.
	Attempts(ctx context.Context, seq uint64) ([]event.PastAttempt, error)
	// LoadBacklog returns a handler's progress, as of one moment.
	LoadBacklog(ctx context.Context, handler string) (event.Backlog, error)
	// ForgetHandler removes a handler's cursors, deliveries, attempts and replay.
	ForgetHandler(ctx context.Context, handler string) error

	// DeadLetters returns the dead letters that f selects, with their events,
	// newest event first, at most limit (1 to 1000). next is the cursor for more,
	// or "". A malformed cursor is fault.Invalid.
	DeadLetters(ctx context.Context, f event.DeadFilter, cursor string, limit int) (list []event.DeadLetter, next string, err error)
	// DeadCounts returns the number of dead letters of each handler that has any.
	DeadCounts(ctx context.Context) (map[string]uint64, error)
	// Redrive makes the dead letters that f selects pending, without an attempt,
	// and returns their number. Purge keeps their deliveries dead, but they are no
	// longer dead letters and no longer keep their events in the log.
	Redrive(ctx context.Context, f event.DeadFilter) (int, error)
	Purge(ctx context.Context, f event.DeadFilter) (int, error)
	// Redriven returns a handler's pending deliveries above a Seq, ascending, at
	// most limit. CountRedriven counts those from one Seq to another, both included.
	Redriven(ctx context.Context, handler string, after uint64, limit int) ([]event.Delivery, error)
	CountRedriven(ctx context.Context, handler string, from, to uint64) (int, error)
	// Requeue makes deliveries of a handler pending, without an attempt, and returns their
	// number: those of the events of these Seqs that the handler has had and that are in
	// the log, whether they succeeded, died or were never taken. Others are unchanged:
	// those that are not final, and events that the handler still gets by itself, also in a
	// replay. On an error, the ones that are pending then remain so.
	Requeue(ctx context.Context, handler string, seqs []uint64) (int, error)
	// StartReplay sets a handler back to receive the events from one Seq to
	// another again, both included; see event.BeginReplay. fault.NotFound for a
	// handler that has no position in the log.
	StartReplay(ctx context.Context, handler string, from, to uint64, at time.Time) error

	// KVGet returns a plugin's value, and whether there is one; KVCached returns one
	// that is in memory, which the caller must not change, and otherwise false in ok,
	// also when the engine is closed. Neither waits for a write that has not returned,
	// nor returns what it may not have stored. KVNewest does return the value of such a
	// write; then stored waits until it is stored, and returns an error when it never
	// will be or when its context ends. KVSet stores one;
	// KVCAS does so only if the present value equals old or, when old is nil, if
	// there is none, and otherwise returns fault.Conflict. KVDelete removes one,
	// KVClear all of a plugin. fault.Exhausted in the field "value" is the quota's. KVChange
	// writes value and time limit in one write, or removes a key, after a comparison as that of
	// KVCAS if the change has one.
	KVGet(ctx context.Context, plugin, key string) (value []byte, found bool, err error)
	KVCached(plugin, key string) (value []byte, found, ok bool)
	KVNewest(plugin, key string) (value []byte, found, ok bool, stored func(context.Context) error)
	KVSet(ctx context.Context, plugin, key string, value []byte) error
	KVCAS(ctx context.Context, plugin, key string, old, value []byte) error
	KVDelete(ctx context.Context, plugin, key string) error
	KVChange(ctx context.Context, plugin string, c spec.KVChange) error
	KVClear(ctx context.Context, plugin string) error
	// A key can have a time limit, after which it is absent everywhere at once; the engine
	// removes it later. KVExpire sets the limit of a key that is there, a zero time removes
	// it; fault.NotFound otherwise. KVSet removes a limit, KVCAS keeps it. KVList returns the
	// keys that begin with prefix and come after another one, ascending by their bytes, at
	// most limit (1 to spec.MaxKVPage); it is no snapshot. KVUsage returns the bytes of a
	// plugin's state, as spec.GrowKV counts them, and their quota.
	KVExpire(ctx context.Context, plugin, key string, until time.Time) error
	KVList(ctx context.Context, plugin, prefix, after string, limit int) ([]spec.KVItem, error)
	KVUsage(ctx context.Context, plugin string) (used, quota int64, err error)

	// PutDocuments stores documents, each in place of the one with its kind and id, in one
	// transaction and in their order; one without a body removes it. fault.Invalid, and
	// nothing is stored, when event.CheckDocument refuses one. Documents returns those of a
	// kind, ascending by id.
	PutDocuments(ctx context.Context, list []event.Document) error
	Documents(ctx context.Context, kind string) ([]event.Document, error)
}

// Engine is what a host stores its events and its progress in.
type Engine interface {
	Log
	State
	Close() error
}
