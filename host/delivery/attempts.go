package delivery

import (
	"time"

	"github.com/berth-host/berth/host/delivery/notice"
	"github.com/berth-host/berth/host/delivery/outcomes"
	"github.com/berth-host/berth/host/delivery/queue"
	"github.com/berth-host/berth/host/delivery/tasks"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/spec"
)

// await waits until an attempt may start and one is ready. It returns false once stop
// is closed, or when it waits and gets a token from retire.
func (h *handler) await(stop, retire <-chan struct{}) (waited, ok bool) {
	for ; ; waited = true {
		select {
		case <-stop:
			h.signal() // it may have received the token of another instance
			return waited, false
		default:
		}
		if h.startable() {
			return waited, true
		}
		h.revoke() // other leases may have what this instance could start
		h.parked++
		h.mu.Unlock()
		retired := false
		select {
		case <-stop:
		case <-h.wake:
		case <-retire:
			retired = true
		}
		h.mu.Lock()
		h.parked--
		if retired {
			h.signal()
			return waited, false
		}
	}
}

// startAttempts counts tasks that were popped from the ready ones as delivering.
func (h *handler) startAttempts(list []*tasks.Task) {
	for _, t := range list {
		t.Phase = tasks.Delivering
		h.breaker.Start(t.Record.Seq)
	}
	if h.parked > 0 && h.startable() {
		queue.Signal(h.wake)
	}
	h.inFlight += len(list)
	h.wakeReader() // many slow attempts may need more than is ready
}

// putBack undoes startAttempt.
func (h *handler) putBack(t *tasks.Task) {
	h.endAttempt(t)
	h.breaker.Cancel(t.Record.Seq)
	h.ready.PushFront(t)
	if t.Conflicts >= event.MaxConflicts {
		h.alone.Add(t)
	}
	h.wakeReader()
}

// endAttempt counts a task as no longer delivering.
func (h *handler) endAttempt(t *tasks.Task) {
	t.Phase = tasks.Waiting
	ranAlone := h.alone.Any() && h.alone.Remove(t)
	h.endAttempts(1)
	if ranAlone {
		h.signal()
	}
}

// endAttempts counts n tasks as no longer delivering.
func (h *handler) endAttempts(n int) {
	if h.inFlight -= n; h.inFlight == 0 && h.suspended {
		queue.Signal(h.idle)
	}
	if h.inFlight == 0 && h.alone.Any() {
		h.signal()
	}
}

// complete records the outcome of an attempt, with its traceparent or "", and schedules what
// follows from it.
func (h *handler) complete(t *tasks.Task, o *event.Outcome, s *Source, traceparent string) (n notice.Notice) {
	seq, joined := t.Record.Seq, o.Effects != nil && h.join(o.Effects)
	n = h.conclude(t, o, s, traceparent, joined)
	switch {
	case o.Class == event.ClassCancelled:
	case o.Effects != nil && !joined:
		n.Release = o.Effects.Release
	default:
		n.Changed = h.judgeAttempt(seq, o)
	}
	return n
}

// judgeAttempt has the breaker judge an attempt. It returns what is to be called if the
// handler's condition has changed, otherwise nil.
func (h *handler) judgeAttempt(seq uint64, o *event.Outcome) (changed func()) {
	at := outcomes.End(o)
	if h.breaker.Complete(seq, o.Class, o.Message, at) {
		changed = h.reportCondition
		h.setTimer()
		h.signal()
	}
	if h.breaker.Failing() || !h.mayStart() {
		h.revoke() // whether the next attempt starts is decided one at a time
	}
	return changed
}

// conclude is complete without the breaker. joined reports whether the effects of the outcome
// were joined.
func (h *handler) conclude(t *tasks.Task, o *event.Outcome, s *Source, traceparent string, joined bool) (n notice.Notice) {
	n.Record = t.Record
	if o.Class == event.ClassCancelled {
		s.fuel += o.Fuel
		h.putBack(t)
		h.signal()
		return n
	}
	at := outcomes.End(o)
	var recorded event.Delivery // for the observer and the tracer
	watched := h.dispatcher.cfg.Observes()
	switch {
	case o.Effects != nil:
		watched = false // until the store has answered
		if joined {
			recorded = *h.commit(t, o, s, at)
		} else {
			recorded = *h.conflict(t, o, s, at)
		}
	case o.Plain() && t.Past == nil:
		success := event.Success{At: at, Duration: o.Duration, Fuel: o.Fuel}
		h.succeed(t, success, o.Result, s)
		if watched || traceparent != "" {
			recorded = success.Delivery(h.name, n.Record.Seq, s.module, string(o.Result))
		}
	default:
		s.fuel += o.Fuel
		h.endAttempt(t)
		recorded = *h.record(t, o, s, at, &n)
		watched = watched && len(recorded.Children) == 0 // otherwise when the store has answered
	}
	if watched || traceparent != "" {
		d := recorded // only this one is on the heap
		d.Children, d.Effects = nil, nil
		n.Delivery, n.Observed, n.Trace = &d, watched, traceparent
	}
	return n
}

// record records the outcome of an attempt that has ended, and what follows from it. A failure is
// added to the notice.
func (h *handler) record(t *tasks.Task, o *event.Outcome, s *Source, at time.Time, n *notice.Notice) *event.Delivery {
	d := h.judge(t, o, at)
	d.SHA256 = s.module
	h.unsavedBytes += h.outcomes.Add(d, s)
	s.count(t, d)
	h.markRecorded(t)
	if d.Status != event.StatusOK {
		n.Failed, n.Logged = d, true
	}
	if d.Status == event.StatusRetrying {
		n.Suppressed, n.Logged = h.failures.Count(d.ErrorClass, time.Now())
		h.schedule(t)
	} else {
		h.forget(t)
	}
	h.wakeReader()
	return d
}

// count counts a completed attempt, but a success with children only once the store has
// published them: see handler.Written. One with effects is counted by handler.answered.
func (s *Source) count(t *tasks.Task, d *event.Delivery) {
	c := &s.counts
	c.Attempt(d.Duration, d.Fuel)
	if d.Attempts > 1 {
		c.Retries++
	}
	if d.Status != event.StatusOK {
		c.Failure(d.ErrorClass, d.Status == event.StatusDead)
		return
	}
	if s.h.countsLatency(t) {
		c.Success(t.Record.Event.Start(), d.At)
	}
	if len(d.Children) == 0 {
		c.OK++
	} else {
		s.unwritten++
	}
}

// countsLatency reports whether the time since the event is the time of its delivery: that is
// not so for an event that is given to the handler again, long after it was published.
func (h *handler) countsLatency(t *tasks.Task) bool {
	return !t.Fed && h.replay.Done(t.Record.Seq, time.Time{})
}

// succeed is complete for a successful first attempt without children.
func (h *handler) succeed(t *tasks.Task, p event.Success, result []byte, s *Source) {
	s.fuel += p.Fuel
	s.counts.OK++
	s.counts.Attempt(p.Duration, p.Fuel)
	if h.countsLatency(t) {
		s.counts.Success(t.Record.Event.Start(), p.At)
	}
	h.endAttempt(t)
	h.outcomes.AddSuccess(h.name, s.module, t.Record.Seq, p, result)
	h.unsavedBytes += len(result)
	h.markRecorded(t)
	h.release(t)
}

// succeedAll is succeed for the tasks of a lease, one for each success. It leaves it to the
// caller to notify the recorder.
func (h *handler) succeedAll(list []*tasks.Task, done *event.Successes, s *Source) {
	h.outcomes.AddSuccesses(h.name, s.module, done)
	h.unsaved += len(list)
	h.unsavedBytes += len(done.Results)
	s.counts.OK += uint64(len(list))
	h.endAttempts(len(list))
	for i, t := range list {
		p := &done.List[i]
		s.fuel += p.Fuel
		s.counts.Attempt(p.Duration, p.Fuel)
		s.counts.Success(t.Record.Event.Start(), p.At)
		t.Lease, t.Phase, t.Recorded = nil, tasks.Waiting, true
		h.fair.Recorded(t.Record.Seq)
		h.forget(t)
	}
	h.wakeReader()
}

// markRecorded notes that the outcome of a task was added to h.outcomes.
func (h *handler) markRecorded(t *tasks.Task) {
	t.Recorded = true
	h.fair.Recorded(t.Record.Seq)
	h.unsaved++
	h.markDirty()
}

// markDirty has the recorder collect the outcomes.
func (h *handler) markDirty() {
	if !h.dirty {
		h.dirty = true
		h.dispatcher.recorder.MarkDirty(h)
	}
}

// judge returns the delivery that follows from an outcome, which the task keeps without lines.
func (h *handler) judge(t *tasks.Task, o *event.Outcome, at time.Time) *event.Delivery {
	d := outcomes.Judge(h.name, t.Record.Seq, t.Past, o, at, h.policy.Retry, h.dispatcher.cfg.Random)
	t.Past, t.Conflicts = d, 0
	if d.Logs != nil { // they may be large, and a task may wait for long
		t.Past = new(*d)
		t.Past.Logs = nil
	}
	return d
}

// unblock counts a task as one that no longer waits for another one of its lane.
func (h *handler) unblock(t *tasks.Task) {
	t.Phase = tasks.Waiting
	h.behind--
	h.fair.Unblocked(t.Group)
}

// release is forget, and lets the reader read on.
func (h *handler) release(t *tasks.Task) {
	h.forget(t)
	h.wakeReader()
}

// forget forgets a final task and schedules the next one of its key.
func (h *handler) forget(t *tasks.Task) {
	h.open.Remove(t)
	size := len(t.Record.Event.Envelope())
	h.bytes -= size
	if t.Fed {
		h.fedOpen--
		h.fedBytes -= size
	}
	t.Record.Event = nil // the window may keep the task for long
	switch {
	case t.Lane == 0:
	case t.Phase == tasks.Blocked: // it was skipped
		h.unblock(t)
		tasks.Unlink(&h.open, &h.lanes, t)
	case t.Next == nil:
		h.lanes.Remove(t.Lane)
	default:
		h.unblock(t.Next)
		h.schedule(t.Next)
		t.Next = nil
	}
	h.fair.Closed(t.Group)
	h.free.Drop(t)
}

// trace returns the traceparent of an attempt that starts; "" when it is not traced.
func (h *handler) trace(a event.Attempt) string {
	if tracer := h.dispatcher.cfg.Tracer; tracer != nil {
		return tracer.Attempt(spec.PluginOf(h.name), a)
	}
	return ""
}
