package operations

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/wire"
)

// The bounds of operations.
const (
	MaxRunning = 16
	MaxKept    = 1000
	MaxRate    = 100_000 // events a second
	MaxName    = 100     // characters
)

// The kinds of operations.
const (
	Replay  = "replay"
	Redrive = "redrive"
	Retry   = "retry"
)

// Kinds returns the kinds of operations.
func Kinds() []string { return []string{Replay, Redrive, Retry} }

// Deliveries finds and changes deliveries of a plugin's handler, with all of its shards. The error of a
// change that some shards have done is an event.PartialError.
type Deliveries interface {
	// Replay delivers a range of the log to a handler, or to one unit, again; see delivery.Dispatcher.
	Replay(ctx context.Context, handler string, from, to uint64) error
	// Requeue makes final deliveries pending, and returns their number. Others stay as they are.
	Requeue(ctx context.Context, handler string, seqs []uint64) (int, error)
	// RetryNow makes retrying deliveries due, and dead letters pending, and returns their number.
	RetryNow(ctx context.Context, handler string, seqs []uint64) (int, error)
	// Retrying returns the deliveries above a Seq that wait for another attempt, ascending.
	Retrying(ctx context.Context, handler string, after uint64, limit int) ([]event.Delivery, error)
	// DeadLetters returns dead letters, newest event first, and the cursor for more, or "".
	DeadLetters(ctx context.Context, f event.DeadFilter, cursor string, limit int) ([]event.DeadLetter, string, error)
}

// Log is the event log.
type Log interface {
	// Read returns events with at least this Seq, ascending; none at the end.
	Read(ctx context.Context, from uint64, limit int) ([]event.Record, error)
	Last() uint64
	// SeqAt returns the Seq of the first event that was appended at or after t.
	SeqAt(ctx context.Context, t time.Time) (uint64, error)
}

// Store keeps operations, and knows the handlers' positions.
type Store interface {
	PutDocuments(ctx context.Context, list []event.Document) error
	Documents(ctx context.Context, kind string) ([]event.Document, error)
	Cursors(ctx context.Context) ([]event.Cursor, error)
	// CountRedriven counts a unit's pending deliveries between two Seqs, both included.
	CountRedriven(ctx context.Context, unit string, from, to uint64) (int, error)
}

// Config configures a Runner. Everything but Ready, Logger and Now is required.
type Config struct {
	Deliveries Deliveries
	Log        Log
	Store      Store
	// Compile returns a function that reports whether an event's type matches a glob and a CEL
	// condition holds; "" is always. Errors are fault.Invalid about "event_type" or "when".
	Compile func(glob, when string) (func(*event.Event) bool, error)
	// Filter returns a function that reports whether a handler takes an event; fault.Conflict when
	// that is not known, because the handler's file is missing.
	Filter func(handler string) (takes func(*event.Event) bool, err error)
	// Ready waits until the handlers are loaded; nil: they are.
	Ready func(context.Context) error
	// IssueOf returns the id of the issue of a failure; "" for none.
	IssueOf func(unit string, class event.Class, message string) string
	// Issue returns an issue; fault.NotFound.
	Issue func(id string) (wire.Issue, error)
	// Suspended says that operations run only between Resume and Suspend: hosts share the store,
	// and one at a time runs them.
	Suspended bool
	Logger    *slog.Logger     // nil discards
	Now       func() time.Time // default time.Now
}

// Why an operation is stopped.
var (
	errCancelled = errors.New("cancelled by an operator")
	errClosing   = errors.New("the host stops")
)

// Runner runs operations. It is safe for concurrent use.
type Runner struct {
	cfg     Config
	life    context.Context
	end     context.CancelCauseFunc
	running sync.WaitGroup

	mu     sync.Mutex
	closed bool                  // or suspended
	last   uint64                // the id given last
	byID   map[uint64]*operation // all
}

// Open returns a Runner with the operations of the store, and continues those that were
// running. The caller closes it.
func Open(ctx context.Context, cfg Config) (*Runner, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	r := &Runner{cfg: cfg, byID: make(map[uint64]*operation), closed: cfg.Suspended}
	r.life, r.end = context.WithCancelCause(context.WithoutCancel(ctx))
	if err := r.load(ctx); err != nil {
		return nil, err
	}
	return r, nil
}

// Start starts an operation for an operator, and returns it; it is stored then. Errors:
// fault.Invalid, with the field; fault.NotFound for a plugin without a position in the log, or an
// unknown issue; fault.Conflict when too many operations run, or a replay of the whole plugin does.
func (r *Runner) Start(ctx context.Context, in wire.NewOperation, by string) (wire.Operation, error) {
	o, err := r.check(ctx, in)
	if err != nil {
		return wire.Operation{}, err
	}
	o.StartedBy, o.StartedAt, o.State = by, r.cfg.Now().Round(0).UTC(), wire.OperationRunning
	if o.Name == "" {
		o.Name = o.Kind + " " + o.Plugin
	}
	r.mu.Lock()
	err = r.admit(o)
	r.mu.Unlock()
	if err != nil {
		return wire.Operation{}, err
	}
	if err := r.save(ctx, o); err != nil {
		r.mu.Lock()
		delete(r.byID, o.id)
		r.mu.Unlock()
		r.running.Done()
		return wire.Operation{}, fmt.Errorf("start the operation: %w", err)
	}
	r.evict(ctx)
	r.cfg.Logger.Info("operation started", "operation", o.ID, "kind", o.Kind, "plugin", o.Plugin, "name", o.Name, "by", by)
	shown := o.Operation // the goroutine changes it
	go r.run(o, func() error { return nil })
	return shown, nil
}

// admit gives an operation its id, and counts it as running: the caller calls running.Done if
// it does not run it. The caller has locked mu.
func (r *Runner) admit(o *operation) error {
	if r.closed {
		return r.stopped()
	}
	n := 0
	for _, other := range r.byID {
		if other.State != wire.OperationRunning {
			continue
		}
		n++
		if o.whole && other.whole && other.Plugin == o.Plugin {
			return fault.New(fault.Conflict, "a replay of %s is under way, as operation %s: wait until it is done, or cancel it", o.Plugin, other.ID)
		}
	}
	if n >= MaxRunning {
		return fault.New(fault.Conflict, "%d operations are running, and no more may: wait until one is done, or cancel one", n)
	}
	r.last++
	o.id, o.ID = r.last, strconv.FormatUint(r.last, 10)
	r.prepare(o)
	r.byID[o.id] = o
	return nil
}

// prepare makes an operation ready to be run and cancelled.
func (r *Runner) prepare(o *operation) {
	o.ctx, o.cancel = context.WithCancelCause(r.life)
	o.finished = make(chan struct{})
	r.running.Add(1)
}

// Preview counts what an operation would give to the handler, and changes nothing. It stops
// counting at maxExamined events or after maxCounting.
func (r *Runner) Preview(ctx context.Context, in wire.NewOperation) (wire.OperationPreview, error) {
	o, err := r.check(ctx, in)
	if err != nil {
		return wire.OperationPreview{}, err
	}
	p, err := r.count(ctx, o)
	if err != nil {
		return p, fmt.Errorf("count the events: %w", err)
	}
	return p, nil
}

// List returns a page of the operations that a query selects, the latest first. A malformed
// cursor is fault.Invalid.
func (r *Runner) List(q spec.OperationQuery) (wire.List[wire.Operation], error) {
	page := wire.List[wire.Operation]{Items: []wire.Operation{}}
	before, ok := number(q.Cursor)
	if q.Cursor != "" && !ok {
		return page, fault.Field("cursor", "%s is not a cursor of this list; use next as it was answered", fault.Quote(q.Cursor))
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	var found []*operation
	for _, o := range r.byID {
		if (q.Kind == "" || q.Kind == o.Kind) && (q.Plugin == "" || q.Plugin == o.Plugin) && (q.State == "" || q.State == string(o.State)) &&
			(q.Cursor == "" || o.id < before) {
			found = append(found, o)
		}
	}
	slices.SortFunc(found, func(a, b *operation) int { return cmp.Compare(b.id, a.id) })
	if q.Limit > 0 && len(found) > q.Limit {
		found = found[:q.Limit]
		page.Next = new(found[q.Limit-1].ID)
	}
	for _, o := range found {
		page.Items = append(page.Items, o.Operation)
	}
	return page, nil
}

// Show returns an operation; fault.NotFound.
func (r *Runner) Show(id string) (wire.Operation, error) {
	o, err := r.find(id)
	if err != nil {
		return wire.Operation{}, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return o.Operation, nil
}

// Running returns how many operations are running.
func (r *Runner) Running() (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, o := range r.byID {
		if o.State == wire.OperationRunning {
			n++
		}
	}
	return n
}

// Cancel stops an operation for an operator, and returns it when it has stopped. What was given
// to the handler stays given. One that was cancelled already is returned as it is. Errors:
// fault.NotFound, and fault.Conflict for one that has ended otherwise.
func (r *Runner) Cancel(ctx context.Context, id string) (wire.Operation, error) {
	o, err := r.find(id)
	if err != nil {
		return wire.Operation{}, err
	}
	o.cancel(errCancelled)
	select {
	case <-o.finished:
	case <-ctx.Done():
		return wire.Operation{}, fault.New(fault.Timeout, "the operation %s is being cancelled: %w", id, context.Cause(ctx))
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch o.State {
	case wire.OperationCancelled:
		return o.Operation, nil
	case wire.OperationRunning:
		return wire.Operation{}, r.stopped()
	}
	return wire.Operation{}, fault.New(fault.Conflict, "the operation %s is %s", id, o.State)
}

func (r *Runner) find(id string) (*operation, error) {
	n, ok := number(id)
	r.mu.Lock()
	defer r.mu.Unlock()
	if o := r.byID[n]; ok && o != nil {
		return o, nil
	}
	return nil, fault.New(fault.NotFound, "there is no operation %s", fault.Quote(id))
}

// number parses an id as ids are written.
func number(id string) (uint64, bool) {
	n, err := strconv.ParseUint(id, 10, 64)
	return n, err == nil && strconv.FormatUint(n, 10) == id
}

// Close stops every operation and stores its position; the next Open continues it. It returns
// when all have stopped, or when ctx ends.
func (r *Runner) Close(ctx context.Context) error {
	r.mu.Lock()
	r.closed = true
	end := r.end
	r.mu.Unlock()
	end(errClosing)
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		r.running.Wait()
	}()
	select {
	case <-stopped:
		return nil
	case <-ctx.Done():
		return fault.New(fault.Timeout, "operations were still under way: %w", ctx.Err())
	}
}

// stopped returns the error of a call that needs a runner that runs.
func (r *Runner) stopped() error {
	if r.cfg.Suspended {
		return fault.New(fault.Unavailable, "another host of the cluster runs the operations; try again")
	}
	return fault.New(fault.Unavailable, "the host stops")
}

// Resume runs operations from now on, and continues those of the store that were running. What
// is written until Suspend carries the values of ctx, such as a fence. Config.Suspended is
// required.
func (r *Runner) Resume(ctx context.Context) error {
	r.mu.Lock()
	r.life, r.end = context.WithCancelCause(context.WithoutCancel(ctx))
	r.closed = false
	r.mu.Unlock()
	return r.load(ctx)
}

// Suspend stops every operation, as Close does. Lists are as of the last Refresh then.
func (r *Runner) Suspend(ctx context.Context) error { return r.Close(ctx) }

// Refresh reads the operations that another host runs. It does nothing between Resume and
// Suspend.
func (r *Runner) Refresh(ctx context.Context) error {
	r.mu.Lock()
	running := !r.closed
	r.mu.Unlock()
	if running {
		return nil
	}
	return r.load(ctx)
}
