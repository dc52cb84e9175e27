package delivery

import (
	"cmp"
	"context"
	"math"
	"slices"
	"time"

	"github.com/berth-host/berth/host/delivery/fair"
	"github.com/berth-host/berth/host/delivery/obstacle"
	"github.com/berth-host/berth/host/delivery/queue"
	"github.com/berth-host/berth/host/delivery/tasks"
	"github.com/berth-host/berth/host/event"
)

const (
	// maxKept bounds the Seqs that a handler keeps of events beyond the share of their value.
	maxKept = 1_000_000
	// maxSpan bounds how far the reader is ahead of the cursor while there are such events: a
	// restart reads the outcomes of that span.
	maxSpan = 4 * maxKept
	// maxFairLeases bounds the attempts that all leases of a handler have acquired and not started
	// when its events are shared: they precede an event that arrives now.
	maxFairLeases = 64
)

// shareEvents makes the queue follow Policy.Fair. The caller holds handler.mu.
func (h *handler) shareEvents() {
	p := h.policy.Fair
	var next *fair.Queue[tasks.Task]
	switch {
	case h.fair == nil && p == nil:
		return
	case h.fair != nil && p != nil && h.fair.Policy() != nil && h.fair.Policy().By == p.By:
		h.fair.SetPolicy(p)
		return
	case h.fair == nil:
		next = fair.New[tasks.Task](p)
	case p != nil || h.fair.First() != 0: // the cursor does not pass the events of its ledger
		next = h.fair.Regroup(p)
	}
	var ready []*tasks.Task
	for t := h.ready.Pop(); t != nil; t = h.ready.Pop() {
		ready = append(ready, t)
	}
	h.fair = next
	h.ready.Share(next, func(t *tasks.Task) fair.Group { return t.Group })
	if next != nil {
		for t := range h.open.All {
			h.openShared(t, next.Group(p.Of(t.Record.Event)))
		}
	}
	for _, t := range ready {
		h.ready.Push(t)
	}
	h.wakeReader()
}

// openShared counts a task as an open one of its group.
func (h *handler) openShared(t *tasks.Task, g fair.Group) {
	t.Group = g
	h.fair.Opened(g)
	if t.Phase == tasks.Blocked {
		h.fair.Blocked(g)
	}
}

// arriveShared admits a task that was read from the log, or keeps its Seq only. The caller
// holds handler.mu.
func (h *handler) arriveShared(t *tasks.Task, value string, now int64) {
	g := h.fair.Group(value)
	if h.window.Len() >= maxAhead || h.fair.Behind(g, t.Lane) || !h.fits(g) {
		h.fair.Keep(g, t.Lane, t.Record.Seq)
		h.free.Recycle(t)
		return
	}
	t.Arrived = now
	t.Users++
	h.window.Push(t)
	h.admitTo(t, g)
}

// admitLater admits a task that waits for its next attempt, or keeps it behind the earlier events
// of its key that are kept. The caller holds handler.mu.
func (h *handler) admitLater(t *tasks.Task) {
	if h.fair == nil || !h.fair.BehindKey(t.Lane) {
		h.admit(t)
		return
	}
	h.keptPast[t.Record.Seq] = *t.Past
	h.fair.Keep(h.fair.Group(h.policy.Fair.Of(t.Record.Event)), t.Lane, t.Record.Seq)
	h.free.Recycle(t)
}

// fits reports whether a group may have another open task.
func (h *handler) fits(g fair.Group) bool {
	if h.unsaved >= maxWindow || h.bytes >= maxWindowBytes || h.open.N >= maxAhead {
		return false
	}
	return h.fair.Reserved(g) || h.counted() < maxWindow && h.fair.Fits(g)
}

// fitShared is fit for a handler whose events are shared: what does not fit into the share of
// its value is kept.
func (h *handler) fitShared() int {
	if first := h.fair.First(); first != 0 && h.readTo-first >= maxSpan {
		return 0
	}
	return max(0, maxKept-h.fair.Entries())
}

// wakeShared wakes the reader, and reads kept events again, if there is capacity.
func (h *handler) wakeShared() {
	if h.readerFull && h.fitShared() >= readBatch {
		h.readerFull = false
		queue.Signal(h.readerWake)
	}
	h.wakeKept()
}

// wakeKept starts readKept if there are kept events to read, unless it runs. The caller holds
// handler.mu.
func (h *handler) wakeKept() {
	if h.fair == nil || h.readsKept || h.startKept == nil {
		return
	}
	if h.fair.IsStarved() && h.unsaved < maxWindow && h.bytes < maxWindowBytes {
		h.readsKept = true
		h.startKept()
	}
}

// readKept reads kept events again whose time it is.
func (h *handler) readKept(ctx context.Context) {
	for more := true; more; {
		var err error
		if more, err = h.readStarved(ctx); err == nil {
			h.recovered(obstacle.Kept)
		} else if ctx.Err() != nil || !h.pause(ctx, obstacle.Kept, err) {
			return
		}
	}
}

// readStarved reads the next events of one group, and those of others among them. It returns
// false when no group may have more, which ends readKept.
func (h *handler) readStarved(ctx context.Context) (more bool, err error) {
	h.mu.Lock()
	q, policy := h.fair, h.policy
	if q == nil {
		h.readsKept = false
		h.mu.Unlock()
		return false, nil
	}
	g, from, count, ok := q.Starved(h.fits, readBatch)
	h.readsKept = ok
	h.mu.Unlock()
	if !ok {
		return false, nil
	}
	records, err := h.dispatcher.cfg.Log.Read(ctx, from, count)
	to := uint64(math.MaxUint64)
	if err != nil {
		records, to = nil, 0
	} else if len(records) == count {
		to = records[count-1].Seq
	}
	keys := make([]uint64, len(records))
	for i, rec := range records {
		keys[i] = queue.Lane(h.seed, policy.Key(rec.Event))
	}
	now := time.Now().UnixNano()
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.fair != q {
		return true, err
	}
	for i, rec := range records {
		if next, ok := q.Next(rec.Seq); ok && h.fits(next) {
			q.Take(next)
			t := append(h.free.Reuse(nil, 1), new(tasks.Task))[0]
			t.Record, t.Lane, t.Arrived = rec, keys[i], now
			if past, waits := h.keptPast[rec.Seq]; waits {
				delete(h.keptPast, rec.Seq)
				t.Past, t.Recorded, t.Arrived = &past, true, 0
				q.Recorded(rec.Seq)
			}
			h.admitTo(t, next)
		}
	}
	q.Fed(g, to, func(seq uint64) bool {
		_, there := slices.BinarySearchFunc(records, seq, func(rec event.Record, seq uint64) int { return cmp.Compare(rec.Seq, seq) })
		return there
	})
	h.signal()
	h.wakeReader()
	return true, err
}
