package delivery

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/berth-host/berth/host/delivery/obstacle"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
)

// Replay delivers the events from one Seq to another, both included, again to one
// handler. The handler's present policy decides which events it takes. Order per key
// holds: the events of a key are delivered in the order of the log, then those published
// since. An event that waits for a retry keeps its attempts and is delivered once, at its
// position. A replay survives crashes and continues where it was; a new one replaces it.
//
// from 0 is the log's start; to 0, and every to beyond the log's end, is its end. Replay
// returns when the replay is stored and has begun. Errors: fault.NotFound when the
// handler has no position in the log, fault.Invalid when there is nothing to replay, and
// an error that wraps ctx's when attempts were open until then; nothing has changed.
func (d *Dispatcher) Replay(ctx context.Context, handler string, from, to uint64) error {
	last := d.cfg.Log.Last()
	from = max(from, 1)
	switch {
	case to != 0 && from > to:
		return fault.Field("to", "is %d, which is before from, %d", to, from)
	case from > last:
		return fault.Field("from", "is beyond the log's end, %d: there is nothing to replay", last)
	case to == 0 || to > last:
		to = last
	}
	for {
		h, unlock, err := d.lock(ctx, handler)
		if err != nil {
			return err
		}
		if h != nil {
			err = h.replayFrom(ctx, from, to)
		} else if err = d.recorder.FlushAll(ctx); err != nil { // the outcomes of a closed handler
			err = fmt.Errorf("start a replay: %w", err)
		} else {
			err = d.cfg.Store.StartReplay(ctx, handler, from, to, time.Now())
		}
		unlock()
		if !errors.Is(err, errClosing) {
			return err
		}
	}
}

var errClosing = errors.New("the handler is closing")

// replayFrom suspends the handler, stores the replay and resumes the handler at its new
// position. The pools that take from the handler only see a pause. The caller has locked
// the handler's name. errClosing: nothing has changed.
func (h *handler) replayFrom(ctx context.Context, from, to uint64) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(h.life, cancel)()

	h.setSuspended(true)
	defer h.setSuspended(false)
	h.stopReading()
	h.reading.Wait()
	defer func() {
		if h.life.Err() == nil {
			h.startReading()
		}
	}()
	if err := h.awaitIdle(ctx); err != nil {
		return h.orClosing(fault.New(fault.Unavailable, "start a replay: wait for open attempts: %w", err))
	}
	if err := h.dispatcher.recorder.FlushAll(ctx); err != nil {
		return h.orClosing(fmt.Errorf("start a replay: %w", err))
	}
	// No attempt is open now. Even if the write fails, the store has the position.
	err := h.dispatcher.cfg.Store.StartReplay(ctx, h.name, from, to, time.Now())
	h.reload()
	if err != nil {
		return h.orClosing(err)
	}
	return nil
}

// orClosing returns errClosing if close has begun, which may be the reason of err.
func (h *handler) orClosing(err error) error {
	if h.life.Err() != nil {
		return errClosing
	}
	return err
}

// reload loads the position from the store. It retries until it succeeds or close begins.
func (h *handler) reload() {
	for {
		b, err := h.dispatcher.cfg.Store.LoadBacklog(h.life, h.name)
		if err == nil {
			err = h.load(h.life, b)
		}
		if err == nil {
			h.recovered(obstacle.Reader)
			return
		}
		if h.life.Err() != nil || !h.pause(h.life, obstacle.Reader, err) {
			return
		}
	}
}

// setSuspended keeps attempts from starting, or lets them start again.
func (h *handler) setSuspended(suspended bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.suspended = suspended
	h.revoke()
	h.setTimer()
	h.signal()
}

// awaitIdle waits until no attempt is open.
func (h *handler) awaitIdle(ctx context.Context) error {
	for {
		h.mu.Lock()
		inFlight := h.inFlight
		h.mu.Unlock()
		if inFlight == 0 {
			return nil
		}
		select {
		case <-h.idle:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// ahead reports whether the reader is yet to read the event.
func (h *handler) ahead(seq uint64) bool { return seq > h.readTo && !h.replay.Skips(seq) }

// readReplay reads the rest of the events that are replayed. It returns false when ctx
// has ended.
func (h *handler) readReplay(ctx context.Context) bool {
	for {
		h.mu.Lock()
		r, from := h.replay, h.readTo+1
		h.mu.Unlock()
		if r == nil || from > max(r.To, r.Resume) {
			return true
		}
		var records []event.Record
		var err error
		if from <= r.To {
			records, err = h.dispatcher.cfg.Log.Read(ctx, from, readBatch)
		}
		n, _ := slices.BinarySearchFunc(records, r.To+1, func(rec event.Record, seq uint64) int { return cmp.Compare(rec.Seq, seq) })
		for unread := records[:n]; err == nil && len(unread) > 0; {
			fit := h.awaitCapacity(ctx, unread)
			if fit == 0 {
				return false
			}
			h.arrive(unread[:fit])
			unread = unread[fit:]
		}
		if err == nil && n == 0 { // all are read
			err = h.endReplay(ctx, r)
		}
		if err == nil {
			h.recovered(obstacle.Reader)
		} else if ctx.Err() != nil || !h.pause(ctx, obstacle.Reader, err) {
			return false
		}
	}
}

// endReplay moves the reader to its position before the replay. It first admits what
// waited there for another attempt.
func (h *handler) endReplay(ctx context.Context, r *event.Replay) error {
	var waiting []event.Delivery
	for seq, d := range h.later { // only this goroutine changes it
		if r.Skips(seq) {
			waiting = append(waiting, d)
		}
	}
	slices.SortFunc(waiting, func(a, b event.Delivery) int { return cmp.Compare(a.Seq, b.Seq) })
	for _, d := range waiting {
		t, err := h.restored(ctx, d)
		if err != nil {
			return err
		}
		h.mu.Lock()
		delete(h.later, d.Seq)
		h.laterOpen--
		if t != nil && h.dueNow[d.Seq] {
			due := *t.past
			due.Due = time.Now()
			t.past = &due
		}
		if t != nil {
			h.admitLater(t)
		}
		h.mu.Unlock()
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.readTo = max(h.readTo, r.To, r.Resume)
	return nil
}
