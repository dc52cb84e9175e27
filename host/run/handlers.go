package run

import (
	"context"
	"maps"
	"slices"
	"sync"

	"github.com/berth-host/berth/host/delivery"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/plugin"
	"github.com/berth-host/berth/host/sandbox"
	"github.com/berth-host/berth/host/wire"
)

// handlers are the open handlers by name.
type handlers struct {
	dispatcher *delivery.Dispatcher

	mu        sync.Mutex // guards the maps; not held across calls
	open      map[string]*handler
	nameLocks map[string]chan struct{} // holds a token while the handler is opened or closed
}

// handler is an open delivery.Handler with the number of versions that use it.
type handler struct {
	*delivery.Handler
	versions int // guarded by the name's lock

	mu       sync.Mutex // held across Update and Stats
	policy   delivery.Policy
	assigned uint64 // of Stats.Refused, the part assigned to versions
}

func (h *handler) update(change func(*delivery.Policy)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	change(&h.policy)
	h.Update(h.policy)
}

func newHandlers(d *delivery.Dispatcher) handlers {
	return handlers{dispatcher: d, open: make(map[string]*handler), nameLocks: make(map[string]chan struct{})}
}

// lockName waits until no other caller opens or closes the handler. Both can take as
// long as a write of the store, and must not delay other handlers.
func (hs *handlers) lockName(ctx context.Context, name string) (unlock func(), err error) {
	hs.mu.Lock()
	lock := hs.nameLocks[name]
	if lock == nil {
		lock = make(chan struct{}, 1)
		hs.nameLocks[name] = lock
	}
	hs.mu.Unlock()
	select {
	case lock <- struct{}{}:
		return func() { <-lock }, nil
	case <-ctx.Done():
		return nil, fault.New(fault.Unavailable, "wait for handler %s, which is being opened or closed: %w", name, ctx.Err())
	}
}

// get returns the open handler, nil for none.
func (hs *handlers) get(name string) *handler {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	return hs.open[name]
}

// acquire returns the handler for one more version, and opens it for the first.
func (hs *handlers) acquire(ctx context.Context, name string, p delivery.Policy) (*handler, error) {
	unlock, err := hs.lockName(ctx, name)
	if err != nil {
		return nil, err
	}
	defer unlock()
	h := hs.get(name)
	if h == nil {
		opened, err := hs.dispatcher.Open(ctx, delivery.HandlerConfig{Name: name, Policy: p})
		if err != nil {
			return nil, err
		}
		h = &handler{Handler: opened, policy: p}
		hs.mu.Lock()
		hs.open[name] = h
		hs.mu.Unlock()
	}
	h.versions++
	return h, nil
}

// release closes the handler with the last version that uses it.
func (hs *handlers) release(ctx context.Context, name string) error {
	unlock, _ := hs.lockName(context.WithoutCancel(ctx), name) // the present owner has a context of its own
	defer unlock()
	h := hs.get(name)
	if h.versions--; h.versions > 0 {
		h.Probe() // the released version may have made the last probe
		return nil
	}
	hs.mu.Lock()
	delete(hs.open, name)
	hs.mu.Unlock()
	return h.Close(ctx)
}

// stuck returns the first handler by name that cannot read on in the log, and its
// position; "" for none.
func (hs *handlers) stuck() (name, position string) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(hs.open)) {
		if position, _ := hs.open[name].Stuck(); position != "" {
			return name, position
		}
	}
	return "", ""
}

// running is one version of a plugin at work.
type running struct {
	handlers *handlers
	name     string
	handler  *handler
	pool     *sandbox.Pool
	drain    sync.Once
	refused  uint64 // deliveries that are ok in the pool and dead in the log; guarded by handler.mu
}

// Drain implements plugin.Running.
func (v *running) Drain(ctx context.Context) error {
	err := v.pool.Drain(ctx)
	v.drain.Do(func() {
		if e := v.handlers.release(ctx, v.name); err == nil {
			err = e
		}
	})
	return err
}

// Stats implements plugin.Running.
func (v *running) Stats() plugin.Stats {
	v.handler.mu.Lock()
	s, h := v.pool.Stats(), v.handler.Stats()
	if h.Refused > v.handler.assigned { // the version is unknown while two are at work
		more := min(h.Refused-v.handler.assigned, s.Delivered-v.refused)
		v.handler.assigned, v.refused = v.handler.assigned+more, v.refused+more
	}
	refused := v.refused
	v.handler.mu.Unlock()
	return plugin.Stats{Instances: s.Instances, Delivered: s.Delivered - refused, Failed: s.Failed + refused, Fuel: s.Fuel,
		Lag: h.Lag, Condition: plugin.Condition{State: wire.PluginState(h.Condition.State), Reason: h.Condition.Reason, Since: h.Condition.Since}}
}

// SetPaused implements plugin.Running.
func (v *running) SetPaused(paused bool) {
	v.handler.update(func(p *delivery.Policy) { p.Paused = paused })
}
