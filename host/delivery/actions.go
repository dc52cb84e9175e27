package delivery

import (
	"cmp"
	"container/heap"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
)

// RetryNow delivers events to a handler that wait for another attempt, without waiting until
// it is due, and those that are its dead letters, with all their attempts. It returns their
// number. An open breaker tries an event immediately, also one of those that are pending,
// which do not count. Order per key holds. The retries of a handler that is not open stay due
// when they are.
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
		stored, err := d.storedDelivery(ctx, handler, seq)
		if err != nil {
			return n, err
		}
		if stored.Status == event.StatusDead {
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

// storedDelivery returns the delivery of an event in the store; one without a status when
// there is none.
func (d *Dispatcher) storedDelivery(ctx context.Context, handler string, seq uint64) (event.Delivery, error) {
	list, err := d.cfg.Store.Deliveries(ctx, seq)
	for _, one := range list {
		if one.Handler == handler {
			return one, err
		}
	}
	return event.Delivery{}, err
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
		case !t.delivering && t.past != nil && t.past.Status == event.StatusRetrying:
			due := *t.past
			due.Due = now
			t.past = &due
			n++
		}
	}
	heap.Init(&h.retries)
	h.admitDue(now)
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
		err = d.refuseSkip(ctx, handler, seq)
	}
	if err != nil {
		return err
	}
	return d.recorder.Flush(ctx, h)
}

// refuseSkip returns why an event cannot be skipped that the handler does not have.
func (d *Dispatcher) refuseSkip(ctx context.Context, handler string, seq uint64) error {
	if err := d.recorder.FlushAll(ctx); err != nil {
		return fmt.Errorf("skip: %w", err)
	}
	stored, err := d.storedDelivery(ctx, handler, seq)
	switch {
	case err != nil:
		return err
	case stored.Status == "":
		return fault.New(fault.NotFound, "the handler %s does not get the event %d", handler, seq)
	case stored.Status.Final():
		return fault.New(fault.Conflict, "the delivery of event %d to %s is final (%s): there is nothing to skip", seq, handler, stored.Status)
	}
	return fault.New(fault.Conflict, "event %d was given to %s again a moment ago, or waits until a replay has ended: try again later", seq, handler)
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
	if err := d.recorder.FlushAll(ctx); err != nil {
		return fmt.Errorf("skip: %w", err)
	}
	stored, err := d.storedDelivery(ctx, handler, seq)
	switch {
	case err != nil:
		return err
	case stored.Status == "":
		return fault.New(fault.Conflict, "the handler %s does not run, and has not read event %d: start it first, paused if no event may be "+
			"delivered yet", handler, seq)
	case stored.Status.Final():
		return d.refuseSkip(ctx, handler, seq)
	}
	_, _, err = d.cfg.Store.SaveDeliveries(ctx, nil, nil, []event.Delivery{skipped(stored, time.Now())}, nil)
	return err
}

// skipped returns the delivery of an event that is skipped, after the one before.
func skipped(d event.Delivery, now time.Time) event.Delivery {
	message := "an operator skipped the event for this handler"
	if d.ErrorClass != "" {
		message += fmt.Sprintf("; its last attempt failed with %s: %s", d.ErrorClass, d.ErrorMessage)
	}
	d.Status, d.At, d.Due, d.Logs = event.StatusDead, now, time.Time{}, nil
	d.ErrorClass, d.ErrorMessage = event.ClassSkipped, message
	return d
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
	case t != nil && t.delivering:
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
	d = skipped(d, now)
	h.outcomes.add(&d, nil)
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
	if i := slices.Index(h.retries, t); i >= 0 {
		heap.Remove(&h.retries, i)
	} else if !t.blocked {
		h.ready.Remove(t)
	}
}

// Retrying returns the deliveries of a handler above a Seq that wait for another attempt,
// ascending, at most limit.
func (d *Dispatcher) Retrying(ctx context.Context, handler string, after uint64, limit int) ([]event.Delivery, error) {
	var list []event.Delivery
	if h := d.handler(handler); h != nil {
		list = h.retrying()
	} else {
		b, err := d.cfg.Store.LoadBacklog(ctx, handler)
		if err != nil {
			return nil, err
		}
		for _, one := range b.Open {
			if one.Status == event.StatusRetrying {
				list = append(list, one)
			}
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
