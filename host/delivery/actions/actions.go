// Package actions has what operators do to the deliveries of handlers, open or not: retries
// without waiting, skips, redrives, purges, and deliveries that are made again.
package actions

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/berth-host/berth/host/delivery/stored"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
)

// Store is the part of delivery.Store that actions use.
type Store interface {
	stored.Store
	DeadLetterStore
	SaveDeliveries(ctx context.Context, fences []spec.Fence, successes []event.Successes, list []event.Delivery, cursors []event.Cursor) (
		saved event.Saved, fenced []spec.Fence, err error)
}

// Handler is an open handler. It is safe for concurrent use.
type Handler interface {
	// RetryNow makes the retries among these events due. It returns their number, and the
	// events that are not open.
	RetryNow(seqs []uint64) (n int, left []uint64)
	// Skip skips an event that is open or that the handler has yet to read. known is false when
	// it is neither.
	Skip(rec event.Record) (known bool, err error)
	// Retrying returns the deliveries that wait for another attempt, in any order.
	Retrying() []event.Delivery
	// Stuck returns the handler's name, and where it cannot read on in the log, "" when it can.
	Stuck() (name, at string)
	// Figures returns the handler's figures; last is the log's end.
	Figures(last uint64) stored.Figures
	// Probe has an open breaker try an event now.
	Probe()
	// TakeUp has the handler take up events that are pending in the store.
	TakeUp(ctx context.Context)
	// ReplayFrom stores a replay and sets the handler back. Its name is locked. It returns
	// ErrClosing when the handler is closing.
	ReplayFrom(ctx context.Context, from, to uint64) error
	// Flush waits until all present outcomes are written.
	Flush(ctx context.Context) error
}

// Config configures Actions. All fields are required.
type Config struct {
	Store    Store
	Read     func(ctx context.Context, from uint64, limit int) ([]event.Record, error) // see delivery.Log
	FlushAll func(context.Context) error                                               // waits until all present outcomes are written
	Handler  func(name string) (h Handler, open bool)
	Handlers func() []Handler // that are open
	Last     func() uint64    // the highest Seq of the log
	// Lock locks the name of a handler, which is neither opened nor closed meanwhile. It
	// returns the handler, nil when it is not open.
	Lock func(ctx context.Context, name string) (open Handler, unlock func(), err error)
	// Fenced returns a context for writes, or ErrNotOwned when this host does not own the handler,
	// which is also so for the name "" of all handlers of several hosts.
	Fenced func(ctx context.Context, handler string) (context.Context, error)
}

// ErrNotOwned is the error of an action on a handler that this host does not own: its owner
// carries it out.
var ErrNotOwned = fault.New(fault.Conflict, "another host owns the handler: the action is for that one")

// Actions are those of operators. They are safe for concurrent use.
type Actions struct{ cfg Config }

// New returns Actions.
func New(cfg Config) *Actions { return &Actions{cfg} }

// RetryNow delivers events to a handler that wait for another attempt, without waiting until
// it is due, and those that are its dead letters, with all their attempts. It returns their
// number. An open breaker tries an event immediately: the one that is given alone, also if it
// is pending, and otherwise any. Pending ones do not count. Order per key holds. The retries
// of a handler that is not open remain due when they are.
func (a *Actions) RetryNow(ctx context.Context, handler string, seqs []uint64) (int, error) {
	ctx, err := a.begin(ctx, handler) // unwritten dead letters count too
	if err != nil {
		return 0, fmt.Errorf("retry: %w", err)
	}
	n := 0
	left := seqs
	if h, open := a.cfg.Handler(handler); open {
		n, left = h.RetryNow(seqs)
		h.Probe()
	}
	var dead []uint64
	for _, seq := range left {
		one, err := stored.Delivery(ctx, a.cfg.Store, handler, seq)
		if err != nil {
			return n, err
		}
		if one.Status == event.StatusDead {
			dead = append(dead, seq)
		}
	}
	if len(dead) == 0 {
		return n, nil
	}
	redriven, err := a.cfg.Store.Requeue(ctx, handler, dead)
	if redriven > 0 || err != nil {
		a.takeUp(ctx, handler)
	}
	return n + redriven, err
}

// SkipEvent makes a dead letter of an event that waits for a handler, with the class skipped,
// so that the events behind it in the order of its key continue. It returns when that is
// stored. Errors: fault.NotFound when the handler does not get the event, and fault.Conflict
// while an attempt is under way, when the delivery is final, and while it cannot be skipped.
func (a *Actions) SkipEvent(ctx context.Context, handler string, seq uint64) error {
	ctx, err := a.cfg.Fenced(ctx, handler)
	if err != nil {
		return err
	}
	records, err := a.cfg.Read(ctx, seq, 1)
	if err != nil {
		return err
	}
	if len(records) != 1 || records[0].Seq != seq {
		return fault.New(fault.NotFound, "the log has no event %d", seq)
	}
	h, open := a.cfg.Handler(handler)
	if !open {
		return a.skipStored(ctx, handler, seq)
	}
	known, err := h.Skip(records[0])
	if err == nil && !known {
		_, err = a.skippable(ctx, handler, seq, true)
	}
	if err != nil {
		return err
	}
	return h.Flush(ctx)
}

// skippable returns the delivery of an event in the store, or why it cannot be skipped, of an
// open handler that does not have it or of one that is not open.
func (a *Actions) skippable(ctx context.Context, handler string, seq uint64, open bool) (one event.Delivery, err error) {
	if err := a.cfg.FlushAll(ctx); err != nil {
		return one, fmt.Errorf("skip: %w", err)
	}
	if one, err = stored.Delivery(ctx, a.cfg.Store, handler, seq); err != nil {
		return one, err
	}
	return one, stored.RefuseSkip(handler, seq, one.Status, open)
}

// skipStored is SkipEvent for a handler that is not open.
func (a *Actions) skipStored(ctx context.Context, handler string, seq uint64) error {
	open, unlock, err := a.cfg.Lock(ctx, handler)
	if err != nil {
		return err
	}
	defer unlock()
	if open != nil {
		return fault.New(fault.Conflict, "the handler %s was started a moment ago: try again", handler)
	}
	one, err := a.skippable(ctx, handler, seq, false)
	if err != nil {
		return err
	}
	var fences []spec.Fence
	if f, fenced := spec.FenceOf(ctx); fenced {
		fences = append(fences, f)
	}
	_, fenced, err := a.cfg.Store.SaveDeliveries(ctx, fences, nil, []event.Delivery{one.Skip(time.Now())}, nil)
	if err == nil && len(fenced) > 0 {
		return ErrNotOwned
	}
	return err
}

// begin returns a context for the writes of an action, once all present outcomes are written.
func (a *Actions) begin(ctx context.Context, handler string) (context.Context, error) {
	ctx, err := a.cfg.Fenced(ctx, handler)
	if err != nil {
		return nil, err
	}
	return ctx, a.cfg.FlushAll(ctx)
}

// Retrying returns the deliveries of a handler above a Seq that wait for another attempt,
// ascending, at most limit.
func (a *Actions) Retrying(ctx context.Context, handler string, after uint64, limit int) ([]event.Delivery, error) {
	var list []event.Delivery
	if h, open := a.cfg.Handler(handler); open {
		list = h.Retrying()
	} else {
		var err error
		if list, err = stored.Retrying(ctx, a.cfg.Store, handler); err != nil {
			return nil, err
		}
	}
	list = slices.DeleteFunc(list, func(one event.Delivery) bool { return one.Seq <= after })
	slices.SortFunc(list, func(a, b event.Delivery) int { return cmp.Compare(a.Seq, b.Seq) })
	return list[:min(limit, len(list))], nil
}
