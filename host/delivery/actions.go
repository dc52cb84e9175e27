package delivery

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/berth-host/berth/host/delivery/stored"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
)

// RetryNow delivers events to a handler that wait for another attempt, without waiting until
// it is due, and those that are its dead letters, with all their attempts. It returns their
// number. An open breaker tries an event immediately: the one that is given alone, also if it
// is pending, and otherwise any. Pending ones do not count. Order per key holds. The retries
// of a handler that is not open remain due when they are.
func (d *Dispatcher) RetryNow(ctx context.Context, handler string, seqs []uint64) (int, error) {
	if err := d.recorder.FlushAll(ctx); err != nil { // unwritten dead letters count too
		return 0, fmt.Errorf("retry: %w", err)
	}
	n := 0
	left := seqs
	if h := d.handler(handler); h != nil {
		n, left = h.retryNow(seqs)
		h.probe()
	}
	var dead []uint64
	for _, seq := range left {
		one, err := stored.Delivery(ctx, d.cfg.Store, handler, seq)
		if err != nil {
			return n, err
		}
		if one.Status == event.StatusDead {
			dead = append(dead, seq)
		}
	}
	if len(dead) == 0 {
		return n, nil
	}
	redriven, err := d.cfg.Store.Requeue(ctx, handler, dead)
	if redriven > 0 || err != nil {
		d.takeUp(ctx, handler)
	}
	return n + redriven, err
}

// retryNow makes the retries among these events due. It returns their number, and the events
// that are not open.
func (h *handler) retryNow(seqs []uint64) (n int, left []uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	for _, seq := range seqs {
		t := h.open.get(seq)
		_, later := h.later[seq]
		switch {
		case t == nil && later && !h.done[seq]:
			h.dueNow[seq] = true
			n++
		case t == nil:
			left = append(left, seq)
		case !t.taken() && t.past != nil && t.past.Status == event.StatusRetrying:
			due := *t.past
			due.Due = now
			t.past = &due
			n++
		}
	}
	h.retries.Reorder()
	h.admitDue(now)
	if len(seqs) == 1 && h.breaker.Open() {
		if t := h.open.get(seqs[0]); t != nil && h.ready.Remove(t) {
			h.ready.PushFront(t) // the breaker lets one event through: this one
		}
	}
	return n, left
}

// SkipEvent makes a dead letter of an event that waits for a handler, with the class skipped,
// so that the events behind it in the order of its key continue. It returns when that is
// stored. Errors: fault.NotFound when the handler does not get the event, and fault.Conflict
// while an attempt is under way, when the delivery is final, and while it cannot be skipped.
func (d *Dispatcher) SkipEvent(ctx context.Context, handler string, seq uint64) error {
	records, err := d.cfg.Log.Read(ctx, seq, 1)
	if err != nil {
		return err
	}
	if len(records) != 1 || records[0].Seq != seq {
		return fault.New(fault.NotFound, "the log has no event %d", seq)
	}
	h := d.handler(handler)
	if h == nil {
		return d.skipStored(ctx, handler, seq)
	}
	known, err := h.skip(records[0])
	if err == nil && !known {
		_, err = d.skippable(ctx, handler, seq, true)
	}
	if err != nil {
		return err
	}
	return d.recorder.Flush(ctx, h)
}

// skippable returns the delivery of an event in the store, or why it cannot be skipped, of an
// open handler that does not have it or of one that is not open.
func (d *Dispatcher) skippable(ctx context.Context, handler string, seq uint64, open bool) (one event.Delivery, err error) {
	if err := d.recorder.FlushAll(ctx); err != nil {
		return one, fmt.Errorf("skip: %w", err)
	}
	if one, err = stored.Delivery(ctx, d.cfg.Store, handler, seq); err != nil {
		return one, err
	}
	return one, stored.RefuseSkip(handler, seq, one.Status, open)
}

// skipStored is SkipEvent for a handler that is not open.
func (d *Dispatcher) skipStored(ctx context.Context, handler string, seq uint64) error {
	h, unlock, err := d.lock(ctx, handler)
	if err != nil {
		return err
	}
	defer unlock()
	if h != nil {
		return fault.New(fault.Conflict, "the handler %s was started a moment ago: try again", handler)
	}
	one, err := d.skippable(ctx, handler, seq, false)
	if err != nil {
		return err
	}
	_, _, err = d.cfg.Store.SaveDeliveries(ctx, nil, nil, []event.Delivery{one.Skip(time.Now())}, nil)
	return err
}

// skip skips an event that is open or that the reader has yet to read. known is false when it
// is neither.
func (h *handler) skip(rec event.Record) (known bool, err error) {
	h.mu.Lock()
	n, known, err := h.skipLocked(rec)
	h.mu.Unlock()
	n.send()
	return known, err
}

func (h *handler) skipLocked(rec event.Record) (n notification, known bool, err error) {
	n.handler, n.record = h, rec
	if h.closed || h.suspended {
		return n, true, fault.New(fault.Conflict, "the handler %s is being stopped or set back: try again", h.name)
	}
	seq, now := rec.Seq, time.Now()
	d := event.Delivery{Handler: h.name, Seq: seq}
	t := h.open.get(seq)
	waits, later := h.later[seq]
	switch {
	case t != nil && t.taken():
		return n, true, fault.New(fault.Conflict, "an attempt at event %d is under way in %s: it cannot be skipped now", seq, h.name)
	case t != nil:
		if t.past != nil {
			d = *t.past
		}
	case !h.ahead(seq) || h.done[seq]:
		return n, false, nil
	case later:
		d = waits
	case !h.policy.takes(h.name, rec.Event):
		return n, false, nil
	}
	d = d.Skip(now)
	h.outcomes.Add(&d, nil)
	if t != nil {
		h.withdraw(t)
		h.markRecorded(t)
		h.release(t)
	} else {
		h.done[seq] = true // the reader passes over it
		h.unsaved++
		h.markDirty()
	}
	n.failed, n.logged = &d, true
	n.delivery, n.observed = &d, h.dispatcher.watched()
	return n, true, nil
}

// withdraw removes a task, which no instance has, from where it waits.
func (h *handler) withdraw(t *task) {
	if !h.retries.Remove(t) && !t.blocked {
		h.ready.Remove(t)
	}
	if h.alone.Remove(t) {
		h.signal()
	}
}

// Retrying returns the deliveries of a handler above a Seq that wait for another attempt,
// ascending, at most limit.
func (d *Dispatcher) Retrying(ctx context.Context, handler string, after uint64, limit int) ([]event.Delivery, error) {
	var list []event.Delivery
	if h := d.handler(handler); h != nil {
		list = h.retrying()
	} else {
		var err error
		if list, err = stored.Retrying(ctx, d.cfg.Store, handler); err != nil {
			return nil, err
		}
	}
	list = slices.DeleteFunc(list, func(one event.Delivery) bool { return one.Seq <= after })
	slices.SortFunc(list, func(a, b event.Delivery) int { return cmp.Compare(a.Seq, b.Seq) })
	return list[:min(limit, len(list))], nil
}

func (h *handler) retrying() (list []event.Delivery) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for t := range h.open.all {
		if d := h.delivery(t); d.Status == event.StatusRetrying {
			list = append(list, d)
		}
	}
	for seq, d := range h.later {
		if d.Status == event.StatusRetrying && !h.done[seq] {
			list = append(list, d)
		}
	}
	return list
}
