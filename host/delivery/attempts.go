package delivery

import (
	"time"

	"github.com/berth-host/berth/host/event"
)

// Next takes one attempt, as Hand.Next does. It goes back through Done.
func (h *Handler) Next(stop, retire <-chan struct{}) (event.Taken, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	waited, ok := h.await(stop, retire)
	if !ok {
		return event.Taken{}, false
	}
	t := h.ready.pop()
	h.begin(t)
	return event.Taken{Attempt: t.attempt(), More: h.ready.len() > 0 && h.mayBegin(), Waited: waited}, true
}

// TryNext is Next without waiting.
func (h *Handler) TryNext() (event.Attempt, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ready.len() == 0 || !h.mayBegin() {
		return event.Attempt{}, false
	}
	t := h.ready.pop()
	h.begin(t)
	return t.attempt(), true
}

// await waits until an attempt may begin and one is ready. It answers false once
// stop is closed, or when it waits and gets a token from retire.
func (h *Handler) await(stop, retire <-chan struct{}) (waited, ok bool) {
	for ; ; waited = true {
		select {
		case <-stop:
			h.signal() // the token it may have taken is another's
			return waited, false
		default:
		}
		if h.ready.len() > 0 && h.mayBegin() {
			return waited, true
		}
		h.recall() // others may hold what this one could begin
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

// Demand yields a token when something is ready and nobody is in Next.
func (h *Handler) Demand() <-chan struct{} { return h.demand }

// begin counts a task that was taken out of the ready ones as one of an instance's.
func (h *Handler) begin(t *task) {
	h.breaker.begin(t.record.Seq)
	if h.parked > 0 && h.ready.len() > 0 && h.mayBegin() {
		token(h.wake)
	}
	t.delivering = true
	h.inFlight++
	h.makeRoom() // many slow attempts may need more than is ready
}

// putBack is the opposite of begin.
func (h *Handler) putBack(t *task) {
	h.leave(t)
	h.breaker.cancelled(t.record.Seq)
	h.ready.pushFront(t)
	h.makeRoom()
}

// leave counts a task as no longer an instance's.
func (h *Handler) leave(t *task) {
	t.delivering = false
	if h.inFlight--; h.inFlight == 0 && h.held {
		token(h.idle)
	}
}

// attempt is the one that is made, or will be made next.
func (t *task) attempt() event.Attempt {
	return event.Attempt{Seq: t.record.Seq, Event: t.record.Event, Number: t.last.Attempts + 1}
}

// Done takes back an attempt of Next or TryNext and what became of it.
func (h *Handler) Done(a event.Attempt, o event.Outcome) {
	h.mu.Lock()
	t := h.open.get(a.Seq)
	if t == nil || !t.delivering || t.hand != nil {
		h.mu.Unlock()
		return
	}
	t.result = append(t.result[:0], o.Result...)
	ended := h.end(t, &o)
	h.mu.Unlock()
	ended.tell()
}

// aftermath is what is told of the end of an attempt once the lock is free.
type aftermath struct {
	handler *Handler
	seen    bool // there is somebody to see the outcome
	record  event.Record
	row     event.Delivery
	changed bool // the handler's condition
}

func (e *aftermath) tell() {
	if e.seen {
		e.handler.dispatcher.cfg.Observer(e.record, e.row)
	}
	if e.changed {
		e.handler.tell()
	}
}

// end decides what becomes of a task, whose result is in it, after an attempt.
func (h *Handler) end(t *task, o *event.Outcome) (e aftermath) {
	seq := t.record.Seq
	h.stats.Fuel += o.Fuel
	if o.Class == event.ClassCancelled {
		h.putBack(t)
		h.signal()
		return e
	}
	h.leave(t)
	at := o.At
	if at.IsZero() {
		at = time.Now()
	}
	record := t.record
	h.judge(t, o, at)
	if h.dispatcher.watched() {
		e.seen, e.record, e.row = true, record, t.shown()
		e.row.Children = nil
	}
	if t.last.Status.Final() {
		h.release(t)
	} else {
		h.makeRoom()
		h.schedule(t)
	}
	e.handler, e.changed = h, h.breaker.ended(seq, o.Class, o.Message, at)
	if e.changed {
		h.setTimer()
		h.signal()
	}
	if h.breaker.failures > 0 || !h.mayBegin() {
		h.recall() // what comes next is decided one at a time
	}
	return e
}

// judge decides what becomes of a task after an attempt.
func (h *Handler) judge(t *task, o *event.Outcome, at time.Time) {
	row := &t.last
	row.Attempts++
	row.Duration, row.Fuel, row.At, row.Due = o.Duration, o.Fuel, at, time.Time{}
	row.Result, row.ErrorClass, row.ErrorMessage = "", o.Class, o.Message
	if row.FirstAttempt.IsZero() {
		row.FirstAttempt = row.At.Add(-o.Duration)
	}
	retry := h.policy.Retry
	switch {
	case o.Verdict == event.OK:
		h.stats.Delivered++
		row.Status, row.Children = event.StatusOK, o.Children
		h.children += childBytes(row.Children)
	case o.Verdict == event.Reject || row.Attempts >= retry.MaxAttempts:
		h.stats.Failed++
		row.Status = event.StatusDead
	default:
		h.stats.Failed++
		row.Status = event.StatusRetrying
		row.Due = row.At.Add(retry.delay(row.Attempts, h.dispatcher.cfg.Random()))
	}
	if o.Verdict != event.OK {
		t.result = t.result[:0]
	}
	saved := t
	if row.Status.Final() {
		t.users++
	} else { // the next attempt may end before this is written
		saved = &task{last: *row, users: 1}
		t.rowless = false
	}
	if h.outcomes = append(h.outcomes, saved); len(h.outcomes) == 1 {
		h.dispatcher.recorder.touch(h)
	}
	t.settled = true
	h.unsaved++
}

// release forgets a final task and lets the next of its key go.
func (h *Handler) release(t *task) {
	h.open.remove(t.record.Seq)
	h.bytes -= len(t.record.Event.Envelope())
	t.record.Event = nil // the window may hold the task for long
	h.makeRoom()
	switch {
	case t.key == "":
	case t.next == nil:
		h.lanes.remove(t.lane)
	default:
		h.schedule(t.next)
		t.next = nil
	}
	h.drop(t)
}
