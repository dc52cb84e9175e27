package delivery

import (
	"context"

	"github.com/berth-host/berth/host/delivery/stored"
	"github.com/berth-host/berth/host/event"
)

// Figures describe the queue of a handler, open or not: Open and Lag as in Stats, and
// the first Seq that is not final for it.
type Figures = stored.Figures

// Figures returns those of a handler. For a handler that is not open they are the counts
// after it is opened.
func (d *Dispatcher) Figures(ctx context.Context, handler string) (f Figures, err error) {
	if h := d.handler(handler); h != nil {
		last := d.cfg.Log.Last()
		h.mu.Lock()
		f = h.figures(last)
		f.Oldest = h.firstOpen()
		h.mu.Unlock()
	} else if f, err = stored.FiguresOf(ctx, d.cfg.Store, handler, d.cfg.Log.Last()); err != nil {
		return f, err
	}
	if f.Open > 0 {
		redriven, err := d.cfg.Store.Redriven(ctx, handler, 0, 1)
		if err != nil {
			return f, err
		}
		if len(redriven) > 0 {
			f.Oldest = min(f.Oldest, redriven[0].Seq)
		}
	}
	return f, nil
}

// figures returns all but Oldest in constant time. last is the log's end.
func (h *handler) figures(last uint64) (f Figures) {
	f.Open = uint64(h.open.n + h.redriven + h.laterOpen + h.fair.Live())
	f.Lag = f.Open + h.replay.Unread(h.readTo, last, len(h.done))
	return f
}

// firstOpen returns the first Seq that may be open.
func (h *handler) firstOpen() uint64 {
	seq := h.cursor() + 1
	for t := range h.open.all {
		seq = min(seq, t.record.Seq)
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
	for t := range h.open.all {
		if t.past != nil && t.past.Status == event.StatusPending {
			n-- // it is open, and still pending in the store
		}
	}
	h.redriven, h.recounts = max(0, n), h.recounts+1
	return nil
}
