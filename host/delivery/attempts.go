package delivery

import (
	"time"

	"github.com/berth-host/berth/host/event"
)

// Next waits for an attempt and answers false once stop is closed, or when it
// waits and gets a token from retire.
func (h *Handler) Next(stop, retire <-chan struct{}) (event.Taken, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for waited := false; ; waited = true {
		select {
		case <-stop:
			h.signal() // the token it may have taken is another's
			return event.Taken{}, false
		default:
		}
		if h.mayBegin() {
			if t := h.ready.pop(); t != nil {
				return event.Taken{Attempt: h.begin(t), More: h.ready.len() > 0 && h.mayBegin(), Waited: waited}, true
			}
		}
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
			return event.Taken{}, false
		}
	}
}

// TryNext is Next without waiting.
func (h *Handler) TryNext() (event.Attempt, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.mayBegin() {
		if t := h.ready.pop(); t != nil {
			return h.begin(t), true
		}
	}
	return event.Attempt{}, false
}

// Demand yields a token when something is ready and nobody is in Next.
func (h *Handler) Demand() <-chan struct{} { return h.demand }

func (h *Handler) begin(t *task) event.Attempt {
	h.breaker.begin(t.record.Seq)
	if h.ready.len() > 0 && h.parked > 0 && h.mayBegin() {
		token(h.wake)
	}
	t.delivering = true
	h.inFlight++
	h.makeRoom() // many slow attempts may need more than is ready
	return event.Attempt{Seq: t.record.Seq, Event: t.record.Event, Number: t.last.Attempts + 1}
}

// Done takes back an attempt and what became of it.
func (h *Handler) Done(a event.Attempt, o event.Outcome) {
	h.mu.Lock()
	t := h.open.get(a.Seq)
	if t == nil || !t.delivering {
		h.mu.Unlock()
		return
	}
	t.delivering = false
	if h.inFlight--; h.inFlight == 0 && h.held {
		token(h.idle)
	}
	h.stats.Fuel += o.Fuel
	if o.Class == event.ClassCancelled {
		h.breaker.cancelled(a.Seq)
		h.ready.pushFront(t)
		h.makeRoom()
		h.signal()
		h.mu.Unlock()
		return
	}
	at := o.At
	if at.IsZero() {
		at = time.Now()
	}
	observer := h.dispatcher.cfg.Observer
	record, row := t.record, event.Delivery{}
	h.judge(t, o, at)
	if observer != nil {
		row = t.shown()
		row.Children = nil
	}
	if t.last.Status.Final() {
		h.release(t)
	} else {
		h.makeRoom()
		h.schedule(t)
	}
	changed := h.breaker.ended(a.Seq, o.Class, o.Message, at)
	if changed {
		h.setTimer()
		h.signal()
	}
	first := len(h.outcomes) == 1
	h.mu.Unlock()
	if first {
		h.dispatcher.recorder.touch(h)
	}
	if observer != nil {
		observer(record, row)
	}
	if changed {
		h.tell()
	}
}

// judge decides what becomes of a task after an attempt.
func (h *Handler) judge(t *task, o event.Outcome, at time.Time) {
	row := &t.last
	row.Attempts++
	row.Duration, row.Fuel, row.At, row.Due = o.Duration, o.Fuel, at, time.Time{}
	row.Result, row.ErrorClass, row.ErrorMessage = "", o.Class, o.Message
	t.result = t.result[:0]
	if row.FirstAttempt.IsZero() {
		row.FirstAttempt = row.At.Add(-o.Duration)
	}
	retry := h.policy.Retry
	switch {
	case o.Verdict == event.OK:
		h.stats.Delivered++
		row.Status, row.Children = event.StatusOK, o.Children
		t.result = append(t.result, o.Result...)
		h.children += childBytes(row.Children)
	case o.Verdict == event.Reject || row.Attempts >= retry.MaxAttempts:
		h.stats.Failed++
		row.Status = event.StatusDead
	default:
		h.stats.Failed++
		row.Status = event.StatusRetrying
		row.Due = row.At.Add(retry.delay(row.Attempts, h.dispatcher.cfg.Random()))
	}
	saved := t
	if row.Status.Final() {
		t.users++
	} else { // the next attempt may end before this is written
		saved = &task{last: *row, users: 1}
		t.rowless = false
	}
	h.outcomes = append(h.outcomes, saved)
	t.settled = true
	h.unsaved++
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
	case t.key == "":
	case t.next == nil:
		h.lanes.remove(t.lane)
	default:
		h.behind--
		h.schedule(t.next)
		t.next = nil
	}
	h.drop(t)
}
