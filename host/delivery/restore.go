package delivery

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/berth-host/berth/host/event"
)

const (
	// feedPage is how many redriven deliveries are read from the store at once.
	feedPage = 512
	// maxFed and maxFedBytes bound the redriven events that a handler has, besides
	// what it has read: neither waits for the other.
	maxFed      = maxWindow / 2
	maxFedBytes = maxWindowBytes / 2
)

// load puts the handler where the store says that it stands. Neither the reader
// nor the feeder runs meanwhile, no attempt is open and no outcome unwritten.
//
// What waits for another attempt below the cursor is taken up at once, before
// anything behind it. What waits above is taken up when the reader comes by, in
// its place in the order: see arrive and endReplay.
func (h *Handler) load(ctx context.Context, b event.Backlog) error {
	later := make(map[uint64]event.Delivery)
	var waiting []*task
	var unread []event.Delivery
	latest := h.latestDue(time.Now())
	for _, row := range b.Open {
		if row.Due.After(latest) {
			row.Due = latest
		}
		if row.Seq > b.Cursor {
			later[row.Seq] = row
			continue
		}
		t, err := h.restored(ctx, row)
		var bad *event.Unreadable
		if errors.As(err, &bad) {
			unread = append(unread, row)
			continue
		}
		if err != nil {
			return err
		}
		if t != nil {
			waiting = append(waiting, t)
		}
	}
	redriven, err := h.dispatcher.countRedriven(ctx, h.name, b.Cursor, b.Replay)
	if err != nil {
		return err
	}
	h.unread = unread
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ready, h.window, h.retries = fifo{}, fifo{}, nil
	h.open, h.lanes = index{which: bySeq}, index{which: byLane}
	h.bytes, h.behind = 0, 0
	h.fedOpen, h.fedBytes = 0, 0
	h.later, h.replay = later, b.Replay
	h.readTo, h.saved = b.Cursor, b.Cursor
	h.known = max(h.known, b.Cursor, b.Newest)
	h.laterOpen = len(unread)
	for seq := range later {
		if b.Replay.Skips(seq) {
			h.laterOpen++
		}
	}
	h.redriven, h.redrives = redriven, h.redrives+1
	h.done = make(map[uint64]bool, len(b.Done))
	for _, seq := range b.Done {
		h.done[seq] = true
	}
	for _, t := range waiting {
		h.admit(t)
	}
	return nil
}

// latestDue is when a retry that was given its time before now is due at the
// latest. One that seems to be due after that is from before the clock was set back.
func (h *Handler) latestDue(now time.Time) time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return now.Add(h.policy.Retry.MaxBackoff)
}

// restored makes a task of a row, nil when its event is gone. The cursor may
// pass it: the row is in the store.
func (h *Handler) restored(ctx context.Context, row event.Delivery) (*task, error) {
	records, err := h.dispatcher.cfg.Log.Read(ctx, row.Seq, 1)
	if err != nil {
		return nil, err
	}
	if len(records) == 0 || records[0].Seq != row.Seq {
		return nil, nil
	}
	h.mu.Lock()
	key := h.policy.Key
	h.mu.Unlock()
	return &task{record: records[0], lane: h.lane(key(records[0].Event)), past: &row, settled: true}, nil
}

// start starts the reader and the feeder.
func (h *Handler) start() {
	ctx, cancel := context.WithCancel(context.Background())
	h.stop = cancel
	token(h.refill) // there may be redriven ones from before
	h.reader.Go(func() { h.read(ctx) })
	h.reader.Go(func() { h.feed(ctx) })
}

// ahead reports whether the reader is yet to come by the event.
func (h *Handler) ahead(seq uint64) bool { return seq > h.readTo && !h.replay.Skips(seq) }

// feed is the feeder: it takes up what is redriven, once at the start and then
// whenever there is a token in refill.
func (h *Handler) feed(ctx context.Context) {
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
				if ctx.Err() != nil || !h.pause(ctx, feeding, err) {
					return
				}
				again = true
				continue
			}
			h.recovered(feeding)
		}
	}
}

// feedAll goes once through the redriven deliveries, and answers whether it has
// to do so again: the reader came by one of them meanwhile, or the outcome of one
// was being written, before or after it was redriven.
func (h *Handler) feedAll(ctx context.Context) (again bool, err error) {
	h.mu.Lock()
	redrives := h.redrives
	h.mu.Unlock()
	written := true
	for after := uint64(0); ; {
		// In this order: an outcome that is written between the two is no longer
		// pending in the store.
		busy := h.dispatcher.recorder.busy(h)
		rows, err := h.dispatcher.cfg.Store.Redriven(ctx, h.name, after, feedPage)
		if err != nil {
			return false, err
		}
		for _, row := range rows {
			after = row.Seq
			if open, has := busy.seqs[row.Seq]; has {
				written = written && open // of one that is open, the outcome comes after the row
				continue
			}
			t, err := h.restored(ctx, row)
			if err != nil {
				return false, err
			}
			if t == nil {
				continue
			}
			if !h.awaitFeedRoom(ctx) {
				return false, ctx.Err()
			}
			again = h.takeUp(t, busy.ahead(row.Seq)) || again
		}
		if len(rows) < feedPage {
			if !written {
				return true, h.dispatcher.recorder.flush(ctx, h)
			}
			h.mu.Lock()
			if !again && h.redrives == redrives { // none is left
				h.redriven = 0
			}
			h.mu.Unlock()
			return again, nil
		}
	}
}

// takeUp admits a redriven task, unless it is the reader's. wasAhead is what
// ahead said before the row was read. It answers whether that has to be found
// out anew.
func (h *Handler) takeUp(t *task, wasAhead bool) (again bool) {
	seq := t.record.Seq
	h.mu.Lock()
	defer h.mu.Unlock()
	ahead := h.ahead(seq)
	switch {
	case h.open.get(seq) != nil, ahead && !h.done[seq]: // it has it, or will bring it
	case !ahead && wasAhead: // it came by: did it bring it?
		return true
	default: // the reader has passed it, or would pass over it
		t.fed = true
		h.redriven = max(0, h.redriven-1)
		h.fedOpen++
		h.fedBytes += len(t.record.Event.Envelope())
		h.admit(t)
	}
	return false
}

// busy is what a handler had in hand at one moment.
type busy struct {
	seqs   map[uint64]bool // true: open; false: with an outcome that is not written, or was not just now
	readTo uint64
	replay *event.Replay
}

func (b busy) ahead(seq uint64) bool { return seq > b.readTo && !b.replay.Skips(seq) }

// busy says what a handler has in hand now.
func (r *recorder) busy(h *Handler) busy {
	r.mu.Lock()
	defer r.mu.Unlock()
	h.mu.Lock()
	defer h.mu.Unlock()
	b := busy{seqs: make(map[uint64]bool, h.open.n+h.unsaved), readTo: h.readTo, replay: h.replay}
	for i := range h.outcomes.list {
		b.seqs[h.outcomes.list[i].seq] = false
	}
	for i := range r.saving.rows {
		if r.saving.rows[i].Handler == h.name {
			b.seqs[r.saving.rows[i].Seq] = false
		}
	}
	for t := range h.open.all {
		b.seqs[t.record.Seq] = true
	}
	return b
}

// awaitFeedRoom holds the feeder back while the handler has as much as redriven
// events may bring it to. It answers false when ctx has ended.
func (h *Handler) awaitFeedRoom(ctx context.Context) bool {
	for ctx.Err() == nil {
		h.mu.Lock()
		room := h.feedRoom()
		h.feedWaits = !room
		h.mu.Unlock()
		if room {
			return true
		}
		select {
		case <-h.fed:
		case <-ctx.Done():
		}
	}
	return false
}

func (h *Handler) feedRoom() bool {
	return h.fedOpen+h.unsaved < maxFed && h.fedBytes < maxFedBytes
}

// makeFeedRoom lets the feeder look again, if it waits and there is room.
func (h *Handler) makeFeedRoom() {
	if h.feedWaits && h.feedRoom() {
		h.feedWaits = false
		token(h.fed)
	}
}

// readReplay reads what is left of the stretch that is delivered again. It
// answers false when ctx has ended.
func (h *Handler) readReplay(ctx context.Context) bool {
	for {
		h.mu.Lock()
		r, from := h.replay, h.readTo+1
		h.mu.Unlock()
		if r == nil || from > max(r.To, r.Resume) {
			return true
		}
		var records []event.Record
		var err error
		if from <= r.To {
			records, err = h.dispatcher.cfg.Log.Read(ctx, from, readBatch)
		}
		n, _ := slices.BinarySearchFunc(records, r.To+1, func(rec event.Record, seq uint64) int { return compare(rec.Seq, seq) })
		for rest := records[:n]; err == nil && len(rest) > 0; {
			fit := h.awaitRoom(ctx, rest)
			if fit == 0 {
				return false
			}
			h.arrive(rest[:fit])
			rest = rest[fit:]
		}
		if err == nil && n == 0 { // the stretch is read
			err = h.endReplay(ctx, r)
		}
		if err == nil {
			h.recovered(reading)
		} else if ctx.Err() != nil || !h.pause(ctx, reading, err) {
			return false
		}
	}
}

func compare(a, b uint64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// endReplay goes on where the handler stood before the replay: first with what
// waited there for another attempt.
func (h *Handler) endReplay(ctx context.Context, r *event.Replay) error {
	var rows []event.Delivery
	for seq, row := range h.later { // which only this goroutine changes
		if r.Skips(seq) {
			rows = append(rows, row)
		}
	}
	slices.SortFunc(rows, func(a, b event.Delivery) int { return compare(a.Seq, b.Seq) })
	for _, row := range rows {
		t, err := h.restored(ctx, row)
		if err != nil {
			return err
		}
		h.mu.Lock()
		delete(h.later, row.Seq)
		h.laterOpen--
		if t != nil {
			h.admit(t)
		}
		h.mu.Unlock()
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.readTo = max(h.readTo, r.To, r.Resume)
	h.known = max(h.known, h.readTo)
	return nil
}

// since is the time up to which a final row of the event is from before a replay.
func (h *Handler) since(seq uint64) time.Time {
	if r := h.replay; r != nil && seq >= r.From && seq <= r.To {
		return r.StartedAt
	}
	return time.Time{}
}
