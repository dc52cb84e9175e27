package delivery

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
)

// Replay delivers the events from one Seq to another, both included, again to
// one handler, and to no other. It takes the handler's policy of then: what is
// not for it is passed over. Order per key holds: the events of a key come in the
// order of the log, then those that were published since. What waits for a retry
// keeps its attempts, and comes once, in its place. A replay survives crashes and
// goes on where it was; a new one takes the place of one that is under way.
//
// from 0 is the log's beginning, to 0 and whatever is beyond it its end.
// fault.NotFound: the handler has no place in the log. fault.Invalid: there is
// nothing to replay. An error that wraps ctx's: attempts were open until then,
// and nothing was changed. It returns when the replay is stored and has begun.
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
	unlock, err := d.lockPlace(ctx, handler)
	if err != nil {
		return err
	}
	defer unlock()
	for {
		d.mu.Lock()
		h := d.handlers[handler]
		d.mu.Unlock()
		if h == nil {
			// What a closed handler left behind comes first.
			if err := d.recorder.settle(ctx); err != nil {
				return fmt.Errorf("start a replay: %w", err)
			}
			return d.cfg.Store.StartReplay(ctx, handler, from, to, time.Now())
		}
		if err := h.restartAt(ctx, from, to); !errors.Is(err, errClosing) {
			return err
		}
		select { // it is closing, and nothing has changed
		case <-h.removed:
		case <-ctx.Done():
			return ended(ctx, handler)
		}
	}
}

// lockPlace keeps everybody else from opening or replaying a handler.
func (d *Dispatcher) lockPlace(ctx context.Context, handler string) (unlock func(), err error) {
	d.mu.Lock()
	place := d.places[handler]
	if place == nil {
		place = make(chan struct{}, 1)
		d.places[handler] = place
	}
	d.mu.Unlock()
	select {
	case place <- struct{}{}:
		return func() { <-place }, nil
	case <-ctx.Done():
		return nil, ended(ctx, handler)
	}
}

// ended is the answer for somebody who waited in vain.
func ended(ctx context.Context, handler string) error {
	return fault.New(fault.Unavailable, "wait for the handler %s, which is being opened, replayed or closed: %w", handler, ctx.Err())
}

var errClosing = errors.New("the handler is closing")

// restartAt stops the handler, writes the replay down and lets the handler go on
// from where it then stands. Pools that take from it notice a pause only.
func (h *Handler) restartAt(ctx context.Context, from, to uint64) error {
	select {
	case h.moving <- struct{}{}:
	case <-ctx.Done():
		return ended(ctx, h.name)
	}
	defer func() { <-h.moving }()
	if h.life.Err() != nil {
		return errClosing
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(h.life, cancel)()

	h.setHeld(true)
	defer h.setHeld(false)
	h.stop()
	h.reader.Wait()
	defer func() {
		if h.life.Err() == nil {
			h.start()
		}
	}()
	if err := h.awaitIdle(ctx); err != nil {
		return h.orClosing(fault.New(fault.Unavailable, "start a replay: wait for open attempts: %w", err))
	}
	if err := h.dispatcher.recorder.settle(ctx); err != nil {
		return h.orClosing(fmt.Errorf("start a replay: %w", err))
	}
	// Nothing is in flight now. Whatever becomes of the write, the store knows
	// where the handler stands.
	err := h.dispatcher.cfg.Store.StartReplay(ctx, h.name, from, to, time.Now())
	h.reload()
	if err != nil {
		return h.orClosing(err)
	}
	return nil
}

// orClosing is the error for somebody who waited: the reason may be Close.
func (h *Handler) orClosing(err error) error {
	if h.life.Err() != nil {
		return errClosing
	}
	return err
}

// reload puts the handler where the store says that it stands, and tries until
// it has, or until Close.
func (h *Handler) reload() {
	for {
		b, err := h.dispatcher.cfg.Store.LoadBacklog(h.life, h.name)
		if err == nil {
			err = h.load(h.life, b)
		}
		if err == nil {
			h.recovered(reading)
			return
		}
		if h.life.Err() != nil || !h.pause(h.life, reading, err) {
			return
		}
	}
}

// setHeld keeps attempts from beginning, or lets them.
func (h *Handler) setHeld(held bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.held = held
	h.recall()
	h.setTimer()
	h.signal()
}

// awaitIdle waits until no attempt is open.
func (h *Handler) awaitIdle(ctx context.Context) error {
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

// replaySkips is how many events between the reader and the log's end it will
// pass over because they were done before the replay.
func replaySkips(r *event.Replay, readTo uint64) uint64 {
	if r == nil || readTo >= r.Resume || r.To >= r.Resume {
		return 0
	}
	return r.Resume - max(r.To, readTo)
}
