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

// Done takes back an attempt of Next or TryNext and what became of it.
func (h *Handler) Done(a event.Attempt, o event.Outcome) {
	h.mu.Lock()
	t := h.open.get(a.Seq)
	if t == nil || !t.delivering || t.hand != nil {
		h.mu.Unlock()
		return
	}
	ended := h.end(t, &o)
	h.mu.Unlock()
	ended.tell()
}

// aftermath is what is told of the end of an attempt once the lock is free.
type aftermath struct {
	handler    *Handler
	record     event.Record
	row        *event.Delivery // nil: there is nobody to see it
	changed    bool            // the handler's condition
	failed     *event.Delivery // a failure that is logged, or nil
	suppressed int             // failures before it that were not
}

func (e *aftermath) tell() {
	if e.failed != nil {
		logger := e.handler.dispatcher.cfg.Logger
		if e.failed.Status == event.StatusDead {
			logDeadLetter(logger, e.record.Event.ID(), e.failed)
		} else {
			logFailure(logger, e.record, e.failed, e.suppressed)
		}
	}
	if e.row != nil {
		e.handler.dispatcher.cfg.Observer(e.record, *e.row)
	}
	if e.changed {
		e.handler.tell()
	}
}

// end decides what becomes of a task after an attempt.
func (h *Handler) end(t *task, o *event.Outcome) (e aftermath) {
	e.handler, e.record = h, t.record
	if o.Class == event.ClassCancelled {
		h.stats.Fuel += o.Fuel
		h.putBack(t)
		h.signal()
		return e
	}
	at := o.At
	if at.IsZero() {
		at = time.Now()
	}
	if o.Verdict == event.OK && t.past == nil && len(o.Children) == 0 {
		h.succeed(t, &plain{Success: event.Success{At: at, Duration: o.Duration, Fuel: o.Fuel}}, o.Result)
	} else {
		h.stats.Fuel += o.Fuel
		h.leave(t)
		row := h.judge(t, o, at)
		h.outcomes.list = append(h.outcomes.list, outcome{full: row, seq: e.record.Seq})
		h.settle(t)
		if row.Status.Final() {
			h.release(t)
		} else {
			h.makeRoom()
			h.schedule(t)
		}
		if row.Status == event.StatusDead {
			e.failed = row
		} else if row.Status == event.StatusRetrying {
			if suppressed, logged := h.failures.count(row.ErrorClass, time.Now()); logged {
				e.failed, e.suppressed = row, suppressed
			}
		}
	}
	if e.changed = h.breaker.ended(e.record.Seq, o.Class, o.Message, at); e.changed {
		h.setTimer()
		h.signal()
	}
	if h.breaker.failures > 0 || !h.mayBegin() {
		h.recall() // what comes next is decided one at a time
	}
	if h.dispatcher.watched() {
		row, _ := h.outcomes.find(h.name, e.record.Seq)
		row.Children = nil
		e.row = &row
	}
	return e
}

// succeed is end for a success at the first attempt, without children.
func (h *Handler) succeed(t *task, p *plain, result []byte) {
	h.stats.Fuel += p.Fuel
	h.stats.Delivered++
	h.leave(t)
	h.outcomes.success(t, p, result)
	h.settle(t)
	h.release(t)
}

// settle says that the outcome of a task is in h.outcomes now, the last one there.
func (h *Handler) settle(t *task) {
	t.settled = true
	h.unsaved++
	if len(h.outcomes.list) == 1 {
		h.dispatcher.recorder.touch(h)
	}
}

// judge decides what becomes of a task after an attempt.
func (h *Handler) judge(t *task, o *event.Outcome, at time.Time) *event.Delivery {
	row := &event.Delivery{Handler: h.name, Seq: t.record.Seq, Attempts: 1, Duration: o.Duration, Fuel: o.Fuel, At: at,
		ErrorClass: o.Class, ErrorMessage: o.Message}
	if t.past != nil {
		row.Attempts += t.past.Attempts
		row.FirstAttempt = t.past.FirstAttempt
	}
	if row.FirstAttempt.IsZero() {
		row.FirstAttempt = at.Add(-o.Duration)
	}
	retry := h.policy.Retry
	switch {
	case o.Verdict == event.OK:
		h.stats.Delivered++
		row.Status, row.Result, row.Children = event.StatusOK, string(o.Result), o.Children
		h.children += childBytes(row.Children)
	case o.Verdict == event.Reject || row.Attempts >= retry.MaxAttempts:
		h.stats.Failed++
		row.Status = event.StatusDead
	default:
		h.stats.Failed++
		row.Status = event.StatusRetrying
		row.Due = at.Add(backoff(retry, row.Attempts, h.dispatcher.cfg.Random()))
		t.rowless = false
	}
	t.past = row
	return row
}

// release forgets a final task and lets the next of its key go.
func (h *Handler) release(t *task) {
	h.open.remove(t.record.Seq)
	size := len(t.record.Event.Envelope())
	h.bytes -= size
	if t.fed {
		h.fedOpen--
		h.fedBytes -= size
	}
	t.record.Event = nil // the window may hold the task for long
	h.makeRoom()
	switch {
	case t.lane == 0:
	case t.next == nil:
		h.lanes.remove(t.lane)
	default:
		h.behind--
		h.schedule(t.next)
		t.next = nil
	}
	h.drop(t)
}
