package delivery

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sort"
	"sync"
	"time"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/wire"
)

// Store keeps outcomes and cursors. SaveDeliveries writes all of its arguments
// or none, and publishes the rows' Children in the same transaction; what it has
// accepted survives a crash as far as the store promises. A child that was
// published before is left out. When the key of one was used with other content,
// the row is stored as event.Delivery.Refuse makes it, none of its children is
// published, and it is answered as refused.
type Store interface {
	LoadBacklog(ctx context.Context, handler string) (event.Backlog, error)
	SaveDeliveries(ctx context.Context, rows []event.Delivery, cursors []event.Cursor) (refused []event.Delivery, err error)
	Deliveries(ctx context.Context, seq uint64) ([]event.Delivery, error)
	Cursor(ctx context.Context, name string) (seq uint64, found bool, err error)
	Letters
}

// Log is the event log that handlers read.
type Log interface {
	// Subscribe reads from the event with this Seq on.
	Subscribe(from uint64) Reader
	// Read yields events with at least this Seq, ascending.
	Read(ctx context.Context, from uint64, limit int) ([]event.Record, error)
	// Last is the highest Seq of the log, 0 when it is empty.
	Last() uint64
}

// Reader is one reader of the log, used by one goroutine.
type Reader interface {
	// Next waits for events and puts at least one into buf, in order.
	Next(ctx context.Context, buf []event.Record) (int, error)
	Close()
}

// Config is what a Dispatcher needs.
type Config struct {
	Store    Store // required
	Log      Log   // required
	Logger   *slog.Logger
	Observer func(event.Record, event.Delivery) // sees every recorded outcome; must not block. Default none
	Watched  func() bool                        // whether Observer has to be called now; must not block. Default always
	Random   func() float64                     // in [0, 1), for jitter. Default math/rand
	// Start says where a handler begins that has no place in the log yet: after
	// the event with this Seq. Default: at the log's end.
	Start func(ctx context.Context, handler string) (after uint64, err error)
	// OnCondition is told that the Condition of an open handler has changed. It
	// must not block. Default none.
	OnCondition func(handler string)
}

// Dispatcher owns the handlers' deliveries. It is safe for concurrent use.
type Dispatcher struct {
	cfg      Config
	recorder *recorder

	mu       sync.Mutex
	handlers map[string]*Handler
	claims   map[string]uint64        // by handler: the place that could not be stored, see Claim
	places   map[string]chan struct{} // by handler: holds a token of who opens or replays it
	closed   bool
}

// New returns a running Dispatcher. Close it.
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
	d := &Dispatcher{cfg: cfg, handlers: make(map[string]*Handler), claims: make(map[string]uint64), places: make(map[string]chan struct{})}
	d.recorder = newRecorder(cfg, d.list)
	return d
}

// watched reports whether there is somebody to see outcomes.
func (d *Dispatcher) watched() bool {
	return d.cfg.Observer != nil && (d.cfg.Watched == nil || d.cfg.Watched())
}

// cursorName is a handler's name among the cursors of the store.
func cursorName(handler string) string {
	name, _, _ := event.HandlerCursors(handler)
	return name
}

// Claim gives a handler its place in the log, durably: from there on every event
// waits for it. Where that is says Config.Start. For a handler that was claimed
// before it changes nothing. A place that the store has refused is kept in memory
// for the next Claim, so that the handler misses nothing published in between.
func (d *Dispatcher) Claim(ctx context.Context, handler string) error {
	_, found, err := d.cfg.Store.Cursor(ctx, cursorName(handler))
	if err != nil || found {
		return err
	}
	backlog, err := d.cfg.Store.LoadBacklog(ctx, handler)
	if err != nil || backlog.Found {
		return err
	}
	d.mu.Lock()
	after, claimed := d.claims[handler]
	d.mu.Unlock()
	if !claimed {
		if after, err = d.cfg.Start(ctx, handler); err != nil {
			return err
		}
	}
	_, err = d.cfg.Store.SaveDeliveries(ctx, nil, []event.Cursor{{Name: cursorName(handler), Seq: after}})
	d.mu.Lock()
	defer d.mu.Unlock()
	if err != nil {
		d.claims[handler] = after
	} else {
		delete(d.claims, handler)
	}
	return err
}

// Open starts reading for a handler, from where it stood; one that was not
// claimed is claimed first.
func (d *Dispatcher) Open(ctx context.Context, cfg HandlerConfig) (*Handler, error) {
	unlock, err := d.lockPlace(ctx, cfg.Name)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if err := d.Claim(ctx, cfg.Name); err != nil {
		return nil, err
	}
	backlog, err := d.cfg.Store.LoadBacklog(ctx, cfg.Name)
	if err != nil {
		return nil, err
	}
	thinned, err := loadThinned(ctx, d.cfg.Store, cfg.Name)
	if err != nil {
		return nil, err
	}
	h := newHandler(d, cfg)
	h.thinned = thinned
	if err := h.load(ctx, backlog); err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.closed:
		return nil, fault.New(fault.Unavailable, "the host is closing")
	case d.handlers[cfg.Name] != nil:
		return nil, fault.New(fault.Conflict, "handler %s is open already", cfg.Name)
	}
	d.handlers[cfg.Name] = h
	h.start()
	return h, nil
}

// IsOpen reports whether a handler is open.
func (d *Dispatcher) IsOpen(handler string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.handlers[handler] != nil
}

func (d *Dispatcher) remove(h *Handler) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.handlers[h.name] == h {
		delete(d.handlers, h.name)
	}
}

func (d *Dispatcher) list() []*Handler {
	d.mu.Lock()
	defer d.mu.Unlock()
	hs := make([]*Handler, 0, len(d.handlers))
	for _, h := range d.handlers {
		hs = append(hs, h)
	}
	return hs
}

// Close closes every handler and stops the recorder after it has written what
// there is, or when ctx ends: what it could not write is delivered again.
func (d *Dispatcher) Close(ctx context.Context) error {
	d.mu.Lock()
	d.closed = true
	d.mu.Unlock()
	var errs []error
	for _, h := range d.list() {
		errs = append(errs, h.Close(ctx))
	}
	d.recorder.close()
	return errors.Join(errs...)
}

// Deliveries tells where one event stands with every handler that has it or
// will get it, sorted by name.
func (d *Dispatcher) Deliveries(ctx context.Context, rec event.Record) ([]wire.Delivery, error) {
	// Memory first: what moves from there to the store meanwhile is then seen in
	// the store, and nothing is seen in neither.
	views := make(map[string]event.Delivery)
	handlers := d.list()
	since := make(map[string]time.Time)
	for _, h := range handlers {
		if v, from, ok := h.view(rec); ok {
			views[h.name], since[h.name] = v, from
		}
	}
	for _, v := range d.recorder.unsaved(rec.Seq) {
		if _, live := views[v.Handler]; !live {
			views[v.Handler], since[v.Handler] = v, asOld(v)
		}
	}
	rows, err := d.cfg.Store.Deliveries(ctx, rec.Seq)
	if err != nil {
		return nil, err
	}
	for _, row := range rows {
		if _, live := views[row.Handler]; !live || row.Status.Final() && (since[row.Handler].IsZero() || row.At.After(since[row.Handler])) {
			views[row.Handler] = row
		}
	}
	for _, h := range handlers {
		if _, known := views[h.name]; !known {
			if v, ok := h.leftOut(rec); ok {
				views[h.name] = v
			}
		}
	}
	out := make([]wire.Delivery, 0, len(views))
	for _, v := range views {
		out = append(out, Wire(v))
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Plugin < out[j].Plugin })
	return out, nil
}

// Wire turns a delivery into its shape in the API.
func Wire(v event.Delivery) wire.Delivery {
	w := wire.Delivery{
		Plugin:     v.Handler,
		Status:     string(v.Status),
		Attempts:   v.Attempts,
		DurationMS: float64(v.Duration.Microseconds()) / 1000,
		Fuel:       v.Fuel,
		At:         v.At,
	}
	if v.Result != "" {
		w.Result = json.RawMessage(v.Result)
	}
	if v.ErrorClass != "" {
		w.Error = &wire.DeliveryError{Class: string(v.ErrorClass), Message: v.ErrorMessage}
	}
	return w
}

// backoff is how long to wait after the given number of attempts, at least one: for
// random in [0, 1) anything from Backoff, doubled with each attempt, to twice
// that. So each gap is longer than the one before, and none is shorter than
// Backoff. Where twice that is over MaxBackoff it is from half of MaxBackoff on.
func backoff(r spec.RetryPolicy, attempts int, random float64) time.Duration {
	hi := r.Backoff
	for range attempts {
		if hi >= r.MaxBackoff/2 {
			hi = r.MaxBackoff
			break
		}
		hi *= 2
	}
	lo := max(hi/2, min(r.Backoff, hi))
	return lo + time.Duration(float64(hi-lo)*random)
}
