package delivery

import (
	"context"
	"time"

	"github.com/berth-host/berth/host/delivery/actions"
	"github.com/berth-host/berth/host/delivery/notice"
	"github.com/berth-host/berth/host/delivery/opened"
	"github.com/berth-host/berth/host/delivery/queue"
	"github.com/berth-host/berth/host/delivery/tasks"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
)

// RetryNow implements actions.Handler: it makes the retries among these events due. It returns their number, and the events
// that are not open.
func (h *handler) RetryNow(seqs []uint64) (n int, left []uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	for _, seq := range seqs {
		t := h.open.Get(seq)
		_, later := h.later[seq]
		switch {
		case t == nil && later && !h.done[seq]:
			h.dueNow[seq] = true
			n++
		case t == nil && h.fair.Has(seq) && h.keptPast[seq].Status == event.StatusRetrying:
			past := h.keptPast[seq]
			past.Due = now
			h.keptPast[seq] = past
			n++
		case t == nil:
			left = append(left, seq)
		case !t.Taken() && t.Past != nil && t.Past.Status == event.StatusRetrying:
			t.Past = new(*t.Past)
			t.Past.Due = now
			n++
		}
	}
	h.retries.Reorder()
	h.admitDue(now)
	if len(seqs) == 1 && h.breaker.Open() {
		if t := h.open.Get(seqs[0]); t != nil && h.ready.Remove(t) {
			h.ready.PushFront(t) // the breaker lets one event through: this one
		}
	}
	return n, left
}

// Skip implements actions.Handler: it skips an event that is open or that the reader has yet to read. known is false when it
// is neither.
func (h *handler) Skip(rec event.Record) (known bool, err error) {
	h.mu.Lock()
	n, known, err := h.skipLocked(rec)
	h.mu.Unlock()
	n.Send(&h.dispatcher.sinks)
	return known, err
}

func (h *handler) skipLocked(rec event.Record) (n notice.Notice, known bool, err error) {
	n.Record = rec
	if h.closed || h.suspended {
		return n, true, fault.New(fault.Conflict, "the handler %s is being stopped or set back: try again", h.name)
	}
	seq, now := rec.Seq, time.Now()
	d := event.Delivery{Handler: h.name, Seq: seq}
	t := h.open.Get(seq)
	waits, later := h.later[seq]
	kept := false // only its Seq was
	switch {
	case t != nil && t.Taken():
		return n, true, fault.New(fault.Conflict, "an attempt at event %d is under way in %s: it cannot be skipped now", seq, h.name)
	case t != nil:
		if t.Past != nil {
			d = *t.Past
		}
	case h.fair.Skip(seq):
		if past, waits := h.keptPast[seq]; waits {
			d = past
			delete(h.keptPast, seq)
		}
		kept = true
	case !h.ahead(seq) || h.done[seq]:
		return n, false, nil
	case later:
		d = waits
	case h.hold.Beyond(seq) != nil:
		return n, true, h.hold.Beyond(seq)
	case !h.policy.Gets(h.name, rec):
		return n, false, nil
	}
	d = d.Skip(now)
	h.outcomes.Add(&d, nil)
	if t != nil {
		h.withdraw(t)
		h.markRecorded(t)
		h.release(t)
	} else {
		if !kept {
			h.done[seq] = true // the reader passes over it
		}
		h.unsaved++
		h.markDirty()
	}
	n.Failed, n.Logged = &d, true
	n.Delivery, n.Observed = &d, h.dispatcher.cfg.Observes()
	return n, true, nil
}

// withdraw removes a task, which no instance has, from where it waits.
func (h *handler) withdraw(t *tasks.Task) {
	if !h.retries.Remove(t) && t.Phase != tasks.Blocked {
		h.ready.Remove(t)
	}
	if h.alone.Remove(t) {
		h.signal()
	}
}

// Retrying implements actions.Handler.
func (h *handler) Retrying() (list []event.Delivery) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for t := range h.open.All {
		if d := t.Delivery(h.name); d.Status == event.StatusRetrying {
			list = append(list, d)
		}
	}
	for seq, d := range h.later {
		if d.Status == event.StatusRetrying && !h.done[seq] {
			list = append(list, d)
		}
	}
	for _, d := range h.keptPast {
		if d.Status == event.StatusRetrying {
			list = append(list, d)
		}
	}
	return list
}

// Flush implements actions.Handler.
func (h *handler) Flush(ctx context.Context) error { return h.dispatcher.recorder.Flush(ctx, h) }

// TakeUp implements actions.Handler.
func (h *handler) TakeUp(ctx context.Context) {
	h.Probe()                              // the operator may have repaired the cause
	if err := h.recount(ctx); err != nil { // the feeder takes them up all the same
		h.dispatcher.cfg.Logger.Warn("redriven events are not counted until they are taken up", spec.LogUnit(h.name), "error", err)
	}
	queue.Signal(h.refill)
}

// newActions returns the actions of operators on the dispatcher's handlers.
func (d *Dispatcher) newActions() *actions.Actions {
	as := func(h *handler) actions.Handler { return h }
	return actions.New(actions.Config{Store: d.cfg.Store, Read: d.cfg.Log.Read, FlushAll: d.recorder.FlushAll,
		Handler: func(name string) (actions.Handler, bool) {
			return d.handlers.Get(name), d.Runs(name)
		},
		Handlers: func() []actions.Handler { return opened.Running(&d.handlers, as) },
		Last:     d.cfg.Log.Last,
		Lock: func(ctx context.Context, name string) (actions.Handler, func(), error) {
			return opened.Lock(ctx, &d.handlers, name, as)
		},
		Fenced: func(ctx context.Context, name string) (context.Context, error) {
			if ctx, owned := d.owners.Fenced(ctx, name); owned || !d.cfg.Shared {
				return ctx, nil
			}
			return nil, ErrNotOwned
		}})
}
