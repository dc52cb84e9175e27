package delivery

import (
	"context"
	"time"

	"github.com/berth-host/berth/host/delivery/actions"
	"github.com/berth-host/berth/host/delivery/obstacle"
	"github.com/berth-host/berth/host/delivery/outcomes"
	"github.com/berth-host/berth/host/delivery/stored"
	"github.com/berth-host/berth/host/delivery/tenure"
	"github.com/berth-host/berth/host/event"
)

// Tenure is the time in which this host owns a handler.
type Tenure = tenure.Tenure

// ErrNotOwned is the error of an action on a handler that another host, or none, owns.
var ErrNotOwned = actions.ErrNotOwned

// restore loads a handler's state from the store. Neither the reader nor the feeder runs, no
// attempt is open, and no attempt may start.
func (h *handler) restore(ctx context.Context) error {
	d := h.dispatcher
	if err := d.recorder.FinishEffects(ctx, h.name); err != nil {
		return err
	}
	backlog, err := d.cfg.Store.LoadBacklog(ctx, h.name)
	if err != nil {
		return err
	}
	if h.sampled, err = stored.Sampled(ctx, d.cfg.Store, h.name); err != nil {
		return err
	}
	return h.load(ctx, backlog)
}

// Own implements tenure.Owned.
func (h *handler) Own(ctx context.Context, x *tenure.Hold) error {
	if err := h.restore(ctx); err != nil {
		return err
	}
	h.begin(x)
	h.dispatcher.cfg.OnCondition(h.name)
	return nil
}

// begin has the handler run that restore has loaded; x is nil for the only host.
func (h *handler) begin(x *tenure.Hold) {
	h.mu.Lock()
	h.hold = x
	h.breaker.Reset()
	h.setStandby(false)
	h.mu.Unlock()
	h.startReading()
	h.setSuspended(false)
}

// setStandby keeps a handler from starting attempts and from recording while it does not run
// here. The caller holds handler.mu.
func (h *handler) setStandby(standby bool) {
	h.standby.Store(standby)
	h.suspended, h.standbySince = standby, time.Now()
}

// Holds implements tenure.Owned.
func (h *handler) Holds(x *tenure.Hold) bool { return h.hold == x }

// Standby implements opened.Handler.
func (h *handler) Standby() bool { return h.standby.Load() }

// Closing implements opened.Handler.
func (h *handler) Closing() bool { return h.life.Err() != nil }

// Removed implements opened.Handler.
func (h *handler) Removed() <-chan struct{} { return h.removed }

// Suspend implements tenure.Handler.
func (h *handler) Suspend() {
	h.setSuspended(true)
	h.stopReading()
	h.reading.Wait()
}

// Unload implements tenure.Handler: the handler waits until a host owns it.
func (h *handler) Unload() {
	h.mu.Lock()
	h.hold = nil
	h.setStandby(true) // from here on no cursor is collected
	dropped := h.dropOutcomes()
	h.obstacles = obstacle.Set{}
	h.troubled.Store(false)
	h.reset(event.Backlog{}, nil, nil)
	h.mu.Unlock()
	outcomes.Release(dropped)
	h.dispatcher.cfg.OnCondition(h.name)
}
