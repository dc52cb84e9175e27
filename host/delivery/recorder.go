package delivery

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
)

const (
	cursorEvery  = time.Second           // how often cursors without outcomes are written
	saveRetryMin = 50 * time.Millisecond // after the store refused a write
	saveRetryMax = 2000 * time.Millisecond
)

// recorder writes outcomes and cursors: all that arrive during one write go into the
// next. When the store refuses a write, the recorder retries it, and the handlers stop
// reading at their limits.
type recorder struct {
	cfg       Config
	handlers  func() []*handler
	wake      chan struct{} // a token: a handler is dirty
	requests  chan flushRequest
	ctx       context.Context
	stop      context.CancelFunc
	done      chan struct{}
	skipUntil time.Time // see history.go

	dirtyMu sync.Mutex // a leaf
	dirty   []*handler // they have outcomes

	mu     sync.Mutex // before handler.mu
	saving batch

	failureMu sync.Mutex    // a leaf
	failure   error         // of a write that has failed for a while; nil otherwise
	failing   chan struct{} // closed while failure is set
	full      error         // of the last write that a full disk refused
	refused   chan struct{} // closed, and replaced, when a full disk refuses a write
	retry     chan struct{} // a token: write again without waiting
}

func newRecorder(cfg Config, handlers func() []*handler) *recorder {
	r := &recorder{
		cfg:      cfg,
		handlers: handlers,
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

// markDirty notes that a handler has outcomes, and had none before.
func (r *recorder) markDirty(h *handler) {
	r.dirtyMu.Lock()
	r.dirty = append(r.dirty, h)
	r.dirtyMu.Unlock()
	token(r.wake)
}

// takeDirty returns and clears the dirty handlers, with one in addition if it is not
// nil; all handlers, if all is true.
func (r *recorder) takeDirty(all bool, one *handler) []*handler {
	r.dirtyMu.Lock()
	taken := r.dirty
	r.dirty = nil
	r.dirtyMu.Unlock()
	if all {
		return r.handlers()
	}
	if one != nil && !slices.Contains(taken, one) {
		taken = append(taken, one)
	}
	return taken
}

// flushRequest asks for a write.
type flushRequest struct {
	handler *handler // whose cursor is written; nil: all handlers'
	written chan struct{}
}

// flush waits until all present outcomes and the cursor of a handler are written. It
// does not include the cursors of other handlers: a host closes them one by one.
func (r *recorder) flush(ctx context.Context, h *handler) error { return r.await(ctx, h, nil) }

// flushAll waits until all present outcomes and cursors are written. It returns the
// reason when writes have failed for a while.
func (r *recorder) flushAll(ctx context.Context) error {
	r.failureMu.Lock()
	failing := r.failing
	r.failureMu.Unlock()
	return r.await(ctx, nil, failing)
}

// finish is flush for a handler that closes. A disk can stay full for long: finish has
// the write repeated at once, and returns fault.Exhausted when the disk refuses it again.
// The events are delivered again when the handler is opened next.
func (r *recorder) finish(ctx context.Context, h *handler) error {
	r.failureMu.Lock()
	refused := r.refused
	r.failureMu.Unlock()
	token(r.retry)
	return r.await(ctx, h, refused)
}

func (r *recorder) await(ctx context.Context, h *handler, failing <-chan struct{}) error {
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
func (r *recorder) writeError() error {
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
func (r *recorder) setFailure(err error) {
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
func (r *recorder) noteFull(err error) {
	r.failureMu.Lock()
	defer r.failureMu.Unlock()
	r.full = err
	close(r.refused)
	r.refused = make(chan struct{})
}

func (r *recorder) close() {
	r.stop()
	<-r.done
}

func (r *recorder) run() {
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
func (r *recorder) write(all bool, one *handler) bool {
	handlers := r.takeDirty(all, one)
	outcomes := 0
	for _, h := range handlers {
		outcomes += h.uncollected()
	}
	now := time.Now()
	if outcomes > skipAbove {
		r.skipUntil = now.Add(skipFor)
	}
	r.mu.Lock()
	b := &r.saving
	for _, h := range handlers {
		h.collect(b, all || h == one, now.Before(r.skipUntil))
	}
	r.mu.Unlock()
	var refused []event.Delivery
	if len(b.deliveries)+len(b.cursors) > 0 {
		var ok bool
		if refused, ok = r.save(b); !ok {
			return false
		}
	}
	for _, p := range b.parents {
		p.source.stored(slices.ContainsFunc(refused, func(d event.Delivery) bool { return d.Handler == p.handler && d.Seq == p.seq }))
	}
	for _, p := range b.parts {
		p.handler.written(p.outcomes, p.children)
	}
	for _, d := range refused {
		r.reportRefused(d)
	}
	r.mu.Lock()
	b.clear()
	r.mu.Unlock()
	return true
}

// reportRefused logs a dead letter whose outcome was ok, and notifies the observer.
func (r *recorder) reportRefused(d event.Delivery) {
	records, err := r.cfg.Log.Read(r.ctx, d.Seq, 1)
	if err != nil || len(records) != 1 || records[0].Seq != d.Seq {
		logDeadLetter(r.cfg.Logger, "", &d)
		return
	}
	logDeadLetter(r.cfg.Logger, records[0].Event.ID(), &d)
	if r.cfg.Observer != nil {
		r.cfg.Observer(records[0], d)
	}
}

// save writes until the store accepts, or returns false when the recorder is stopped.
func (r *recorder) save(b *batch) (refused []event.Delivery, ok bool) {
	wait := time.Duration(0)
	for {
		refused, fenced, err := r.cfg.Store.SaveDeliveries(r.ctx, b.fences, b.deliveries, b.cursors)
		if err == nil {
			for _, f := range fenced {
				r.cfg.Logger.Error("outcomes discarded: another host owns the handler", "plugin", f.Unit, "epoch", f.Epoch)
			}
			if wait > 0 {
				r.setFailure(nil)
				r.cfg.Logger.Info("outcomes are written again", "outcomes", len(b.deliveries))
			}
			return refused, true
		}
		if r.ctx.Err() != nil {
			return nil, false
		}
		if wait == 0 {
			r.cfg.Logger.Error("outcomes cannot be written; retrying", "outcomes", len(b.deliveries), "error", err)
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
			return nil, false
		}
	}
}

// unsaved returns the outcomes for an event that are being written.
func (r *recorder) unsaved(seq uint64) []event.Delivery {
	r.mu.Lock()
	defer r.mu.Unlock()
	var found []event.Delivery
	for _, d := range r.saving.deliveries {
		if d.Seq == seq {
			found = append(found, d)
		}
	}
	return found
}
