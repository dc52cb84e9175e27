package delivery

import (
	"context"

	"github.com/berth-host/berth/host/event"
)

// Figures describe the queue of a handler, open or not: Open and Lag as in Stats, and
// the first Seq that is not final for it.
type Figures struct {
	Open, Lag uint64
	Oldest    uint64
}

// Figures returns those of a handler. For a handler that is not open they are the counts
// after it is opened.
func (d *Dispatcher) Figures(ctx context.Context, handler string) (f Figures, err error) {
	if h := d.handler(handler); h != nil {
		last := d.cfg.Log.Last()
		h.mu.Lock()
		f = h.figures(last)
		f.Oldest = h.firstOpen()
		h.mu.Unlock()
	} else if f, err = d.closedFigures(ctx, handler); err != nil {
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
	f.Open = uint64(h.open.n + h.redriven + h.laterOpen)
	f.Lag = f.Open + unread(last, h.readTo, h.replay, len(h.done))
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

// unread returns how many events of the log a reader at readTo has yet to read, without
// those that are done already.
func unread(last, readTo uint64, r *event.Replay, done int) uint64 {
	if last <= readTo {
		return 0
	}
	n := last - readTo - replaySkips(r, readTo)
	return n - min(n, uint64(done))
}

// recount counts the redriven events that wait for the feeder. The result may be too
// high while the feeder runs, until it has gone through them.
func (h *handler) recount(ctx context.Context) error {
	h.mu.Lock()
	readTo, replay := h.readTo, h.replay
	h.mu.Unlock()
	n, err := h.dispatcher.countRedriven(ctx, h.name, readTo, replay)
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

// countRedriven counts the redriven events that the reader has passed or will skip. All
// others are counted as unread.
func (d *Dispatcher) countRedriven(ctx context.Context, handler string, readTo uint64, r *event.Replay) (int, error) {
	n, err := d.cfg.Store.CountRedriven(ctx, handler, 0, readTo)
	if err != nil || r == nil || readTo >= r.Resume {
		return n, err
	}
	skipped, err := d.cfg.Store.CountRedriven(ctx, handler, max(r.To, readTo)+1, r.Resume)
	return n + skipped, err
}

// closedFigures returns those of a handler that is not open.
func (d *Dispatcher) closedFigures(ctx context.Context, handler string) (f Figures, err error) {
	last := d.cfg.Log.Last()
	b, err := d.cfg.Store.LoadBacklog(ctx, handler)
	if err != nil || !b.Found {
		return f, err
	}
	redriven, err := d.countRedriven(ctx, handler, b.Cursor, b.Replay)
	if err != nil {
		return f, err
	}
	f.Oldest = b.Cursor + 1
	f.Open = uint64(redriven)
	for _, waiting := range b.Open {
		if waiting.Seq <= b.Cursor || b.Replay.Skips(waiting.Seq) {
			f.Open++ // the reader has passed it, or will skip it
			f.Oldest = min(f.Oldest, waiting.Seq)
		}
	}
	f.Lag = f.Open + unread(last, b.Cursor, b.Replay, len(b.Done))
	return f, nil
}
