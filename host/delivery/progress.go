package delivery

import (
	"context"
	"time"

	"github.com/berth-host/berth/host/event"
)

// cursor is how far everything is settled.
func (h *Handler) cursor() uint64 {
	for h.window.len() > 0 && h.window.peek().settled {
		h.drop(h.window.pop())
	}
	c := h.readTo
	if h.window.len() > 0 {
		c = h.window.peek().record.Seq - 1
	}
	if r := h.replay; r != nil && c >= r.To {
		return max(c, r.Resume) // what lies between was settled before the replay
	}
	return c
}

// batch is what one write holds.
type batch struct {
	rows    []event.Delivery
	cursors []event.Cursor
	parts   []part
}

// part is what a batch has of one handler.
type part struct {
	handler  *Handler
	outcomes int // with the ones that are left out
	rows     int
	children int // bytes
}

// clear empties the batch and keeps its memory.
func (b *batch) clear() {
	clear(b.rows)
	clear(b.parts)
	b.rows, b.cursors, b.parts = b.rows[:0], b.cursors[:0], b.parts[:0]
}

// waiting is how many outcomes the recorder has not fetched.
func (h *Handler) waiting() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.outcomes.list)
}

// collect puts the outcomes and the cursor into b. The cursor is left out when it
// did not move, and when it is all there is and all is false: a cursor alone only
// saves reading again what the handler does not take. With thin the successes
// are left out that the cursor covers. The recorder alone calls it, holding its
// own lock: what is in neither h.outcomes nor b is looked for there.
func (h *Handler) collect(b *batch, all, thin bool) {
	h.mu.Lock()
	if h.gone {
		h.mu.Unlock()
		return
	}
	if c := h.cursor(); c > h.saved && (all || len(h.outcomes.list) > 0) {
		h.saved = c
		b.cursors = append(b.cursors, event.Cursor{Name: cursorName(h.name), Seq: c})
	}
	// An outcome does not change any more: while it is copied, attempts go on.
	fetched, saved, before := h.outcomes, h.saved, h.thinned
	h.outcomes, h.copied = h.copied, outcomes{}
	h.mu.Unlock()
	p, thinned := part{handler: h, outcomes: len(fetched.list)}, before
	results, copied := "", false
	for i := range fetched.list {
		o := &fetched.list[i]
		if thin && o.rowless && o.full == nil && o.seq <= saved {
			thinned.add(o.seq)
			continue
		}
		if !copied {
			results, copied = string(fetched.results), true
		}
		row := o.delivery(h.name, results[o.from:o.to])
		p.children += childBytes(row.Children)
		b.rows = append(b.rows, row)
		p.rows++
	}
	fetched.clear()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.copied = fetched
	if p.outcomes > 0 {
		h.thinned = thinned
		h.stats.HistorySkipped += uint64(p.outcomes - p.rows)
		b.cursors = thinned.save(b.cursors, before, h.name)
		b.parts = append(b.parts, p)
	}
}

// wrote says that n outcomes are in the store, with so many bytes of children.
func (h *Handler) wrote(n, children int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.unsaved -= n
	h.children -= children
	h.makeRoom()
	if children > 0 {
		h.signal() // those in Next may have waited for it
	}
}

// refused says that a delivery that was ok is stored as dead.
func (h *Handler) refused() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.stats.Delivered--
	h.stats.Failed++
	h.stats.Refused++
}

// childBytes is how much the children of a delivery take.
func childBytes(children []*event.Event) (n int) {
	for _, child := range children {
		n += len(child.Envelope())
	}
	return n
}

// view is what the handler knows of an event, if it has it or will get it. A
// final row of the store that is not younger than since is from before.
func (h *Handler) view(rec event.Record) (v event.Delivery, since time.Time, ok bool) {
	h.mu.Lock()
	t, ahead, takes := h.open.get(rec.Seq), h.ahead(rec.Seq) && !h.done[rec.Seq], h.policy.Takes
	waits, later := h.later[rec.Seq]
	since = h.since(rec.Seq)
	known := t != nil
	if known {
		v = h.shown(t)
	} else if v, known = h.outcomes.find(h.name, rec.Seq); known {
		since = asOld(v)
	}
	h.mu.Unlock()
	switch {
	case known:
		return v, since, true
	case later:
		return waits, since, true
	case ahead && takes(rec.Event):
		return event.Delivery{Handler: h.name, Seq: rec.Seq, Status: event.StatusPending, At: rec.Event.Metadata().Time}, since, true
	}
	return v, since, false
}

// asOld is the since of an outcome that is not written, or was not a moment ago:
// the row that it makes counts, older ones do not.
func asOld(d event.Delivery) time.Time { return d.At.Add(-1) }

// Settled returns the Seq up to which nothing is open.
func (h *Handler) Settled() uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	seq := h.cursor()
	for t := range h.open.all {
		seq = min(seq, t.record.Seq-1)
	}
	return seq
}

// Stats returns the figures. It is cheap: it looks at nothing one by one.
func (h *Handler) Stats() Stats {
	last := h.dispatcher.cfg.Log.Last()
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.stats
	s.Open = uint64(h.open.n + h.redriven + h.laterOpen)
	s.Lag = s.Open + unread(last, h.readTo, h.replay, len(h.done))
	s.Condition = h.condition()
	return s
}

// unread is how many events of the log a reader at readTo has yet to come by, without
// those that are done already.
func unread(last, readTo uint64, r *event.Replay, done int) uint64 {
	if last <= readTo {
		return 0
	}
	n := last - readTo - replaySkips(r, readTo)
	return n - min(n, uint64(done))
}

// recount counts the redriven events that wait for the feeder. While it takes some up
// there may be a few too many, until it has gone through them.
func (h *Handler) recount(ctx context.Context) error {
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
			n-- // it is open, and its row says what it said before
		}
	}
	h.redriven, h.redrives = max(0, n), h.redrives+1
	return nil
}

// countRedriven counts the redriven events that the reader has passed, or passes over.
// It comes by all others, which are counted as unread.
func (d *Dispatcher) countRedriven(ctx context.Context, handler string, readTo uint64, r *event.Replay) (int, error) {
	n, err := d.cfg.Store.CountRedriven(ctx, handler, 0, readTo)
	if err != nil || r == nil || readTo >= r.Resume {
		return n, err
	}
	skipped, err := d.cfg.Store.CountRedriven(ctx, handler, max(r.To, readTo)+1, r.Resume)
	return n + skipped, err
}

// Figures are the Stats of a handler, whether it is open or not, and from which Seq on
// events are not final for it.
type Figures struct {
	Stats
	Oldest uint64
}

// Figures returns those of a handler. Of one that is not open, Open and Lag count what
// it will have when it is opened, as Stats defines them, and the rest is zero.
func (d *Dispatcher) Figures(ctx context.Context, handler string) (f Figures, err error) {
	d.mu.Lock()
	h := d.handlers[handler]
	d.mu.Unlock()
	if h != nil {
		f.Stats, f.Oldest = h.Stats(), h.Settled()+1
	} else if f, err = d.closedFigures(ctx, handler); err != nil {
		return f, err
	}
	if f.Open > 0 {
		rows, err := d.cfg.Store.Redriven(ctx, handler, 0, 1)
		if err != nil {
			return f, err
		}
		if len(rows) > 0 {
			f.Oldest = min(f.Oldest, rows[0].Seq)
		}
	}
	return f, nil
}

// closedFigures are those of a handler that is not open.
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
	for _, row := range b.Open {
		if row.Seq <= b.Cursor || b.Replay.Skips(row.Seq) {
			f.Open++ // the reader has passed it, or passes over it
			f.Oldest = min(f.Oldest, row.Seq)
		}
	}
	f.Lag = f.Open + unread(last, b.Cursor, b.Replay, len(b.Done))
	return f, nil
}
