package delivery

import (
	"context"
	"sync"
	"time"

	"github.com/berth-host/berth/host/event"
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
	cfg      Config
	handlers func() []*Handler
	dirty    chan struct{}
	flushes  chan chan struct{}
	ctx      context.Context
	stop     context.CancelFunc
	done     chan struct{}

	mu     sync.Mutex // before Handler.mu
	saving []event.Delivery
}

func newRecorder(cfg Config, handlers func() []*Handler) *recorder {
	r := &recorder{
		cfg:      cfg,
		handlers: handlers,
		dirty:    make(chan struct{}, 1),
		flushes:  make(chan chan struct{}),
		done:     make(chan struct{}),
	}
	r.ctx, r.stop = context.WithCancel(context.Background())
	go r.run()
	return r
}

// touch says that there is something to write.
func (r *recorder) touch() { token(r.dirty) }

// flush waits until everything that was there when it was called is written.
func (r *recorder) flush(ctx context.Context) error {
	written := make(chan struct{})
	select {
	case r.flushes <- written:
	case <-r.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case <-written:
		return nil
	case <-ctx.Done():
		return ctx.Err()
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
		var flushed chan struct{}
		select {
		case <-r.dirty:
			all = false
		case <-tick.C:
		case flushed = <-r.flushes:
		case <-r.ctx.Done():
			return
		}
		if !r.write(all) {
			return
		}
		if flushed != nil {
			close(flushed)
		}
	}
}

// write fetches what there is and writes it. It answers false when the recorder
// was stopped before the store took it.
func (r *recorder) write(all bool) bool {
	type part struct {
		handler        *Handler
		rows, children int
	}
	var parts []part
	var cursors []event.Cursor
	r.mu.Lock()
	for _, h := range r.handlers() {
		before := len(r.saving)
		r.saving, cursors = h.collect(r.saving, cursors, all)
		if n := len(r.saving) - before; n > 0 {
			p := part{handler: h, rows: n}
			for _, row := range r.saving[before:] {
				p.children += childBytes(row)
			}
			parts = append(parts, p)
		}
	}
	rows := r.saving
	r.mu.Unlock()
	if len(rows)+len(cursors) == 0 {
		return true
	}
	refused, ok := r.save(rows, cursors)
	if !ok {
		return false
	}
	r.mu.Lock()
	clear(r.saving)
	r.saving = r.saving[:0]
	r.mu.Unlock()
	for _, p := range parts {
		p.handler.wrote(p.rows, p.children)
		for _, row := range refused {
			if row.Handler == p.handler.name {
				p.handler.refused()
				r.tell(row)
			}
		}
	}
	return true
}

// tell says that a delivery whose outcome was ok is dead.
func (r *recorder) tell(row event.Delivery) {
	r.cfg.Logger.Error("an event is in the dead letters", "plugin", row.Handler, "seq", row.Seq, "error", row.ErrorMessage)
	if records, err := r.cfg.Log.Read(r.ctx, row.Seq, 1); err == nil && len(records) == 1 && records[0].Seq == row.Seq {
		r.cfg.Observer(records[0], row)
	}
}

func (r *recorder) save(rows []event.Delivery, cursors []event.Cursor) (refused []event.Delivery, ok bool) {
	wait := time.Duration(0)
	for {
		refused, err := r.cfg.Store.SaveDeliveries(r.ctx, rows, cursors)
		if err == nil {
			if wait > 0 {
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
		wait = min(max(2*wait, saveRetryMin), saveRetryMax)
		select {
		case <-time.After(wait):
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
	for _, row := range r.saving {
		if row.Seq == seq {
			found = append(found, row)
		}
	}
	return found
}
