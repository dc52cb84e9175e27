// Package recorder writes the outcomes and cursors of handlers in batches: all that arrive
// during one write go into the next. When the store refuses a write, the recorder retries
// it; the handlers stop reading at their limits.
//
// Lock order: Recorder.mu, then the lock of a Handler. dirtyMu and failureMu are leaves.
package recorder

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
)

const (
	cursorEvery  = time.Second           // how often cursors without outcomes are written
	saveRetryMin = 50 * time.Millisecond // after the store refused a write
	saveRetryMax = 2000 * time.Millisecond
)

// Handler is a handler whose outcomes are written. Its methods are called by one
// goroutine.
type Handler interface {
	// Collect moves the outcomes and the cursor into a batch. It omits a cursor that has
	// not moved, and a cursor without outcomes unless all is true: such a cursor only
	// saves reading events again that the handler does not take. It is called with
	// Recorder.mu locked, so that an outcome is always with the handler or in the batch.
	// The handler does not change the memory of the batch's successes until Written, nor
	// overwrite it until the next Collect.
	Collect(b *Batch, all bool)
	// Written notes that the store has the collected outcomes, and which of all
	// deliveries it has stored in another form. fenced are the fences of past epochs:
	// nothing is stored of their handlers.
	Written(saved event.Saved, fenced []spec.Fence)
}

// Config configures a Recorder. All fields are required.
type Config struct {
	// Save writes a batch; see delivery.Store.
	Save func(context.Context, []spec.Fence, []event.Successes, []event.Delivery, []event.Cursor) (
		saved event.Saved, fenced []spec.Fence, err error)
	Handlers func() []Handler                      // that are open
	Refused  func(context.Context, event.Delivery) // called for each refused delivery
	Logger   *slog.Logger
}

// Recorder writes outcomes and cursors. It is safe for concurrent use.
type Recorder struct {
	cfg      Config
	wake     chan struct{} // a token: a handler is dirty
	requests chan flushRequest
	ctx      context.Context
	stop     context.CancelFunc
	done     chan struct{}

	dirtyMu sync.Mutex
	dirty   []Handler // they have outcomes

	mu     sync.Mutex
	saving Batch

	failureMu sync.Mutex
	failure   error         // of a write that has failed for a while; nil otherwise
	failing   chan struct{} // closed while failure is set
	full      error         // of the last write that a full disk refused
	refused   chan struct{} // closed, and replaced, when a full disk refuses a write
	retry     chan struct{} // a token: write again without waiting
}

// New returns a running Recorder. The caller closes it.
func New(cfg Config) *Recorder {
	r := &Recorder{
		cfg:      cfg,
		wake:     make(chan struct{}, 1),
		requests: make(chan flushRequest),
		done:     make(chan struct{}),
		failing:  make(chan struct{}),
		refused:  make(chan struct{}),
		retry:    make(chan struct{}, 1),
	}
	r.ctx, r.stop = context.WithCancel(context.Background())
	go r.run()
	return r
}

// MarkDirty notes that a handler has outcomes, and had none before.
func (r *Recorder) MarkDirty(h Handler) {
	r.dirtyMu.Lock()
	r.dirty = append(r.dirty, h)
	r.dirtyMu.Unlock()
	signal(r.wake)
}

// takeDirty returns and clears the dirty handlers, with one in addition if it is not
// nil; all handlers, if all is true.
func (r *Recorder) takeDirty(all bool, one Handler) []Handler {
	r.dirtyMu.Lock()
	taken := r.dirty
	r.dirty = nil
	r.dirtyMu.Unlock()
	if all {
		return r.cfg.Handlers()
	}
	if one != nil && !slices.Contains(taken, one) {
		taken = append(taken, one)
	}
	return taken
}

// flushRequest asks for a write.
type flushRequest struct {
	handler Handler // whose cursor is written; nil: all handlers'
	written chan struct{}
}

// Flush waits until all present outcomes and the cursor of a handler are written. It
// does not include the cursors of other handlers: a host closes them one by one.
func (r *Recorder) Flush(ctx context.Context, h Handler) error { return r.await(ctx, h, nil) }

// FlushAll waits until all present outcomes and cursors are written. It returns the
// reason when writes have failed for a while.
func (r *Recorder) FlushAll(ctx context.Context) error {
	r.failureMu.Lock()
	failing := r.failing
	r.failureMu.Unlock()
	return r.await(ctx, nil, failing)
}

// Finish is Flush for a handler that closes. A disk can stay full for long: Finish has
// the write repeated at once, and returns fault.Exhausted when the disk refuses it again.
// The events are delivered again when the handler is opened next.
func (r *Recorder) Finish(ctx context.Context, h Handler) error {
	r.failureMu.Lock()
	refused := r.refused
	r.failureMu.Unlock()
	signal(r.retry)
	return r.await(ctx, h, refused)
}

// FinishEffects waits until no effects of a handler are being written that is closed and is to be
// opened: the attempts would run again whose effects are applied later. It is Finish otherwise.
func (r *Recorder) FinishEffects(ctx context.Context, handler string) error {
	r.mu.Lock()
	writing := slices.ContainsFunc(r.saving.Deliveries, func(d event.Delivery) bool { return d.Handler == handler && d.Effects != nil })
	r.mu.Unlock()
	if !writing {
		return nil
	}
	return r.Finish(ctx, nil)
}

func (r *Recorder) await(ctx context.Context, h Handler, failing <-chan struct{}) error {
	written := make(chan struct{})
	select {
	case r.requests <- flushRequest{h, written}:
	case <-r.done:
		return nil
	case <-failing:
		return r.writeError()
	case <-ctx.Done():
		return fault.New(fault.Unavailable, "wait until outcomes are written: %w", ctx.Err())
	}
	select {
	case <-written:
		return nil
	case <-failing:
		return r.writeError()
	case <-ctx.Done():
		return fault.New(fault.Unavailable, "wait until outcomes are written: %w", ctx.Err())
	}
}

// writeError returns why writes fail, or failed a moment ago.
func (r *Recorder) writeError() error {
	r.failureMu.Lock()
	defer r.failureMu.Unlock()
	err := r.failure
	if err == nil {
		err = r.full
	}
	if err == nil {
		return fault.New(fault.Unavailable, "outcomes could not be written a moment ago; try again")
	}
	return fmt.Errorf("outcomes cannot be written: %w", err)
}

// setFailure notes that writes have failed for a while, or with nil that they succeed.
func (r *Recorder) setFailure(err error) {
	r.failureMu.Lock()
	defer r.failureMu.Unlock()
	switch {
	case err != nil && r.failure == nil:
		close(r.failing)
	case err == nil && r.failure != nil:
		r.failing = make(chan struct{})
	}
	r.failure = err
	if err == nil {
		r.full = nil
	}
}

// noteFull notes that a full disk has refused a write.
func (r *Recorder) noteFull(err error) {
	r.failureMu.Lock()
	defer r.failureMu.Unlock()
	r.full = err
	close(r.refused)
	r.refused = make(chan struct{})
}

// Close stops the Recorder; unwritten outcomes are lost.
func (r *Recorder) Close() {
	r.stop()
	<-r.done
}

func (r *Recorder) run() {
	defer close(r.done)
	tick := time.NewTicker(cursorEvery)
	defer tick.Stop()
	for {
		all := true
		var request flushRequest
		select {
		case <-r.wake:
			all = false
		case <-tick.C:
		case request = <-r.requests:
			all = request.handler == nil
		case <-r.ctx.Done():
			return
		}
		if !r.write(all, request.handler) {
			return
		}
		if request.written != nil {
			close(request.written)
		}
	}
}

// write collects the outcomes and writes them. It returns false when the recorder was
// stopped before the store accepted them.
func (r *Recorder) write(all bool, one Handler) bool {
	handlers := r.takeDirty(all, one)
	r.mu.Lock()
	b := &r.saving
	for _, h := range handlers {
		h.Collect(b, all || h == one)
	}
	r.mu.Unlock()
	var saved event.Saved
	var fenced []spec.Fence
	if b.outcomes()+len(b.Cursors) > 0 {
		var ok bool
		if saved, fenced, ok = r.save(b); !ok {
			return false
		}
	}
	for _, h := range handlers {
		h.Written(saved, fenced)
	}
	for _, d := range saved.Refused {
		r.cfg.Refused(r.ctx, d)
	}
	r.mu.Lock()
	b.clear()
	r.mu.Unlock()
	return true
}

// save writes until the store accepts, or returns false when the recorder is stopped.
func (r *Recorder) save(b *Batch) (saved event.Saved, fenced []spec.Fence, ok bool) {
	wait := time.Duration(0)
	for {
		saved, fenced, err := r.cfg.Save(r.ctx, b.Fences, b.Successes, b.Deliveries, b.Cursors)
		if err == nil {
			if wait > 0 {
				r.setFailure(nil)
				r.cfg.Logger.Info("outcomes are written again", "outcomes", b.outcomes())
			}
			return saved, fenced, true
		}
		if r.ctx.Err() != nil {
			return saved, nil, false
		}
		if wait == 0 {
			r.cfg.Logger.Error("outcomes cannot be written; retrying", "outcomes", b.outcomes(), "error", err)
		}
		if wait == saveRetryMax {
			r.setFailure(err)
		}
		if fault.Is(err, fault.Exhausted) {
			r.noteFull(err)
		}
		wait = min(max(2*wait, saveRetryMin), saveRetryMax)
		select {
		case <-time.After(wait):
		case <-r.retry:
		case <-r.ctx.Done():
			return saved, nil, false
		}
	}
}

// View calls view with the outcomes that are being written, to be read only. No handler
// is collected meanwhile.
func (r *Recorder) View(view func(*Batch)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	view(&r.saving)
}

// signal puts a token into a channel, unless it has one.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
