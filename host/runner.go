package host

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/bus"
	"github.com/berth-host/berth/host/config"
	"github.com/berth-host/berth/host/delivery"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/plugin"
	"github.com/berth-host/berth/host/route"
	"github.com/berth-host/berth/host/sandbox"
	"github.com/berth-host/berth/host/sandbox/guestnet"
	"github.com/berth-host/berth/host/sandbox/pointer"
	"github.com/berth-host/berth/host/sandbox/vet"
	"github.com/berth-host/berth/host/secret"
	"github.com/berth-host/berth/host/wire"
)

// loader lets the plugin manager load modules into the sandbox.
type loader struct{ engine *sandbox.Engine }

// Load implements plugin.Loader.
func (l loader) Load(ctx context.Context, _ string, wasm []byte, memory int64) (plugin.Module, error) {
	m, err := l.engine.Load(ctx, wasm, sandbox.Options{Memory: memory})
	if err != nil {
		return nil, err
	}
	return m, nil
}

// runner puts loaded plugins to work: for each handler one delivery.Handler,
// from which the sandbox pools of its versions take.
type runner struct {
	dispatcher       *delivery.Dispatcher
	engine           *sandbox.Engine
	state            keyValues
	network          *guestnet.Network
	secrets          secret.Source
	table            *atomic.Pointer[route.Table]
	logger           *slog.Logger
	conditionChanged atomic.Pointer[func()] // says that a handler's condition has changed; nil before there is somebody to say it to

	mu        sync.Mutex // a leaf
	handlers  map[string]*handler
	nameLocks map[string]chan struct{} // by handler: holds a token of who opens or closes it
}

// handler is an open delivery.Handler with the number of versions that use it.
type handler struct {
	*delivery.Handler
	versions int // changed by who has its turn

	mu       sync.Mutex // held around Update and for the figures
	policy   delivery.Policy
	assigned uint64 // of Stats.Refused, what a version has taken for its own
}

func (h *handler) update(change func(*delivery.Policy)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	change(&h.policy)
	h.Update(h.policy)
}

// startRunner starts the sandbox and the deliveries.
func (h *Host) startRunner(b *bus.Bus, log engine) (*runner, error) {
	limits := h.current.Load().Vet
	vetter, err := vet.New(vet.Config{CacheDir: h.cacheDir(), Version: h.cfg.Version,
		Memory: limits.Memory, CPU: limits.CPU, Wall: limits.Wall, Logger: h.logger})
	if err != nil {
		return nil, err
	}
	h.reports = newReports(vetter)
	eng, err := sandbox.New(sandbox.Config{Vetter: h.reports, MemoryTotal: h.memoryTotal(), Logger: h.logger})
	if err != nil {
		return nil, err
	}
	r := &runner{engine: eng, state: log, network: guestnet.New(guestnet.Config{}), secrets: h.secretSource(),
		table: &h.table, logger: h.logger, handlers: make(map[string]*handler), nameLocks: make(map[string]chan struct{})}
	r.dispatcher = delivery.New(delivery.Config{
		Store:  log,
		Log:    deliveryLog{b, log},
		Logger: h.logger,
		Start:  h.startOf(log),
		OnCondition: func(string) {
			if changed := r.conditionChanged.Load(); changed != nil {
				(*changed)()
			}
		},
		Observer: func(rec event.Record, d event.Delivery) {
			h.feed.Publish(wire.Activity{Kind: "delivery", Delivery: &wire.DeliveryOfEvent{
				EventID: rec.Event.ID(), Seq: rec.Seq, Delivery: delivery.Wire(d)}})
		},
		Watched: h.feed.Watched,
	})
	h.runner = r
	h.undo("the connections of guests", func(context.Context) error { r.network.Close(); return nil })
	h.undo("the deliveries", r.dispatcher.Close)
	return r, nil
}

// memoryTotal is what all instances may have together, in bytes: as configured,
// or half of the memory there is, or no bound where that is not known.
func (h *Host) memoryTotal() int64 { return memoryTotal(h.begun) }

func memoryTotal(c *config.Config) int64 {
	if configured := c.Defaults.MemoryTotal; configured > 0 {
		return configured
	}
	return availableMemory() / 2
}

// Claim implements plugin.Runner.
func (r *runner) Claim(ctx context.Context, name string) error {
	return r.dispatcher.Claim(ctx, name)
}

// Start implements plugin.Runner.
func (r *runner) Start(ctx context.Context, spec plugin.Spec) (plugin.Running, error) {
	policy, err := r.policy(spec)
	if err != nil {
		return nil, err
	}
	capabilities, err := r.capabilities(spec)
	if err != nil {
		return nil, err
	}
	h, err := r.acquire(ctx, spec.Name, policy)
	if err != nil {
		return nil, err
	}
	pool, err := spec.Module.(*sandbox.Module).NewPool(ctx, sandbox.PoolConfig{
		Name:         spec.Name,
		Source:       source{h.Handler},
		Limits:       spec.Settings.Limits,
		Settings:     string(spec.Settings.Config),
		Capabilities: capabilities,
		Logger:       r.logger,
	})
	if err != nil {
		_ = r.release(ctx, spec.Name)
		return nil, err
	}
	h.update(func(p *delivery.Policy) {
		policy.Paused = p.Paused // as SetPaused said it last; a start takes its time
		*p = policy
	})
	h.Probe() // the new version may do what the old one could not
	return &running{runner: r, name: spec.Name, handler: h, pool: pool}, nil
}

// source is where the instances of a pool get their attempts.
type source struct{ *delivery.Handler }

// Hand implements sandbox.Source.
func (s source) Hand() sandbox.Hand { return s.Handler.Hand() }

// policy says which events a plugin takes, in which order, and how often.
func (r *runner) policy(spec plugin.Spec) (delivery.Policy, error) {
	filter, err := newFilter(spec.Name, spec.Manifest)
	if err != nil {
		return delivery.Policy{}, err
	}
	logger := r.logger.With("plugin", spec.Name)
	sometimes := &rate.Sometimes{First: 3, Interval: 10 * time.Second}
	return delivery.Policy{
		Takes: func(ev *event.Event) bool {
			takes, err := r.table.Load().Takes(spec.Name, filter, ev)
			if err != nil {
				sometimes.Do(func() {
					logger.Warn("a condition could not be evaluated; the event is passed over", "event_id", ev.ID(), "error", err)
				})
			}
			return takes
		},
		Key:     orderKey(spec.Settings.OrderBy),
		Retry:   spec.Settings.Retry,
		Breaker: spec.Settings.Breaker,
		Paused:  spec.Settings.Paused,
	}, nil
}

// orderKey reads the value at a JSON Pointer into the envelope. An event
// without one has no order.
func orderKey(ptr string) func(*event.Event) string {
	switch ptr {
	case "":
		return nil
	case "/metadata/subject":
		return (*event.Event).Subject
	}
	return func(ev *event.Event) string {
		key, code := pointer.Get(ev.Envelope(), ptr)
		if code != abi.Code(0) {
			return ""
		}
		return key
	}
}

// turn keeps everybody else from opening and closing a handler. Both can take as
// long as the store does, and nobody else's handler waits for that.
func (r *runner) lockName(ctx context.Context, name string) (end func(), err error) {
	r.mu.Lock()
	lock := r.nameLocks[name]
	if lock == nil {
		lock = make(chan struct{}, 1)
		r.nameLocks[name] = lock
	}
	r.mu.Unlock()
	select {
	case lock <- struct{}{}:
		return func() { <-lock }, nil
	case <-ctx.Done():
		return nil, fault.New(fault.Unavailable, "wait for the handler %s, which is being opened or closed: %w", name, ctx.Err())
	}
}

// open returns the open handler, nil for none.
func (r *runner) open(name string) *handler {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.handlers[name]
}

func (r *runner) acquire(ctx context.Context, name string, p delivery.Policy) (*handler, error) {
	end, err := r.lockName(ctx, name)
	if err != nil {
		return nil, err
	}
	defer end()
	h := r.open(name)
	if h == nil {
		opened, err := r.dispatcher.Open(ctx, delivery.HandlerConfig{Name: name, Policy: p})
		if err != nil {
			return nil, err
		}
		h = &handler{Handler: opened, policy: p}
		r.mu.Lock()
		r.handlers[name] = h
		r.mu.Unlock()
	}
	h.versions++
	return h, nil
}

// release closes the handler with the last version that used it.
func (r *runner) release(ctx context.Context, name string) error {
	end, _ := r.lockName(context.WithoutCancel(ctx), name) // who has it ends with a context of his own
	defer end()
	h := r.open(name)
	if h.versions--; h.versions > 0 {
		h.Probe() // an instance of the version that has gone may have made the last one
		return nil
	}
	r.mu.Lock()
	delete(r.handlers, name)
	r.mu.Unlock()
	return h.Close(ctx)
}

// running is one version of a plugin at work.
type running struct {
	runner  *runner
	name    string
	handler *handler
	pool    *sandbox.Pool
	drain   sync.Once
	refused uint64 // deliveries that the pool counts as ok and that are dead; under handler.mu
}

// Drain implements plugin.Running.
func (v *running) Drain(ctx context.Context) error {
	err := v.pool.Drain(ctx)
	v.drain.Do(func() {
		if e := v.runner.release(ctx, v.name); err == nil {
			err = e
		}
	})
	return err
}

// Stats implements plugin.Running.
func (v *running) Stats() plugin.Stats {
	v.handler.mu.Lock()
	s, h := v.pool.Stats(), v.handler.Stats()
	if h.Refused > v.handler.assigned { // while two versions are at work, nobody knows whose
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
