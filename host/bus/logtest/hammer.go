package logtest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/berth-host/berth/host/bus"
	"github.com/berth-host/berth/host/event"
)

const (
	hammerPublishers = 8
	hammerReaders    = 3
)

// hammerRun is one run of hammer.
type hammerRun struct {
	*testing.T
	l    bus.Log
	ctx  context.Context
	done atomic.Bool                  // all publishers have ended
	next [hammerReaders]atomic.Uint64 // the Seq each reader has read up to
	seen [hammerReaders]map[uint64]string

	mu    sync.Mutex
	acked map[uint64]string // Seq to id
}

// hammer races publishers, some of which give up, with readers that follow the log and
// a trimmer that follows the readers. Every reader sees every acknowledged event, once
// and in order, unless it was trimmed.
func hammer(t *testing.T, l bus.Log) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	h := &hammerRun{T: t, l: l, ctx: ctx, acked: make(map[uint64]string)}
	var publishing, others sync.WaitGroup
	for p := range hammerPublishers {
		publishing.Go(func() { h.publish(p) })
	}
	for r := range hammerReaders {
		h.seen[r] = make(map[uint64]string)
		others.Go(func() { h.read(r) })
	}
	others.Go(h.trim)
	publishing.Wait()
	h.done.Store(true)
	mustAppend(t, l, Make(t, event.Draft{})) // wakes the readers a last time
	others.Wait()
	for r := range h.seen {
		for seq, id := range h.acked {
			if h.seen[r][seq] != id {
				t.Errorf("reader %d: at Seq %d got %q, want %q", r, seq, h.seen[r][seq], id)
			}
		}
	}
}

// publish appends an event of its own and one that all publishers share, again and
// again, and gives up some calls.
func (h *hammerRun) publish(p int) {
	for i := range 40 {
		shared := fmt.Sprintf("shared-%d", i)
		events := []*event.Event{
			Make(h, event.Draft{IdempotencyKey: fmt.Sprintf("%d-%d", p, i)}),
			Make(h, event.Draft{IdempotencyKey: shared}),
		}
		call, giveUp := context.WithCancel(h.ctx)
		if i%5 == 0 {
			go giveUp()
		}
		receipts, err := h.l.Append(call, events)
		giveUp()
		if err != nil {
			if !errors.Is(err, context.Canceled) {
				h.Errorf("Append: %v", err)
			}
			continue
		}
		h.mu.Lock()
		for _, r := range receipts {
			if before, found := h.acked[r.Seq]; found && (before != r.EventID || !r.Duplicate) && r.IdempotencyKey != shared {
				h.Errorf("Seq %d was given to %s and %s", r.Seq, before, r.EventID)
			}
			h.acked[r.Seq] = r.EventID
		}
		h.mu.Unlock()
	}
}

// read follows the log until all publishers have ended.
func (h *hammerRun) read(r int) {
	next := uint64(1)
	for {
		finished := h.done.Load()
		records, err := h.l.Read(h.ctx, next, 1+7*r)
		if err != nil {
			h.Errorf("Read: %v", err)
			return
		}
		for _, rec := range records {
			if rec.Seq < next {
				h.Errorf("Read: Seq %d after %d", rec.Seq, next-1)
			}
			h.seen[r][rec.Seq] = rec.Event.ID()
			next = rec.Seq + 1
		}
		h.next[r].Store(next)
		if len(records) > 0 {
			continue
		}
		if finished {
			return
		}
		if err := h.l.Wait(h.ctx, next-1); err != nil {
			h.Errorf("Wait: %v", err)
			return
		}
	}
}

// trim removes the events that all readers have read.
func (h *hammerRun) trim() {
	for !h.done.Load() {
		edge := h.next[0].Load()
		for i := range h.next {
			edge = min(edge, h.next[i].Load())
		}
		if _, err := h.l.Trim(h.ctx, edge); err != nil {
			h.Errorf("Trim: %v", err)
			return
		}
	}
}
