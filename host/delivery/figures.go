package delivery

import (
	"context"

	"github.com/berth-host/berth/host/delivery/stored"
	"github.com/berth-host/berth/host/event"
)

// Figures describe the queue of a handler, open or not: Open and Lag as in Stats, and
// the first Seq that is not final for it.
type Figures = stored.Figures

// Figures implements actions.Handler.
func (h *handler) Figures(last uint64) (f Figures) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f = h.figures(last)
	f.Oldest = h.firstOpen()
	return f
}

// figures returns all but Oldest in constant time. last is the log's end.
func (h *handler) figures(last uint64) (f Figures) {
	if h.standby.Load() {
		return f // the owner has them
	}
	f.Open = uint64(h.open.N + h.redriven + h.laterOpen + h.fair.Live())
	f.Lag = f.Open + h.replay.Unread(h.readTo, last, len(h.done))
	return f
}

// firstOpen returns the first Seq that may be open.
func (h *handler) firstOpen() uint64 {
	seq := h.cursor() + 1
	for t := range h.open.All {
		seq = min(seq, t.Record.Seq)
	}
	return seq
}

// recount counts the redriven events that wait for the feeder. The result may be too
// high while the feeder runs, until it has gone through them.
func (h *handler) recount(ctx context.Context) error {
	h.mu.Lock()
	readTo, replay := h.readTo, h.replay
	h.mu.Unlock()
	n, err := stored.CountRedriven(ctx, h.dispatcher.cfg.Store, h.name, readTo, replay)
	if err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for t := range h.open.All {
		if t.Past != nil && t.Past.Status == event.StatusPending {
			n-- // it is open, and still pending in the store
		}
	}
	h.redriven, h.recounts = max(0, n), h.recounts+1
	return nil
}
