package delivery

import (
	"math"
	"slices"
	"time"

	"github.com/berth-host/berth/host/delivery/notice"
	"github.com/berth-host/berth/host/delivery/outcomes"
	"github.com/berth-host/berth/host/delivery/pending"
	"github.com/berth-host/berth/host/delivery/tasks"
	"github.com/berth-host/berth/host/event"
)

// pop moves the next tasks that are to start to a list; there are as many. While a task waits
// to run alone, the list is for one.
func (h *handler) pop(list []*tasks.Task) {
	if t, ok := h.alone.Take(); ok {
		h.ready.Remove(t)
		list[0] = t
		return
	}
	h.ready.PopAll(list)
}

// join adds the effects of a finished attempt to the pending ones, to be committed after them.
// It returns false when they cannot be: then the caller calls conflict.
func (h *handler) join(e *event.Effects) bool {
	if h.gone || h.effects.Conflicts(e, time.Now()) {
		return false
	}
	h.effects.Add(e)
	return true
}

// commit has the outcome of an attempt written whose effects were joined. Its task remains
// open, at the front of its lane, until the store has answered: see handler.answered.
func (h *handler) commit(t *tasks.Task, o *event.Outcome, s *Source, at time.Time) *event.Delivery {
	s.fuel += o.Fuel
	h.endAttempt(t)
	d := outcomes.Judge(h.name, t.Record.Seq, t.Past, o, at, h.policy.Retry, h.dispatcher.cfg.Random)
	d.SHA256 = s.module
	h.unsavedBytes += h.outcomes.Add(d, s)
	s.unwritten++
	t.Phase = tasks.Committing
	h.committing++
	h.markRecorded(t)
	return d
}

// conflict has an attempt run again that cannot be committed. Nothing of it is stored.
func (h *handler) conflict(t *tasks.Task, o *event.Outcome, s *Source, at time.Time) *event.Delivery {
	s.fuel += o.Fuel
	s.counts.Conflicts++
	h.endAttempt(t)
	h.breaker.Cancel(t.Record.Seq)
	d := outcomes.Judge(h.name, t.Record.Seq, t.Past, o, at, h.policy.Retry, h.dispatcher.cfg.Random).Rerun()
	d.SHA256 = s.module
	h.runAgain(t)
	return &d
}

// runAgain puts a task that was in conflict before the younger ones, or has it run alone when it is due.
func (h *handler) runAgain(t *tasks.Task) {
	if t.Conflicts = min(t.Conflicts, math.MaxUint8-1) + 1; t.Conflicts < event.MaxConflicts {
		h.ready.Return(t)
	} else {
		h.enqueue(t)
	}
	h.signal()
}

// push adds a task to the ready ones, and has it run alone if it was in conflict too often.
func (h *handler) push(t *tasks.Task) {
	h.ready.Push(t)
	if t.Conflicts >= event.MaxConflicts {
		h.alone.Add(t)
		h.revoke() // what leases have not started waits behind it
	}
}

// answered ends the commits among outcomes that the store has answered. It returns what is
// to be sent once the lock is free.
func (h *handler) answered(list []outcomes.Full[*Source], a outcomes.Answers) (notices []notice.Notice) {
	var last *event.Effects
	var again []*tasks.Task
	watched := h.dispatcher.cfg.Observes()
	for _, o := range list {
		if o.Effects == nil {
			if o.Source.published(a.Refused[o.Seq]); watched && a.Refused[o.Seq] == nil {
				notices = append(notices, notice.Published(*o.Delivery))
			}
			continue
		}
		n := notice.Notice{}
		if o.Effects != last { // the deliveries of a batch share them
			last = o.Effects
			h.effects.Remove(last)
			n.Release = last.Release
		}
		t := h.open.Get(o.Seq)
		t.Phase = tasks.Waiting
		h.committing--
		o.Source.unwritten--
		if rerun := a.Conflicts[o.Seq]; rerun != nil {
			t.Past = new(*rerun)
			o.Source.counts.Conflicts++
			wait, ok := pending.Again(h.name, int(t.Conflicts)+1, h.dispatcher.cfg.Random)
			if t.Past.Due = t.Past.Due.Add(wait); ok || h.gone {
				again = append(again, t)
			} else {
				n.Record, n.Observed = t.Record, watched
				n.Delivery = h.record(t, event.LoneConflict(o.Delivery), o.Source, o.At, &n)
			}
		} else {
			d := *o.Delivery
			if refused := a.Refused[o.Seq]; refused != nil {
				d = *refused // the recorder reports it
			} else if n.Observed = watched; watched {
				n.Record, n.Delivery = t.Record, &d
			}
			d.Children, d.Effects = nil, nil
			o.Source.count(t, &d)
			h.release(t)
		}
		notices = append(notices, n)
	}
	for _, t := range slices.Backward(again) {
		h.runAgain(t)
	}
	return notices
}

// dropOutcomes drops the outcomes that were not written: the events are delivered again when the
// handler is loaded next. The cursor, which is beyond them, must not be collected any more. The
// caller holds handler.mu, and releases them.
func (h *handler) dropOutcomes() []outcomes.Full[*Source] {
	dropped := h.collected.Drop(&h.outcomes)
	for _, o := range dropped {
		o.Source.unwritten--
		if o.Effects != nil {
			h.effects.Remove(o.Effects)
		}
	}
	h.unsaved, h.unsavedBytes, h.committing, h.dirty = 0, 0, 0, false
	h.ended.Open()
	return dropped
}
