package delivery

import (
	"context"
	"time"

	"github.com/berth-host/berth/host/delivery/fair"
	"github.com/berth-host/berth/host/delivery/queue"
	"github.com/berth-host/berth/host/delivery/reading"
	"github.com/berth-host/berth/host/delivery/tasks"
	"github.com/berth-host/berth/host/event"
)

const (
	// maxWindow bounds the events that a handler has read and that are not final, plus
	// the outcomes that are not written yet; but see counted.
	maxWindow = 4096
	// maxWindowBytes bounds the envelopes of those events.
	maxWindowBytes = 64 << 20
	// maxAhead bounds the events that are read past one whose outcome is not recorded.
	maxAhead = 16 * maxWindow
	// maxUnsavedBytes bounds the results and children that are not written yet: from it on
	// no attempt starts.
	maxUnsavedBytes = 64 << 20
	readBatch       = reading.Batch
	// maxReady bounds the ready events while attempts are open: more would not make a
	// busy handler faster, and the processor's caches are small.
	maxReady  = 2 * readBatch
	readRetry = time.Second // after the log could not be read
)

// startReading starts the reader and the feeder.
func (h *handler) startReading() {
	ctx, cancel := context.WithCancel(context.Background())
	h.stopReading = func() {
		cancel()
		h.mu.Lock()
		defer h.mu.Unlock()
		h.startKept = nil
	}
	queue.Signal(h.refill) // events may have been redriven before
	h.reading.Go(func() { reading.Read(ctx, h.dispatcher.cfg.Log, h) })
	h.reading.Go(func() { h.feed(ctx) })
	h.mu.Lock()
	defer h.mu.Unlock()
	h.readsKept, h.startKept = false, func() { h.reading.Go(func() { h.readKept(ctx) }) }
	h.wakeKept()
}

// Position implements reading.Handler.
func (h *handler) Position() reading.Position {
	h.mu.Lock()
	defer h.mu.Unlock()
	return reading.Position{ReadTo: h.readTo, Replay: h.replay, Until: h.hold.Until()}
}

// Arrive implements reading.Handler.
func (h *handler) Arrive(ctx context.Context, records []event.Record) int {
	fit := 0
	if queue.Await(ctx, &h.mu, h.readerWake, func() bool {
		fit = h.fit(records)
		h.readerFull = fit == 0
		return fit > 0
	}) {
		h.arrive(records[:fit])
	}
	return fit
}

// SkipTo implements reading.Handler.
func (h *handler) SkipTo(seq uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.readTo = max(h.readTo, seq)
}

func (h *handler) fit(records []event.Record) (n int) {
	h.cursor() // drops the tasks that it has passed
	if h.fair != nil {
		return min(len(records), h.fitShared())
	}
	bytes := h.bytes
	limit := min(len(records), maxWindow-h.counted(), maxAhead-h.window.Len())
	if h.inFlight > 0 {
		limit = min(limit, h.maxReady()-h.ready.Len())
	}
	for ; n < limit && bytes < maxWindowBytes; n++ {
		bytes += len(records[n].Event.Envelope())
	}
	return n
}

// maxReady is how many ready events the reader leaves while attempts are open: enough for two
// batches.
func (h *handler) maxReady() int { return max(maxReady, 2*h.batchSize) }

// counted returns how much of maxWindow is used. While keys wait for a retry and nothing
// else is ready, the events behind them do not count: the reader continues with the
// events of other keys, up to maxAhead or maxWindowBytes.
func (h *handler) counted() int {
	n := h.open.N + h.unsaved - h.committing
	if h.retries.Len() > 0 && h.ready.Len() == 0 {
		n -= h.behind
	}
	return n
}

// wakeReader wakes the reader, and the feeder, if it waits for capacity and there is
// enough for several events, or for one and nothing is ready.
func (h *handler) wakeReader() {
	if h.fair != nil {
		h.wakeShared()
	} else if h.readerFull {
		capacity, ready := maxWindow-h.counted(), h.ready.Len()
		if capacity >= readBatch && (h.inFlight == 0 || ready <= h.maxReady()-readBatch) || capacity > 0 && ready == 0 {
			h.readerFull = false
			queue.Signal(h.readerWake)
		}
	}
	h.wakeFeeder()
}

// waits reports whether load found an unfinished delivery of an event ahead of the reader.
func (h *handler) waits(seq uint64) (waits bool) {
	if len(h.later) > 0 {
		_, waits = h.later[seq]
	}
	return waits
}

// arrive admits events that were read from the log.
func (h *handler) arrive(records []event.Record) {
	h.mu.Lock()
	policy := h.policy
	h.batch = h.free.Reuse(h.batch[:0], len(records))
	h.mu.Unlock()
	var values []string // of tasks
	if policy.Fair != nil {
		values = make([]string, len(records))
	}
	n := 0
	for _, rec := range records {
		if !h.waits(rec.Seq) && !policy.Gets(h.name, rec) {
			continue
		}
		if n == len(h.batch) {
			h.batch = append(h.batch, new(tasks.Task))
		}
		h.batch[n].Record, h.batch[n].Lane = rec, queue.Lane(h.seed, policy.Key(rec.Event))
		if values != nil {
			values[n] = policy.Fair.Of(rec.Event)
		}
		n++
	}
	now := time.Now().UnixNano()
	h.mu.Lock()
	defer h.mu.Unlock()
	for i, t := range h.batch[:n] {
		seq := t.Record.Seq
		if len(h.done) > 0 && h.done[seq] {
			delete(h.later, seq) // it was skipped
			h.free.Recycle(t)
			continue
		}
		if h.waits(seq) {
			past := h.later[seq] // declared here, because it escapes to the heap
			delete(h.later, seq)
			if h.dueNow[seq] {
				delete(h.dueNow, seq)
				past.Due = time.Now()
			}
			t.Past, t.Recorded = &past, true
			h.admitLater(t)
			continue
		}
		if h.fair != nil {
			value := ""
			if values != nil {
				value = values[i]
			}
			h.arriveShared(t, value, now)
			continue
		}
		t.Arrived = now
		t.Users++
		h.window.Push(t)
		h.admitTo(t, fair.Shared)
	}
	h.signal()
	h.free = append(h.free, h.batch[n:]...) // these are unused
	clear(h.batch)
	if len(h.done) > 0 {
		for _, rec := range records {
			delete(h.done, rec.Seq)
		}
	}
	h.readTo = records[len(records)-1].Seq
	if h.fair != nil {
		h.wakeShared()
	}
}
