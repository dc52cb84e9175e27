package delivery

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/berth-host/berth/host/delivery/actions"
	"github.com/berth-host/berth/host/delivery/claim"
	"github.com/berth-host/berth/host/delivery/engine"
	"github.com/berth-host/berth/host/delivery/measure"
	"github.com/berth-host/berth/host/delivery/notice"
	"github.com/berth-host/berth/host/delivery/opened"
	"github.com/berth-host/berth/host/delivery/recorder"
	"github.com/berth-host/berth/host/delivery/tenure"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/spec"
)

// Store keeps outcomes and cursors.
type Store = engine.Store

// Log is the event log that handlers read.
type Log = engine.Log

// Reader is one reader of the log, used by one goroutine.
type Reader = engine.Reader

// Config configures a Dispatcher.
type Config = engine.Config

// Tracer follows attempts.
type Tracer = engine.Tracer

// Dispatcher owns the queues of all handlers. It is safe for concurrent use.
type Dispatcher struct {
	*actions.Actions
	cfg      Config
	recorder *recorder.Recorder
	sinks    notice.Sinks
	handlers opened.Handlers[*handler]
	owners   *tenure.Owners // with Config.Shared
	measured measure.Registry
	claims   claim.Claims
	mu       sync.Mutex // of the sources
}

// New returns a running Dispatcher. The caller closes it.
func New(cfg Config) *Dispatcher {
	cfg.SetDefaults()
	d := &Dispatcher{cfg: cfg}
	d.sinks = notice.Sinks{Logger: cfg.Logger, Observer: cfg.Observer, OnFailure: cfg.OnFailure}
	if cfg.Tracer != nil {
		d.sinks.Ended = cfg.Tracer.Ended
	}
	d.recorder = recorder.New(recorder.Config{Save: cfg.Store.SaveDeliveries, Handlers: func() []recorder.Handler {
		return opened.Running(&d.handlers, func(h *handler) recorder.Handler { return h })
	},
		Refused: func(ctx context.Context, refused event.Delivery) { d.sinks.Refuse(ctx, cfg.Log.Read, refused) }, Logger: cfg.Logger})
	d.owners = tenure.NewOwners(tenure.Config{Logger: cfg.Logger, Lock: func(ctx context.Context, name string) (tenure.Owned, func(), error) {
		return opened.Lock(ctx, &d.handlers, name, func(h *handler) tenure.Owned { return h })
	}})
	d.Actions = d.newActions()
	return d
}

// Claim gives a handler its position in the log, durably; see claim.Claims.
func (d *Dispatcher) Claim(ctx context.Context, handler string) error {
	return d.claims.Claim(ctx, d.cfg.Store, handler, d.cfg.Start, d.cfg.Claim)
}

// Open returns a Source of a handler for the version whose module has this SHA-256, in
// hex, or "" if that is not known. The first Source opens the handler: it starts to read
// at the handler's cursor, after a Claim, with this policy. Further sources share the
// open handler and its policy; Source.Update changes it.
func (d *Dispatcher) Open(ctx context.Context, name, module string, policy Policy) (*Source, error) {
	for {
		h, unlock, err := d.handlers.Lock(ctx, name)
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
	h := newHandler(d, name, policy)
	x := d.owners.Hold(name)
	if !d.cfg.Shared || x != nil {
		if err := h.restore(ctx); err != nil {
			return nil, err
		}
	}
	err := d.handlers.Add(name, h, func() {
		if !h.standby.Load() || x != nil {
			h.begin(x)
		}
	})
	return h, err
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

// Close closes every handler and stops the recorder when it has written all outcomes, or
// when ctx ends: events with unwritten outcomes are delivered again.
func (d *Dispatcher) Close(ctx context.Context) error {
	var errs []error
	for _, h := range d.handlers.Close() {
		errs = append(errs, h.close(ctx))
	}
	d.owners.Close()
	d.recorder.Close()
	return errors.Join(errs...)
}

// IsOpen reports whether a handler is open.
func (d *Dispatcher) IsOpen(handler string) bool { return d.handlers.Get(handler) != nil }

// Runs reports whether a handler is open, and this host owns it.
func (d *Dispatcher) Runs(handler string) bool {
	h := d.handlers.Get(handler)
	return h != nil && !h.Standby()
}

// RunsAny reports whether this host runs a plugin's handler, or a shard of it.
func (d *Dispatcher) RunsAny(plugin string) bool {
	return slices.ContainsFunc(d.handlers.Running(), func(h *handler) bool { return spec.PluginOf(h.name) == plugin })
}

// Own runs a handler from now on, with Config.Shared; see tenure.Owners.
func (d *Dispatcher) Own(ctx context.Context, handler string, t Tenure) error {
	return d.owners.Own(ctx, handler, t)
}

// Disown gives up a handler; see tenure.Owners.
func (d *Dispatcher) Disown(ctx context.Context, handler string) error {
	return d.owners.Disown(ctx, handler)
}
