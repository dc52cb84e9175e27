package delivery

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"

	"github.com/berth-host/berth/host/delivery/actions"
	"github.com/berth-host/berth/host/delivery/claim"
	"github.com/berth-host/berth/host/delivery/engine"
	"github.com/berth-host/berth/host/delivery/measure"
	"github.com/berth-host/berth/host/delivery/namelock"
	"github.com/berth-host/berth/host/delivery/notice"
	"github.com/berth-host/berth/host/delivery/recorder"
	"github.com/berth-host/berth/host/delivery/stored"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
)

// Store keeps outcomes and cursors.
type Store = engine.Store

// Log is the event log that handlers read.
type Log = engine.Log

// Reader is one reader of the log, used by one goroutine.
type Reader = engine.Reader

// Config configures a Dispatcher.
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
}

// Tracer follows attempts.
type Tracer = engine.Tracer

// Dispatcher owns the queues of all handlers. It is safe for concurrent use.
type Dispatcher struct {
	*actions.Actions
	cfg      Config
	recorder *recorder.Recorder
	sinks    notice.Sinks
	// names are locked by those that open, replay or close a handler.
	names    namelock.Locks
	measured measure.Registry

	mu       sync.Mutex
	handlers map[string]*handler // that are open
	claims   claim.Claims
	closed   bool
}

// New returns a running Dispatcher. The caller closes it.
func New(cfg Config) *Dispatcher {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Start == nil {
		cfg.Start = func(context.Context, string) (uint64, error) { return cfg.Log.Last(), nil }
	}
	if cfg.OnCondition == nil {
		cfg.OnCondition = func(string) {}
	}
	if cfg.Random == nil {
		cfg.Random = rand.Float64
	}
	d := &Dispatcher{cfg: cfg, handlers: make(map[string]*handler)}
	d.sinks = notice.Sinks{Logger: cfg.Logger, Observer: cfg.Observer, OnFailure: cfg.OnFailure}
	if cfg.Tracer != nil {
		d.sinks.Ended = cfg.Tracer.Ended
	}
	d.recorder = recorder.New(recorder.Config{Save: cfg.Store.SaveDeliveries, Handlers: d.recorded,
		Refused: func(ctx context.Context, refused event.Delivery) { d.sinks.Refuse(ctx, cfg.Log.Read, refused) }, Logger: cfg.Logger})
	d.Actions = d.newActions()
	return d
}

// watched reports whether outcomes are observed now.
func (d *Dispatcher) watched() bool {
	return d.cfg.Observer != nil && (d.cfg.Watched == nil || d.cfg.Watched())
}

// Claim gives a handler its position in the log, durably; see claim.Claims.
func (d *Dispatcher) Claim(ctx context.Context, handler string) error {
	return d.claims.Claim(ctx, d.cfg.Store, handler, d.cfg.Start)
}

// Open returns a Source of a handler for the version whose module has this SHA-256, in
// hex, or "" if that is not known. The first Source opens the handler: it starts to read
// at the handler's cursor, after a Claim, with this policy. Further sources share the
// open handler and its policy; Source.Update changes it.
func (d *Dispatcher) Open(ctx context.Context, name, module string, policy Policy) (*Source, error) {
	for {
		h, unlock, err := d.lock(ctx, name)
		if err != nil {
			return nil, err
		}
		if h == nil {
			h, err = d.open(ctx, name, policy)
		}
		var s *Source
		if err == nil {
			s = h.newSource(module)
		}
		unlock()
		if err != nil || s != nil {
			return s, err
		}
	}
}

// open opens a handler. The caller has locked its name.
func (d *Dispatcher) open(ctx context.Context, name string, policy Policy) (*handler, error) {
	if err := d.Claim(ctx, name); err != nil {
		return nil, err
	}
	if err := d.recorder.FinishEffects(ctx, name); err != nil {
		return nil, err
	}
	backlog, err := d.cfg.Store.LoadBacklog(ctx, name)
	if err != nil {
		return nil, err
	}
	h := newHandler(d, name, policy)
	if h.sampled, err = stored.Sampled(ctx, d.cfg.Store, name); err != nil {
		return nil, err
	}
	if err := h.load(ctx, backlog); err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil, fault.New(fault.Unavailable, "the host is closing")
	}
	d.handlers[name] = h
	h.startReading()
	return h, nil
}

// newSource returns nil when the handler has begun to close.
func (h *handler) newSource(module string) *Source {
	h.dispatcher.mu.Lock()
	defer h.dispatcher.mu.Unlock()
	if h.life.Err() != nil {
		return nil
	}
	h.sources++
	s := &Source{h: h, module: module}
	h.dispatcher.measured.Begin(h.name, s)
	return s
}

// lock locks a handler's name and returns the open handler, nil if there is none. It
// waits for a handler that is closing.
func (d *Dispatcher) lock(ctx context.Context, name string) (h *handler, unlock func(), err error) {
	for {
		if unlock, err = d.names.Lock(ctx, name); err != nil {
			return nil, nil, err
		}
		if h = d.handler(name); h == nil || h.life.Err() == nil {
			return h, unlock, nil
		}
		unlock()
		select {
		case <-h.removed:
		case <-ctx.Done():
			return nil, nil, namelock.Error(ctx, name)
		}
	}
}

// handler returns the open handler, nil if there is none.
func (d *Dispatcher) handler(name string) *handler {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.handlers[name]
}

// IsOpen reports whether a handler is open.
func (d *Dispatcher) IsOpen(handler string) bool { return d.handler(handler) != nil }

func (d *Dispatcher) remove(h *handler) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.handlers[h.name] == h {
		delete(d.handlers, h.name)
	}
}

func (d *Dispatcher) list() []*handler {
	d.mu.Lock()
	defer d.mu.Unlock()
	hs := make([]*handler, 0, len(d.handlers))
	for _, h := range d.handlers {
		hs = append(hs, h)
	}
	return hs
}

// recorded returns the open handlers for the recorder.
func (d *Dispatcher) recorded() (list []recorder.Handler) {
	for _, h := range d.list() {
		list = append(list, h)
	}
	return list
}

// Close closes every handler and stops the recorder when it has written all outcomes, or
// when ctx ends: events with unwritten outcomes are delivered again.
func (d *Dispatcher) Close(ctx context.Context) error {
	d.mu.Lock()
	d.closed = true
	d.mu.Unlock()
	var errs []error
	for _, h := range d.list() {
		errs = append(errs, h.close(ctx))
	}
	d.recorder.Close()
	return errors.Join(errs...)
}
