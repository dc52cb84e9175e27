package tenure

import (
	"context"
	"log/slog"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
)

// Owned is an open handler that a host owns or is about to own. Its name is locked during the
// calls.
type Owned interface {
	Handler
	// Own loads the backlog and runs the handler.
	Own(ctx context.Context, x *Hold) error
	// Holds reports whether it runs with this hold.
	Holds(x *Hold) bool
}

// Config configures Owners. All fields are required.
type Config struct {
	// Lock locks the name of a handler, and returns the open handler, nil when there is none.
	Lock   func(ctx context.Context, name string) (open Owned, unlock func(), err error)
	Logger *slog.Logger
}

// Owners are the handlers that this host owns. It is safe for concurrent use.
type Owners struct {
	cfg   Config
	holds registry
}

// NewOwners returns Owners. The caller closes them.
func NewOwners(cfg Config) *Owners { return &Owners{cfg: cfg} }

// Own runs a handler from now on: this host has acquired it before. An open handler loads its
// backlog and continues at its position; one that is opened later starts then. A former tenure
// that was not disowned ends as one that is lost. The handler runs until Disown, until the tenure
// is done, or until the store refuses a write with its fence.
func (o *Owners) Own(ctx context.Context, handler string, t Tenure) error {
	if former := o.holds.get(handler); former != nil {
		former.Lose()
		o.giveUp(ctx, handler, former)
	}
	h, unlock, err := o.cfg.Lock(ctx, handler)
	if err != nil {
		return err
	}
	defer unlock()
	x := New(t)
	if !o.holds.put(handler, x, func() { o.lost(handler, x) }) {
		return fault.New(fault.Unavailable, "the host is closing")
	}
	if h == nil {
		return nil
	}
	if err := h.Own(ctx, x); err != nil {
		o.holds.end(handler, x)
		return err
	}
	return nil
}

// Disown gives up a handler. No attempt begins, and the open ones may end until ctx ends; then
// they are cancelled. It returns when no attempt is open and the outcomes are written; those that
// cannot be are dropped, and their events delivered again. A write whose result the store has not
// said may still succeed, with the fence of the tenure, until another host acquires the handler.
func (o *Owners) Disown(ctx context.Context, handler string) error {
	if x := o.holds.get(handler); x != nil {
		o.giveUp(ctx, handler, x)
	}
	return nil
}

// Hold returns the hold of a handler, nil for none.
func (o *Owners) Hold(handler string) *Hold { return o.holds.get(handler) }

// Close ends all holds. The handlers are closed.
func (o *Owners) Close() { o.holds.close() }

// Fenced returns a context for the writes of an action on a handler, and whether this host owns
// it. A context with a fence of the handler is one for which this host has taken the handler only
// for the action, because no host runs it.
func (o *Owners) Fenced(ctx context.Context, handler string) (_ context.Context, owned bool) {
	x := o.holds.get(handler)
	if x == nil {
		f, taken := spec.FenceOf(ctx)
		return ctx, taken && f.Unit == handler
	}
	return spec.WithFence(ctx, x.Fence()), true
}

// lost gives up a handler whose tenure is lost.
func (o *Owners) lost(handler string, x *Hold) {
	o.cfg.Logger.Info("this host does not own the handler any more; open attempts are cancelled and their events delivered again",
		spec.LogUnit(handler), "epoch", x.Epoch())
	o.giveUp(context.Background(), handler, x)
}

func (o *Owners) giveUp(ctx context.Context, handler string, x *Hold) {
	x.Leave()
	h, unlock, _ := o.cfg.Lock(context.WithoutCancel(ctx), handler) // Leave has interrupted those that take long
	defer unlock()
	defer o.holds.end(handler, x)
	if h == nil || !h.Holds(x) {
		return
	}
	if err := GiveUp(ctx, x, h); err != nil {
		o.cfg.Logger.Warn("outcomes dropped: their events are delivered again", spec.LogUnit(handler), "error", err)
	}
}
