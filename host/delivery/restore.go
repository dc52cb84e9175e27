package delivery

import (
	"context"
	"errors"
	"time"

	"github.com/berth-host/berth/host/delivery/fair"
	"github.com/berth-host/berth/host/delivery/obstacle"
	"github.com/berth-host/berth/host/delivery/pending"
	"github.com/berth-host/berth/host/delivery/queue"
	"github.com/berth-host/berth/host/delivery/recorder"
	"github.com/berth-host/berth/host/delivery/stored"
	"github.com/berth-host/berth/host/delivery/tasks"
	"github.com/berth-host/berth/host/event"
)

const (
	// feedPage is how many redriven deliveries are read from the store at once.
	feedPage = 512
	// maxFed and maxFedBytes bound the redriven events that a handler has, besides those
	// that it has read: neither waits for the other.
	maxFed      = maxWindow / 2
	maxFedBytes = maxWindowBytes / 2
)

// load sets the handler to its position in the store. Neither the reader nor the feeder
// runs meanwhile, no attempt is open and no outcome unwritten.
//
// It admits what waits for another attempt below the cursor at once, before anything
// behind it. The reader admits what waits above the cursor at its position in the order:
// see arrive and endReplay.
func (h *handler) load(ctx context.Context, b event.Backlog) error {
	later := make(map[uint64]event.Delivery)
	var waiting []*tasks.Task
	var unread []event.Delivery
	latest := h.latestDue(time.Now())
	for _, d := range b.Open {
		if d.Due.After(latest) {
			d.Due = latest
		}
		if d.Seq > b.Cursor {
			later[d.Seq] = d
			continue
		}
		t, err := h.restored(ctx, d)
		var bad *event.Unreadable
		if errors.As(err, &bad) {
			unread = append(unread, d)
			continue
		}
		if err != nil {
			return err
		}
		if t != nil {
			waiting = append(waiting, t)
		}
	}
	redriven, err := stored.CountRedriven(ctx, h.dispatcher.cfg.Store, h.name, b.Cursor, b.Replay)
	if err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.reset(b, later, unread)
	h.redriven = redriven
	for _, t := range waiting {
		h.admit(t)
	}
	return nil
}

// reset drops what the handler has and sets it to a position. The caller holds handler.mu, as
// load does.
func (h *handler) reset(b event.Backlog, later map[uint64]event.Delivery, unread []event.Delivery) {
	h.unread = unread
	h.ready, h.fair, h.window, h.retries = fair.Ready[tasks.Task]{}, nil, queue.FIFO[tasks.Task]{}, nil
	h.open, h.lanes = tasks.Open{Window: &h.window}, queue.Lanes[tasks.Task]{}
	h.shareEvents()
	h.bytes, h.behind = 0, 0
	h.alone = pending.Alone[*tasks.Task]{}
	h.fedOpen, h.fedBytes = 0, 0
	h.later, h.dueNow, h.replay = later, make(map[uint64]bool), b.Replay
	h.keptPast = make(map[uint64]event.Delivery)
	h.readTo, h.saved = b.Cursor, b.Cursor
	h.laterOpen = len(unread)
	for seq := range later {
		if b.Replay.Skips(seq) {
			h.laterOpen++
		}
	}
	h.redriven, h.recounts = 0, h.recounts+1
	h.done = make(map[uint64]bool, len(b.Done))
	for _, seq := range b.Done {
		h.done[seq] = true
	}
}

// latestDue returns when a retry that was scheduled before now is due at the latest. One
// that is due later was scheduled before the clock was set back.
func (h *handler) latestDue(now time.Time) time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return now.Add(h.policy.Retry.MaxBackoff)
}

// restored returns the task of a stored delivery, nil when its event is gone. The cursor
// may pass it: its delivery is in the store.
func (h *handler) restored(ctx context.Context, d event.Delivery) (*tasks.Task, error) {
	records, err := h.dispatcher.cfg.Log.Read(ctx, d.Seq, 1)
	if err != nil {
		return nil, err
	}
	if len(records) == 0 || records[0].Seq != d.Seq {
		return nil, nil
	}
	h.mu.Lock()
	key := h.policy.Key
	h.mu.Unlock()
	return &tasks.Task{Record: records[0], Lane: queue.Lane(h.seed, key(records[0].Event)), Past: &d, Recorded: true}, nil
}

// restoreUnread admits the deliveries that load could not, as far as their events can be
// read now, or were skipped.
func (h *handler) restoreUnread(ctx context.Context) error {
	for len(h.unread) > 0 {
		t, err := h.restored(ctx, h.unread[0])
		if err != nil {
			return err
		}
		h.unread = h.unread[1:]
		h.mu.Lock()
		h.laterOpen--
		if t != nil {
			h.admit(t)
		}
		h.mu.Unlock()
	}
	return nil
}

// feed is the feeder: it admits redriven events, at the start and whenever there is a
// token in refill.
func (h *handler) feed(ctx context.Context) {
	for {
		select {
		case <-h.refill:
		case <-ctx.Done():
			return
		}
		for again := true; again; {
			err := h.restoreUnread(ctx)
			if err == nil {
				again, err = h.feedAll(ctx)
			}
			if err != nil {
				if ctx.Err() != nil || !h.pause(ctx, obstacle.Feeder, err) {
					return
				}
				again = true
				continue
			}
			h.recovered(obstacle.Feeder)
		}
	}
}

// feedAll goes once through the redriven deliveries. It returns true when it has to do
// so again: the reader passed one of them meanwhile, or the outcome of one was being
// written, before or after it was redriven.
func (h *handler) feedAll(ctx context.Context) (again bool, err error) {
	h.mu.Lock()
	recounts := h.recounts
	h.mu.Unlock()
	written := true
	for after := uint64(0); ; {
		// In this order: an outcome that is written between the two is no longer pending
		// in the store.
		busy := h.busy()
		redriven, err := h.dispatcher.cfg.Store.Redriven(ctx, h.name, after, feedPage)
		if err != nil {
			return false, err
		}
		for _, d := range redriven {
			after = d.Seq
			if open, has := busy.seqs[d.Seq]; has {
				written = written && open // the outcome of an open one follows this delivery
				continue
			}
			t, err := h.restored(ctx, d)
			if err != nil {
				return false, err
			}
			if t == nil {
				continue
			}
			if !h.awaitFeedCapacity(ctx) {
				return false, ctx.Err()
			}
			again = h.admitRedriven(t, busy.ahead(d.Seq)) || again
		}
		if len(redriven) < feedPage {
			if !written {
				return true, h.dispatcher.recorder.Flush(ctx, h)
			}
			h.mu.Lock()
			if !again && h.recounts == recounts { // all are admitted
				h.redriven = 0
			}
			h.mu.Unlock()
			return again, nil
		}
	}
}

// admitRedriven admits a redriven task, unless the reader has admitted it or will.
// wasAhead is what ahead returned before the delivery was read from the store. It returns
// true when that has to be found out again.
func (h *handler) admitRedriven(t *tasks.Task, wasAhead bool) (again bool) {
	seq := t.Record.Seq
	h.mu.Lock()
	defer h.mu.Unlock()
	ahead := h.ahead(seq)
	switch {
	case h.open.Get(seq) != nil, ahead && !h.done[seq], h.fair.Has(seq): // the reader's
	case !ahead && wasAhead: // the reader has passed it: did it admit it?
		return true
	default: // the reader has passed it, or will skip it
		t.Fed = true
		h.redriven = max(0, h.redriven-1)
		h.fedOpen++
		h.fedBytes += len(t.Record.Event.Envelope())
		h.admit(t)
	}
	return false
}

// busy describes the deliveries that a handler and the recorder had at one moment.
type busy struct {
	seqs   map[uint64]bool // true: open; false: its outcome is not written, or was not a moment ago
	readTo uint64
	replay *event.Replay
}

func (b busy) ahead(seq uint64) bool { return seq > b.readTo && !b.replay.Skips(seq) }

func (h *handler) busy() (b busy) {
	h.dispatcher.recorder.View(func(saving *recorder.Batch) {
		h.mu.Lock()
		defer h.mu.Unlock()
		b = busy{seqs: make(map[uint64]bool, h.open.N+h.unsaved), readTo: h.readTo, replay: h.replay}
		for seq := range h.outcomes.Seqs {
			b.seqs[seq] = false
		}
		for seq := range saving.Seqs(h.name) {
			b.seqs[seq] = false
		}
		for t := range h.open.All {
			b.seqs[t.Record.Seq] = true
		}
	})
	return b
}

// awaitFeedCapacity waits until the handler has capacity for redriven events. It returns
// false when ctx has ended.
func (h *handler) awaitFeedCapacity(ctx context.Context) bool {
	return queue.Await(ctx, &h.mu, h.feederWake, func() bool {
		h.feederFull = !h.hasFeedCapacity()
		return !h.feederFull
	})
}

func (h *handler) hasFeedCapacity() bool {
	return h.fedOpen+h.unsaved < maxFed && h.fedBytes < maxFedBytes
}

// wakeFeeder wakes the feeder if it waits for capacity and there is some.
func (h *handler) wakeFeeder() {
	if h.feederFull && h.hasFeedCapacity() {
		h.feederFull = false
		queue.Signal(h.feederWake)
	}
}
