package delivery_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/berth-host/berth/host/delivery"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
)

func TestReplayOfOpenHandler(t *testing.T) {
	m := onMemory(t)
	fail := true
	m.set(func(h string, a event.Attempt) event.Outcome {
		if a.Seq == 3 && h == "h" && fail {
			return event.Outcome{Verdict: event.Reject, Class: event.ClassRejected}
		}
		return event.Outcome{}
	})
	h, stop := m.open("h", delivery.Policy{})
	_, stopOther := m.open("other", delivery.Policy{})
	defer stop()
	defer stopOther()
	m.publish("a", "a", "a", "a", "b", "a")
	m.awaitStatuses("h", "ok ok dead ok ok ok")
	m.awaitStatuses("other", "ok ok ok ok ok ok")
	m.forget()

	// Held in flight, so that the statuses can be looked at.
	release := make(chan struct{})
	m.set(func(_ string, a event.Attempt) event.Outcome {
		if a.Number != 1 {
			return reject("", a)
		}
		<-release
		return event.Outcome{}
	})
	if err := m.d.Replay(t.Context(), "h", 2, 4); err != nil {
		t.Fatal(err)
	}
	m.awaitStatuses("h", "ok delivering pending pending ok ok")
	if s := h.Stats(); s.Lag != 3 {
		t.Errorf("the lag is %d, want 3", s.Lag)
	}
	m.publish("a")
	m.awaitStatuses("h", "ok delivering pending pending ok ok pending")
	close(release)
	m.awaitStatuses("h", "ok ok ok ok ok ok ok")
	if got := fmt.Sprint(m.sequence("h")); got != "[2 3 4 7]" {
		t.Errorf("delivered: %s", got)
	}
	m.awaitStatuses("other", "ok ok ok ok ok ok ok")
	if got := fmt.Sprint(m.sequence("other")); got != "[7]" {
		t.Errorf("other got %s", got)
	}
	if s := h.Stats(); s.Lag != 0 {
		t.Errorf("the lag is %d, want 0", s.Lag)
	}
	// What is left of it in the store: the cursor is where it would be without.
	m.await("the cursor", func() bool {
		b, err := m.engine.LoadBacklog(context.Background(), "h")
		return err == nil && b.Cursor == 7 && b.Replay == nil
	})
}

func TestReplayOfClosedHandler(t *testing.T) {
	m := onMemory(t)
	h, stop := m.open("h", delivery.Policy{})
	m.publish("a", "b", "a", "b")
	m.awaitStatuses("h", "ok ok ok ok")
	stop()
	if err := h.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	m.forget()
	if err := m.d.Replay(t.Context(), "h", 3, 0); err != nil {
		t.Fatal(err)
	}
	_, stop = m.open("h", delivery.Policy{})
	defer stop()
	m.await("both", func() bool { return len(m.sequence("h")) == 2 })
	m.publish("a")
	m.await("the new one", func() bool { return len(m.sequence("h")) == 3 })
	got := m.sequence("h")
	slices.Sort(got)
	if fmt.Sprint(got) != "[3 4 5]" {
		t.Errorf("delivered: %v", got)
	}
}

func TestInvalidReplayIsRefused(t *testing.T) {
	m := onMemory(t)
	m.publish("a", "a")
	if err := m.d.Claim(t.Context(), "h"); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		handler  string
		from, to uint64
		want     fault.Code
	}{
		{"nobody", 1, 2, fault.NotFound}, {"h", 2, 1, fault.Invalid}, {"h", 3, 0, fault.Invalid}, {"h", 0, 0, ""}, {"h", 2, 99, ""},
	} {
		if err := m.d.Replay(t.Context(), tt.handler, tt.from, tt.to); fault.CodeOf(err) != tt.want {
			t.Errorf("Replay(%s, %d, %d): got %v, want %q", tt.handler, tt.from, tt.to, err, tt.want)
		}
	}
}

// TestReplayWaitsForOpenAttempts: when its context ends it changes nothing; when the handler
// closes meanwhile, it takes effect at the next start.
func TestReplayWaitsForOpenAttempts(t *testing.T) {
	m := onMemory(t)
	release := make(chan struct{})
	m.set(func(_ string, a event.Attempt) event.Outcome {
		if a.Seq == 2 {
			<-release
		}
		return event.Outcome{}
	})
	h, stop := m.open("h", delivery.Policy{})
	m.publish("a", "b")
	m.awaitStatuses("h", "ok delivering")
	ctx, cancel := context.WithCancel(t.Context())
	answer := make(chan error, 1)
	go func() { answer <- m.d.Replay(ctx, "h", 1, 2) }()
	cancel()
	if err := <-answer; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the context's error", err)
	}
	m.publish("c") // it still delivers
	m.awaitStatuses("h", "ok delivering ok")
	m.forget()

	go func() { answer <- m.d.Replay(context.Background(), "h", 1, 2) }()
	closed := make(chan error, 1)
	go func() { closed <- h.Close(context.Background()) }()
	if err := <-closed; err != nil {
		t.Fatal(err)
	}
	if err := <-answer; err != nil {
		t.Fatal(err)
	}
	close(release)
	stop()
	m.forget()
	_, stop = m.open("h", delivery.Policy{})
	defer stop()
	m.await("both again", func() bool { return len(m.sequence("h")) >= 2 })
	m.awaitStatuses("h", "ok ok ok")
	if got := m.sequence("h"); !slices.Contains(got, 1) || !slices.Contains(got, 2) {
		t.Errorf("delivered: %v", got)
	}
}

// TestReplayKeepsOrderOfRetries replays a range with an event that waits for a retry, before
// another one that does.
func TestReplayKeepsOrderOfRetries(t *testing.T) {
	m := onMemory(t)
	again := func(seq uint64) event.Delivery {
		return event.Delivery{Handler: "h", Seq: seq, Status: event.StatusRetrying, Attempts: 2, ErrorClass: event.ClassTrap, At: time.Now(), Due: time.Now()}
	}
	m.publish("k", "k", "k", "k", "k", "k")
	stored := []event.Delivery{again(2), again(4)}
	for _, seq := range []uint64{1, 3, 5} {
		stored = append(stored, event.Delivery{Handler: "h", Seq: seq, Status: event.StatusOK, Attempts: 1, At: time.Now()})
	}
	if _, _, err := m.engine.SaveDeliveries(t.Context(), nil, nil, stored, []event.Cursor{{Name: "handler/h", Seq: 5}}); err != nil {
		t.Fatal(err)
	}
	if err := m.d.Replay(t.Context(), "h", 1, 3); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	numbers := make(map[uint64]int)
	m.set(func(_ string, a event.Attempt) event.Outcome {
		mu.Lock()
		defer mu.Unlock()
		numbers[a.Seq] = a.Number
		return event.Outcome{}
	})
	_, stop := m.open("h", delivery.Policy{})
	defer stop()
	m.await("all", func() bool { return len(m.sequence("h")) == 5 })
	if got := fmt.Sprint(m.sequence("h")); got != "[1 2 3 4 6]" {
		t.Errorf("delivered: %s", got)
	}
	mu.Lock()
	defer mu.Unlock()
	if got := fmt.Sprint(numbers); got != "map[1:1 2:3 3:1 4:3 6:1]" {
		t.Errorf("attempts: %s", got)
	}
}

func TestNewReplayReplacesRunningOne(t *testing.T) {
	m := onMemory(t)
	_, stop := m.open("h", delivery.Policy{})
	defer stop()
	m.publish("k", "k", "k", "k", "k", "k")
	m.awaitStatuses("h", "ok ok ok ok ok ok")
	m.forget()
	started, release := make(chan struct{}), make(chan struct{})
	once := sync.OnceFunc(func() { close(started) })
	m.set(func(string, event.Attempt) event.Outcome {
		once()
		<-release
		return event.Outcome{}
	})
	if err := m.d.Replay(t.Context(), "h", 1, 5); err != nil {
		t.Fatal(err)
	}
	<-started
	answer := make(chan error, 1)
	go func() { answer <- m.d.Replay(t.Context(), "h", 4, 4) }()
	close(release)
	if err := <-answer; err != nil {
		t.Fatal(err)
	}
	m.publish("k")
	m.awaitStatuses("h", "ok ok ok ok ok ok ok")
	m.await("the last", func() bool { return slices.Contains(m.sequence("h"), 7) })
	got := m.sequence("h")
	if n := len(got); n < 3 || got[0] != 1 || got[n-1] != 7 || got[n-2] != 4 {
		t.Errorf("delivered: %v", got)
	}
}

// TestCursorPassesEventsThatReplaySkips: after a crash at the end of a replay, the events
// between the replay and the former position are not delivered.
func TestCursorPassesEventsThatReplaySkips(t *testing.T) {
	h := &hooked{}
	m := onHooked(t, h)
	m.publish("a", "a", "a", "a")
	stored := []event.Delivery{{Handler: "h", Seq: 3, Status: event.StatusRetrying, Attempts: 1, At: time.Now(), Due: time.Now()}}
	if _, _, err := m.engine.SaveDeliveries(t.Context(), nil, nil, stored, []event.Cursor{{Name: "handler/h", Seq: 4}}); err != nil {
		t.Fatal(err)
	}
	if err := m.d.Replay(t.Context(), "h", 1, 2); err != nil {
		t.Fatal(err)
	}
	goOn := make(chan struct{})
	h.read = func(seq uint64) {
		if seq == 3 { // what waited there
			<-goOn
		}
	}
	_, stop := m.open("h", delivery.Policy{})
	defer stop()
	var b event.Backlog
	m.await("a cursor beyond the replay", func() (ok bool) {
		var err error
		b, err = m.engine.LoadBacklog(context.Background(), "h")
		return err == nil && b.Cursor >= 2
	})
	if b.Cursor != 4 || b.Replay != nil || len(b.Open) != 1 {
		t.Errorf("got %+v", b)
	}
	close(goOn)
	m.await("the retry", func() bool { return fmt.Sprint(m.sequence("h")) == "[1 2 3]" })
}
