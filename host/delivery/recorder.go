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
	cursorEvery  = time.Second           // how often cursors that moved alone are written
	saveRetryMin = 50 * time.Millisecond // after the store refused a write
	saveRetryMax = 2000 * time.Millisecond
)

// recorder writes outcomes and cursors: whatever has come while one write was
// on its way goes into the next. When the store refuses, it keeps trying with
// the same write, and the handlers stop reading once they hold too much.
type recorder struct {
	cfg       Config
	handlers  func() []*Handler
	dirty     chan struct{}
	flushes   chan flush
	ctx       context.Context
	stop      context.CancelFunc
	done      chan struct{}
	thinUntil time.Time // see history.go

	touching sync.Mutex // a leaf
	touched  []*Handler // they have outcomes

	mu     sync.Mutex // before Handler.mu
	saving batch

	troubleMu sync.Mutex    // a leaf
	trouble   error         // why nothing has been written for a while; nil when all is well
	troubled  chan struct{} // closed while there is trouble
	full      error         // of the last write that a full disk refused
	refused   chan struct{} // closed, and replaced, when a full disk refuses a write
	retry     chan struct{} // a token: write again without waiting
}

func newRecorder(cfg Config, handlers func() []*Handler) *recorder {
	r := &recorder{
		cfg:      cfg,
		handlers: handlers,
		dirty:    make(chan struct{}, 1),
		flushes:  make(chan flush),
		done:     make(chan struct{}),
		troubled: make(chan struct{}),
		refused:  make(chan struct{}),
		retry:    make(chan struct{}, 1),
	}
	r.ctx, r.stop = context.WithCancel(context.Background())
	go r.run()
	return r
}

// touch says that a handler has something to write, and had nothing before.
func (r *recorder) touch(h *Handler) {
	r.touching.Lock()
	r.touched = append(r.touched, h)
	r.touching.Unlock()
	token(r.dirty)
}

// take returns the handlers that were touched, and the one whose cursor is to be
// written as well, if it is not nil; all of them, if all is true.
func (r *recorder) take(all bool, one *Handler) []*Handler {
	r.touching.Lock()
	taken := r.touched
	r.touched = nil
	r.touching.Unlock()
	if all {
		return r.handlers()
	}
	if one != nil && !slices.Contains(taken, one) {
		taken = append(taken, one)
	}
	return taken
}

// flush asks for a write.
type flush struct {
	handler *Handler // whose cursor must be in it; nil: all handlers'
	written chan struct{}
}

// flush waits until everything of a handler that was there when it was called is
// written. Other handlers' cursors are not looked at: a host that ends closes
// them one by one.
func (r *recorder) flush(ctx context.Context, h *Handler) error { return r.await(ctx, h, nil) }

// finish is flush for a handler that closes. A full disk may stay full for long:
// finish has the write repeated at once, and when the disk refuses it again returns
// fault.Exhausted. The events are delivered again when the handler is opened next.
func (r *recorder) finish(ctx context.Context, h *Handler) error {
	r.troubleMu.Lock()
	refused := r.refused
	r.troubleMu.Unlock()
	token(r.retry)
	return r.await(ctx, h, refused)
}

// noteFull signals that a full disk has refused a write.
func (r *recorder) noteFull(err error) {
	r.troubleMu.Lock()
	defer r.troubleMu.Unlock()
	r.full = err
	close(r.refused)
	r.refused = make(chan struct{})
}

// settle is flush for an operator, who is told why when nothing has been written
// for a while.
func (r *recorder) settle(ctx context.Context) error {
	r.troubleMu.Lock()
	troubled := r.troubled
	r.troubleMu.Unlock()
	return r.await(ctx, nil, troubled)
}

func (r *recorder) await(ctx context.Context, h *Handler, troubled <-chan struct{}) error {
	written := make(chan struct{})
	select {
	case r.flushes <- flush{h, written}:
	case <-r.done:
		return nil
	case <-troubled:
		return r.why()
	case <-ctx.Done():
		return fault.New(fault.Unavailable, "wait until outcomes are written: %w", ctx.Err())
	}
	select {
	case <-written:
		return nil
	case <-troubled:
		return r.why()
	case <-ctx.Done():
		return fault.New(fault.Unavailable, "wait until outcomes are written: %w", ctx.Err())
	}
}

// why is the trouble there is, or was a moment ago.
func (r *recorder) why() error {
	r.troubleMu.Lock()
	defer r.troubleMu.Unlock()
	err := r.trouble
	if err == nil {
		err = r.full
	}
	if err == nil {
		return fault.New(fault.Unavailable, "outcomes could not be written a moment ago; try again")
	}
	return fmt.Errorf("outcomes cannot be written: %w", err)
}

// tellTrouble says why nothing is written, or that it is again.
func (r *recorder) tellTrouble(err error) {
	r.troubleMu.Lock()
	defer r.troubleMu.Unlock()
	switch {
	case err != nil && r.trouble == nil:
		close(r.troubled)
	case err == nil && r.trouble != nil:
		r.troubled = make(chan struct{})
	}
	r.trouble = err
	if err == nil {
		r.full = nil
	}
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
		var asked flush
		select {
		case <-r.dirty:
			all = false
		case <-tick.C:
		case asked = <-r.flushes:
			all = asked.handler == nil
		case <-r.ctx.Done():
			return
		}
		if !r.write(all, asked.handler) {
			return
		}
		if asked.written != nil {
			close(asked.written)
		}
	}
}

// write fetches what there is and writes it. It answers false when the recorder
// was stopped before the store took it.
func (r *recorder) write(all bool, one *Handler) bool {
	handlers := r.take(all, one)
	waiting := 0
	for _, h := range handlers {
		waiting += h.waiting()
	}
	now := time.Now()
	if waiting > thinAbove {
		r.thinUntil = now.Add(thinFor)
	}
	r.mu.Lock()
	b := &r.saving
	for _, h := range handlers {
		h.collect(b, all || h == one, now.Before(r.thinUntil))
	}
	r.mu.Unlock()
	var refused []event.Delivery
	if len(b.rows)+len(b.cursors) > 0 {
		var ok bool
		if refused, ok = r.save(b.rows, b.cursors); !ok {
			return false
		}
	}
	for _, p := range b.parts {
		p.handler.wrote(p.outcomes, p.children)
		for _, row := range refused {
			if row.Handler == p.handler.name {
				p.handler.refused()
				r.tell(row)
			}
		}
	}
	r.mu.Lock()
	b.clear()
	r.mu.Unlock()
	return true
}

// tell says that a delivery whose outcome was ok is dead.
func (r *recorder) tell(row event.Delivery) {
	records, err := r.cfg.Log.Read(r.ctx, row.Seq, 1)
	if err != nil || len(records) != 1 || records[0].Seq != row.Seq {
		logDeadLetter(r.cfg.Logger, "", &row)
		return
	}
	logDeadLetter(r.cfg.Logger, records[0].Event.ID(), &row)
	if r.cfg.Observer != nil {
		r.cfg.Observer(records[0], row)
	}
}

func (r *recorder) save(rows []event.Delivery, cursors []event.Cursor) (refused []event.Delivery, ok bool) {
	wait := time.Duration(0)
	for {
		refused, err := r.cfg.Store.SaveDeliveries(r.ctx, rows, cursors)
		if err == nil {
			if wait > 0 {
				r.tellTrouble(nil)
				r.cfg.Logger.Info("outcomes are written again", "outcomes", len(rows))
			}
			return refused, true
		}
		if r.ctx.Err() != nil {
			return nil, false
		}
		if wait == 0 {
			r.cfg.Logger.Error("outcomes cannot be written; trying on", "outcomes", len(rows), "error", err)
		}
		if wait == saveRetryMax {
			r.tellTrouble(err)
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

// unsaved returns the outcomes for an event that are on their way to the store.
func (r *recorder) unsaved(seq uint64) []event.Delivery {
	r.mu.Lock()
	defer r.mu.Unlock()
	var found []event.Delivery
	for _, row := range r.saving.rows {
		if row.Seq == seq {
			found = append(found, row)
		}
	}
	return found
}
