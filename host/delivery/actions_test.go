package delivery_test

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/berth-host/berth/host/delivery"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/wire"
)

// slow retries after an hour.
var slow = spec.RetryPolicy{MaxAttempts: 3, Backoff: time.Hour, MaxBackoff: time.Hour}

func traps(string, event.Attempt) event.Outcome {
	return event.Outcome{Verdict: event.Failed, Class: event.ClassTrap, Message: "unreachable"}
}

// shown is the delivery of an event to h, as the API shows it.
func (m *memory) shown(t *testing.T, seq uint64) wire.Delivery {
	t.Helper()
	records, err := m.engine.Read(t.Context(), seq, 1)
	if err != nil || len(records) != 1 {
		t.Fatalf("Read: %v, %v", records, err)
	}
	list, err := m.d.Deliveries(t.Context(), records[0])
	i := slices.IndexFunc(list, func(d wire.Delivery) bool { return d.Plugin == "h" })
	if err != nil || i < 0 {
		t.Fatalf("Deliveries: %v, %v", list, err)
	}
	return list[i]
}

func (m *memory) retryNow(t *testing.T, want int, seqs ...uint64) {
	t.Helper()
	if n, err := m.d.RetryNow(t.Context(), "h", seqs); n != want || err != nil {
		t.Fatalf("RetryNow(%v): got %d, %v, want %d", seqs, n, err, want)
	}
}

func TestRetryNow(t *testing.T) {
	m := onMemory(t)
	m.set(traps)
	_, stop := m.open("h", delivery.Policy{Retry: slow})
	defer stop()
	m.publish("a", "a", "b")
	m.awaitStatuses("h", "retrying pending retrying")
	m.retryNow(t, 1, 1, 2) // the second waits behind the first
	m.await("another attempt", func() bool { return m.shown(t, 1).Attempts == 2 })
	m.set(func(string, event.Attempt) event.Outcome { return event.Outcome{} })
	m.retryNow(t, 2, 1, 2, 3)
	m.awaitStatuses("h", "ok ok ok")
	m.retryNow(t, 0, 1, 2, 3, 4)
	if got := m.sequence("h"); !slices.Equal(slices.Compact(slices.DeleteFunc(got, func(seq uint64) bool { return seq == 3 })), []uint64{1, 2}) {
		t.Errorf("the order is %v", got)
	}
	if history := m.shown(t, 1).History; len(history) != 3 || history[0].Error.Class != "trap" || history[2].Status != "ok" || history[2].Attempt != 3 {
		t.Errorf("the history is %+v", history)
	}
}

// A dead letter is redriven, and an event whose retry waits in the store is due after the
// handler was opened again.
func TestRetryNowOfStoredDeliveries(t *testing.T) {
	m := onMemory(t)
	m.set(func(handler string, a event.Attempt) event.Outcome {
		if a.Seq == 1 {
			return reject(handler, a)
		}
		return traps(handler, a)
	})
	h, stop := m.open("h", delivery.Policy{Retry: slow})
	m.publish("a", "b")
	m.awaitStatuses("h", "dead retrying")
	stop()
	if err := h.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	m.set(func(string, event.Attempt) event.Outcome { return event.Outcome{} })
	m.retryNow(t, 1, 1, 2) // the dead letter, though the handler is closed
	_, stop = m.open("h", delivery.Policy{Retry: slow})
	defer stop()
	m.awaitStatuses("h", "ok retrying")
	m.retryNow(t, 1, 1, 2)
	m.awaitStatuses("h", "ok ok")
}

// The event that an open breaker lets through is the one that is given, and not the one that
// has waited the longest.
func TestRetryNowProbesWithGivenEvent(t *testing.T) {
	m := onMemory(t)
	m.set(traps)
	_, stop := m.open("h", delivery.Policy{Retry: spec.RetryPolicy{MaxAttempts: 1},
		Breaker: spec.BreakerPolicy{Failures: 2, Cooldown: time.Hour, MaxCooldown: time.Hour}})
	defer stop()
	m.publish("a", "b")
	m.awaitStatuses("h", "dead dead") // only then is it open: attempts run at once
	m.publish("c", "d", "e")
	m.await("the handler has read the events", func() bool { return m.d.Measure("h").Ready == 3 })
	m.retryNow(t, 0, 5)
	m.awaitStatuses("h", "dead dead pending pending dead")
	m.retryNow(t, 0, 4)
	m.awaitStatuses("h", "dead dead pending dead dead")
}

// An open breaker tries an event at once, also a pending one.
func TestRetryNowProbesBreaker(t *testing.T) {
	m := onMemory(t)
	m.set(traps)
	h, stop := m.open("h", delivery.Policy{Retry: spec.RetryPolicy{MaxAttempts: 1},
		Breaker: spec.BreakerPolicy{Failures: 2, Cooldown: time.Hour, MaxCooldown: time.Hour}})
	defer stop()
	m.publish("a", "b")
	m.awaitStatuses("h", "dead dead") // only then is it open: attempts run at once
	m.publish("c")
	m.awaitStatuses("h", "dead dead pending")
	if w := m.shown(t, 3).WaitingFor; w == nil || w.Kind != "breaker" || w.Until == nil || !strings.Contains(w.Reason, "trap") || strings.Contains(w.Reason, "tried again") {
		t.Errorf("it waits for %+v", w)
	}
	m.set(func(string, event.Attempt) event.Outcome { return event.Outcome{} })
	m.retryNow(t, 0, 3)
	m.awaitStatuses("h", "dead dead ok")
	if c := h.Stats().Condition; c.State != "" {
		t.Errorf("the condition is %+v", c)
	}
}

func (m *memory) skip(t *testing.T, seq uint64, want fault.Code, says string) {
	t.Helper()
	err := m.d.SkipEvent(t.Context(), "h", seq)
	if want == "" && err != nil || want != "" && (fault.CodeOf(err) != want || !strings.Contains(err.Error(), says)) {
		t.Errorf("skip %d: got %v, want %q with %q", seq, err, want, says)
	}
}

// A skipped event is a dead letter, stored when SkipEvent returns, and those behind it go on.
func TestSkippedEventLetsOthersContinue(t *testing.T) {
	m := onMemory(t)
	m.set(func(handler string, a event.Attempt) event.Outcome {
		if a.Seq == 1 {
			return traps(handler, a)
		}
		return event.Outcome{}
	})
	h, stop := m.open("h", delivery.Policy{Retry: slow})
	m.publish("a", "a", "a", "a")
	m.awaitStatuses("h", "retrying pending pending pending")
	if w := m.shown(t, 3).WaitingFor; w == nil || w.Kind != "key" {
		t.Fatalf("it waits for %+v", w)
	}
	first, err := m.engine.Read(t.Context(), 1, 1)
	if id := m.shown(t, 3).WaitingFor.EventID; err != nil || id != first[0].Event.ID() {
		t.Errorf("it waits for the event %s, want %s", id, first[0].Event.ID())
	}
	if until, due := m.shown(t, 3).WaitingFor.Until, m.shown(t, 1).DueAt; until == nil || due == nil || !until.Equal(*due) {
		t.Errorf("it waits until %v, while what it waits for is due at %v", until, due)
	}
	if d := m.shown(t, 1); d.DueAt == nil || d.WaitingFor == nil || d.WaitingFor.Kind != "retry" || !d.WaitingFor.Until.Equal(*d.DueAt) {
		t.Errorf("the first is %+v", d)
	}
	m.skip(t, 3, "", "")
	m.skip(t, 4, "", "") // the last one of its key
	m.publish("a")
	m.awaitStatuses("h", "retrying pending dead dead pending")
	m.skip(t, 1, "", "")
	m.awaitStatuses("h", "dead ok dead dead ok")
	m.skip(t, 1, fault.Conflict, "is final (dead)")
	m.skip(t, 2, fault.Conflict, "is final (ok)")
	m.skip(t, 9, fault.NotFound, "no event 9")
	d := m.shown(t, 1)
	if d.Error == nil || d.Error.Class != "skipped" || !strings.HasSuffix(d.Error.Message, "its last attempt failed with trap: unreachable") ||
		len(d.History) != 1 || d.History[0].Error.Class != "trap" || d.WaitingFor != nil {
		t.Errorf("got %+v", d)
	}
	dead, _, err := m.d.DeadLetters(t.Context(), event.DeadFilter{Class: event.ClassSkipped}, "", 10)
	if err != nil || len(dead) != 3 || dead[0].Reason != event.ReasonSkipped {
		t.Errorf("got %+v, %v", dead, err)
	}
	stop()
	if err := h.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	m.redrive(event.DeadFilter{EventID: first[0].Event.ID()}, 1) // a skipped event can be redriven
	m.set(traps)
	h, stop = m.open("h", delivery.Policy{Retry: slow})
	m.awaitStatuses("h", "retrying ok dead dead ok")
	stop()
	if err := h.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	m.publish("b")
	m.skip(t, 6, fault.Conflict, "does not run")
	m.skip(t, 1, "", "")
	m.skip(t, 1, fault.Conflict, "is final (dead)")
}

// Events that the reader has not read yet, and one with an attempt under way.
func TestSkipAheadOfTheReader(t *testing.T) {
	m := onMemory(t)
	begun, finish := make(chan struct{}), make(chan struct{})
	m.set(func(string, event.Attempt) event.Outcome {
		begun <- struct{}{}
		<-finish
		return event.Outcome{}
	})
	h, stop := m.open("h", delivery.Policy{Takes: func(ev *event.Event) bool { return ev.Subject() != "other" }})
	defer stop()
	subjects := make([]string, 700) // more than are read while an attempt is open
	for i := range subjects {
		subjects[i] = "a"
	}
	subjects[697] = "other" // event 699
	m.publish("x")
	<-begun
	m.publish(subjects...)
	m.skip(t, 1, fault.Conflict, "is under way")
	m.skip(t, 701, "", "")
	m.skip(t, 700, "", "")
	m.skip(t, 700, fault.Conflict, "is final")
	m.skip(t, 699, fault.NotFound, "does not get")
	if d := m.shown(t, 701); d.Status != "dead" || d.Error.Class != "skipped" || d.Attempts != 0 || len(d.History) != 0 {
		t.Errorf("got %+v", d)
	}
	if w := m.shown(t, 650).WaitingFor; w == nil || w.Kind != "backlog" && w.Kind != "key" {
		t.Errorf("it waits for %+v", w)
	}
	m.set(func(string, event.Attempt) event.Outcome { return event.Outcome{} })
	go func() {
		for range begun { // attempts that had begun to wait
		}
	}()
	close(finish)
	m.await("all others", func() bool { return h.Stats().Lag == 0 })
	close(begun)
	if seen := m.sequence("h"); slices.Contains(seen, 700) || slices.Contains(seen, 701) || !slices.Contains(seen, 698) {
		t.Errorf("%d events were delivered, the last is %d", len(seen), seen[len(seen)-1])
	}
}

func TestRetrying(t *testing.T) {
	m := onMemory(t)
	m.set(traps)
	h, stop := m.open("h", delivery.Policy{Retry: slow})
	m.publish("a", "a", "b", "c")
	m.awaitStatuses("h", "retrying pending retrying retrying")
	check := func(after uint64, limit int, want ...uint64) {
		t.Helper()
		list, err := m.d.Retrying(t.Context(), "h", after, limit)
		var got []uint64
		for _, d := range list {
			got = append(got, d.Seq)
			if d.Status != event.StatusRetrying || d.Handler != "h" || d.ErrorClass != event.ClassTrap {
				t.Errorf("got %+v", d)
			}
		}
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("after %d: got %v, %v, want %v", after, got, err, want)
		}
	}
	for range 2 {
		check(0, 10, 1, 3, 4)
		check(0, 2, 1, 3)
		check(3, 10, 4)
		check(4, 10)
		stop()
		if err := h.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// Requeued events are delivered again, whether they succeeded or failed; open ones are not
// changed.
func TestRequeue(t *testing.T) {
	m := onMemory(t)
	m.set(func(handler string, a event.Attempt) event.Outcome {
		if a.Event.Subject() == "b" {
			return reject(handler, a)
		}
		if a.Event.Subject() == "c" {
			return traps(handler, a)
		}
		return event.Outcome{}
	})
	h, stop := m.open("h", delivery.Policy{Retry: slow})
	defer stop()
	m.publish("a", "b", "c", "a")
	m.awaitStatuses("h", "ok dead retrying ok")
	m.set(func(string, event.Attempt) event.Outcome { return event.Outcome{} })
	m.forget()
	if n, err := m.d.Requeue(t.Context(), "h", []uint64{1, 2, 3}); n != 2 || err != nil {
		t.Fatalf("got %d, %v", n, err)
	}
	m.awaitStatuses("h", "ok ok retrying ok")
	m.await("both are delivered", func() bool { return len(m.sequence("h")) == 2 && h.Stats().Lag == 1 })
	if history := m.shown(t, 2).History; len(history) != 2 || history[0].Error.Class != "rejected" || history[1].Status != "ok" || history[1].Attempt != 1 {
		t.Errorf("the history is %+v", history)
	}
}

// Every failed attempt is reported with its lines, a skip is not.
func TestOnFailure(t *testing.T) {
	e, stopEngine := newEngine(t)
	defer stopEngine()
	m := newMemory(t, e)
	m.close(t)
	var mu sync.Mutex
	var failed []event.Delivery
	m.d = delivery.New(delivery.Config{Store: e, Log: e, OnFailure: func(rec event.Record, d event.Delivery) {
		mu.Lock()
		defer mu.Unlock()
		if rec.Seq != d.Seq || rec.Event == nil {
			t.Errorf("%d has the event of %d", d.Seq, rec.Seq)
		}
		failed = append(failed, d)
	}})
	defer m.close(t)
	m.set(func(handler string, a event.Attempt) event.Outcome {
		o := traps(handler, a)
		o.Instance, o.Logs = 3, []spec.GuestLine{{Level: "warn", Message: "no stock"}}
		if a.Event.Subject() == "b" {
			return event.Outcome{}
		}
		return o
	})
	_, stop := m.open("h", delivery.Policy{Retry: spec.RetryPolicy{MaxAttempts: 2, Backoff: time.Nanosecond, MaxBackoff: time.Nanosecond}})
	defer stop()
	m.publish("a", "b")
	m.awaitStatuses("h", "dead ok")
	mu.Lock()
	defer mu.Unlock()
	if len(failed) != 2 || failed[0].Status != event.StatusRetrying || failed[1].Status != event.StatusDead || failed[1].Attempts != 2 ||
		failed[1].Instance != 3 || len(failed[1].Logs) != 1 {
		t.Errorf("got %+v", failed)
	}
}

// An event that is for one handler reaches no other one.
func TestEventForOneHandler(t *testing.T) {
	m := onMemory(t)
	_, stop := m.open("h", delivery.Policy{})
	_, stopOther := m.open("other", delivery.Policy{})
	defer stop()
	defer stopOther()
	ev, err := event.New(event.Draft{Type: "t"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.engine.Append(t.Context(), []*event.Event{ev.WithOrigin(event.Origin{Only: "other"})}); err != nil {
		t.Fatal(err)
	}
	m.publish("a")
	m.awaitStatuses("h", "- ok")
	m.awaitStatuses("other", "ok ok")
}
