package delivery

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/berth-host/berth/host/delivery/actions"
	"github.com/berth-host/berth/host/delivery/obstacle"
	"github.com/berth-host/berth/host/delivery/queue"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
)

// ReplayFrom implements actions.Handler: it suspends the handler, stores the replay and resumes
// the handler at its new
// position. The pools that take from the handler only see a pause. The caller has locked
// the handler's name. actions.ErrClosing: nothing has changed.
func (h *handler) ReplayFrom(ctx context.Context, from, to uint64) error {
	if err := h.hold.Beyond(from); err != nil {
		return err
	}
	to = h.hold.Bound(to) // new shards deliver those behind it
	life, end := context.WithCancel(h.life)
	defer end()
	defer context.AfterFunc(h.hold.Leaving(), end)()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(life, cancel)()

	h.Suspend()
	defer func() {
		if life.Err() == nil {
			h.startReading()
			h.setSuspended(false)
		}
	}()
	if err := h.Wait(ctx); err != nil {
		return orClosing(life, fault.New(fault.Unavailable, "start a replay: wait for open attempts: %w", err))
	}
	if err := h.dispatcher.recorder.FlushAll(ctx); err != nil {
		return orClosing(life, fmt.Errorf("start a replay: %w", err))
	}
	// No attempt is open now. Even if the write fails, the store has the position.
	err := h.dispatcher.cfg.Store.StartReplay(ctx, h.name, from, to, time.Now())
	h.reload(life)
	if err != nil {
		return orClosing(life, err)
	}
	return nil
}

// orClosing returns actions.ErrClosing if the handler is being closed or given up, which may be
// the reason of err.
func orClosing(life context.Context, err error) error {
	if life.Err() != nil {
		return actions.ErrClosing
	}
	return err
}

// reload loads the position from the store. It retries until it succeeds or life ends.
func (h *handler) reload(life context.Context) {
	for {
		b, err := h.dispatcher.cfg.Store.LoadBacklog(life, h.name)
		if err == nil {
			err = h.load(life, b)
		}
		if err == nil {
			h.recovered(obstacle.Reader)
			return
		}
		if life.Err() != nil || !h.pause(life, obstacle.Reader, err) {
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

// Wait implements tenure.Handler: it waits until no attempt is open.
func (h *handler) Wait(ctx context.Context) error {
	if !queue.Await(ctx, &h.mu, h.idle, func() bool { return h.inFlight == 0 }) {
		return ctx.Err()
	}
	return nil
}

// ahead reports whether the reader is yet to read the event.
func (h *handler) ahead(seq uint64) bool { return seq > h.readTo && !h.replay.Skips(seq) }

// EndReplay implements reading.Handler: it moves the reader to its position before the replay. It
// first admits what waited there for another attempt.
func (h *handler) EndReplay(ctx context.Context, r *event.Replay) error {
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
			due := *t.Past
			due.Due = time.Now()
			t.Past = &due
		}
		if t != nil {
			h.admitLater(t)
		}
		h.mu.Unlock()
	}
	h.SkipTo(max(r.To, r.Resume))
	return nil
}
