package delivery_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/berth-host/berth/host/delivery"
	"github.com/berth-host/berth/host/event"
)

// The fake store has no dead letters.

func (s *store) Redriven(context.Context, string, uint64, int) ([]event.Delivery, error) {
	return nil, nil
}

var errKeepsNone = errors.New("this store keeps no dead letters")

func (s *store) DeadLetters(context.Context, event.DeadFilter, string, int) ([]event.DeadLetter, string, error) {
	return nil, "", errKeepsNone
}
func (s *store) Redrive(context.Context, event.DeadFilter) (int, error)             { return 0, errKeepsNone }
func (s *store) Requeue(context.Context, string, []uint64) (int, error)             { return 0, errKeepsNone }
func (s *store) Purge(context.Context, event.DeadFilter) (int, error)               { return 0, errKeepsNone }
func (s *store) CountRedriven(context.Context, string, uint64, uint64) (int, error) { return 0, nil }

func (s *store) StartReplay(context.Context, string, uint64, uint64, time.Time) error {
	return errKeepsNone
}

func TestRedriveOfOpenHandler(t *testing.T) {
	m := onMemory(t)
	m.set(reject)
	_, stop := m.open("h", delivery.Policy{})
	_, stopOther := m.open("other", delivery.Policy{})
	defer stop()
	defer stopOther()
	m.publish("a", "b", "a", "b")
	m.awaitStatuses("h", "dead dead dead dead")
	m.awaitStatuses("other", "dead dead dead dead")
	var list []event.DeadLetter
	m.await("they are written", func() bool {
		var next string
		var err error
		list, next, err = m.d.DeadLetters(t.Context(), event.DeadFilter{Handler: "h"}, "", 10)
		return err == nil && next == "" && len(list) == 4
	})
	if l := list[0]; l.Seq != 4 || l.Event.Metadata().Subject != "b" || l.Reason != event.ReasonRejected || l.FirstAt.IsZero() || l.At.Before(l.FirstAt) || l.ErrorMessage != "no" {
		t.Errorf("got %+v", l)
	}
	// One that fails again is a dead letter again.
	m.redrive(event.DeadFilter{Handler: "h", EventID: list[0].Event.ID()}, 1)
	m.await("the event again", func() bool { return len(m.sequence("h")) == 5 })
	m.awaitStatuses("h", "dead dead dead dead")
	// All dead letters of the handler, now that it works, and of no other.
	m.set(func(string, event.Attempt) event.Outcome { return event.Outcome{} })
	m.redrive(event.DeadFilter{Handler: "h"}, 4)
	m.awaitStatuses("h", "ok ok ok ok")
	m.redrive(event.DeadFilter{Handler: "h"}, 0)
	if got := m.statuses("other"); got != "dead dead dead dead" {
		t.Errorf("other has %s", got)
	}
	if got := len(m.sequence("other")); got != 4 {
		t.Errorf("other got %d", got)
	}
	if n, err := m.d.Purge(t.Context(), event.DeadFilter{Handler: "other"}); n != 4 || err != nil {
		t.Errorf("Purge: got %d, %v", n, err)
	}
	m.redrive(event.DeadFilter{}, 0)
}

// TestRedrivenEventKeepsToItsKey: while an event of a key is in flight, the redriven one of
// that key waits, and that of another key is delivered.
func TestRedrivenEventKeepsToItsKey(t *testing.T) {
	m := onMemory(t)
	m.set(reject)
	_, stop := m.open("h", delivery.Policy{})
	defer stop()
	m.publish("a", "b")
	m.awaitStatuses("h", "dead dead")
	m.forget()
	release := make(chan struct{})
	m.set(func(_ string, a event.Attempt) event.Outcome {
		if a.Seq == 3 {
			<-release
		}
		return event.Outcome{}
	})
	m.publish("a")
	m.awaitStatuses("h", "dead dead delivering")
	m.redrive(event.DeadFilter{Handler: "h"}, 2)
	m.awaitStatuses("h", "pending ok delivering")
	m.redrive(event.DeadFilter{Handler: "h"}, 0)
	close(release)
	m.awaitStatuses("h", "ok ok ok")
	if got := fmt.Sprint(m.sequence("h")); got != "[2 3 1]" {
		t.Errorf("delivered in the order %s", got)
	}
}

// TestRedriveDuringReplayDeliversOnce redrives a dead letter while a replay has its event in
// flight; the attempt succeeds before the redrive is stored, and its outcome is unwritten.
func TestRedriveDuringReplayDeliversOnce(t *testing.T) {
	release := make(chan struct{})
	passed := make(chan struct{}, 8)
	h := &hooked{redriven: func() { passed <- struct{}{} }}
	m := onHooked(t, h)
	m.set(reject)
	_, stop := m.open("h", delivery.Policy{})
	defer stop()
	m.publish("a")
	m.awaitStatuses("h", "dead")
	m.forget()
	m.set(func(string, event.Attempt) event.Outcome {
		<-release
		return event.Outcome{}
	})
	if err := m.d.Replay(t.Context(), "h", 1, 1); err != nil {
		t.Fatal(err)
	}
	m.awaitStatuses("h", "delivering")
	var full atomic.Bool
	h.redrive = func() {
		full.Store(true)
		h.mu.Lock()
		h.fate = func() (bool, bool) { return full.Load(), false }
		h.mu.Unlock()
		close(release)
		m.awaitStatuses("h", "ok")
	}
	m.redrive(event.DeadFilter{Handler: "h"}, 1)
	<-passed
	full.Store(false)
	m.await("the outcome is written", func() bool {
		stored, err := m.engine.Deliveries(context.Background(), 1)
		return err == nil && len(stored) == 1 && stored[0].Status == event.StatusOK
	})
	m.publish("b")
	m.awaitStatuses("h", "ok ok")
	if got := fmt.Sprint(m.sequence("h")); got != "[1 2]" {
		t.Errorf("delivered: %s", got)
	}
}

// TestReaderAndFeederDeliverOnce: the reader admits an event, and the guest completes it,
// after the feeder has read it as pending.
func TestReaderAndFeederDeliverOnce(t *testing.T) {
	h := &hooked{}
	m := onHooked(t, h)
	m.publish("a", "b")
	dead := event.Delivery{Handler: "h", Seq: 2, Status: event.StatusDead, Attempts: 1, At: time.Now()}
	if _, _, err := m.engine.SaveDeliveries(t.Context(), nil, nil, []event.Delivery{dead}, []event.Cursor{{Name: "handler/h"}}); err != nil {
		t.Fatal(err)
	}
	m.redrive(event.DeadFilter{}, 1)
	once := make(chan struct{}, 1)
	once <- struct{}{}
	listed, fed := make(chan struct{}), make(chan struct{})
	m.set(func(string, event.Attempt) event.Outcome {
		<-listed
		return event.Outcome{}
	})
	h.redriven = func() {
		select {
		case <-once:
			close(listed)
			m.await("both are written", func() bool {
				b, err := m.engine.LoadBacklog(context.Background(), "h")
				return err == nil && b.Cursor == 2
			})
			close(fed)
		default:
		}
	}
	_, stop := m.open("h", delivery.Policy{})
	defer stop()
	<-fed
	m.publish("c")
	m.awaitStatuses("h", "ok ok ok")
	got := m.sequence("h")
	slices.Sort(got)
	if fmt.Sprint(got) != "[1 2 3]" {
		t.Errorf("delivered: %v", got)
	}
}

func TestRedriveOfClosedHandler(t *testing.T) {
	m := onMemory(t)
	m.set(reject)
	h, stop := m.open("h", delivery.Policy{})
	m.publish("a", "b", "a")
	m.awaitStatuses("h", "dead dead dead")
	stop()
	if err := h.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	m.redrive(event.DeadFilter{Handler: "h", Subject: "a"}, 2)
	if got := m.statuses("h"); got != "pending dead pending" {
		t.Errorf("got %s", got)
	}
	m.set(func(string, event.Attempt) event.Outcome { return event.Outcome{} })
	m.publish("b")
	_, stop = m.open("h", delivery.Policy{})
	defer stop()
	m.awaitStatuses("h", "ok dead ok ok")
}

// TestRedriveBeyondWindow redrives more events than a handler may have open, while new
// events are delivered.
func TestRedriveBeyondWindow(t *testing.T) {
	m := onMemory(t)
	m.set(reject)
	_, stop := m.open("h", delivery.Policy{})
	defer stop()
	const n = 6000
	var events []*event.Event
	for range n {
		ev, err := event.New(event.Draft{Type: "t"})
		if err != nil {
			t.Fatal(err)
		}
		events = append(events, ev)
	}
	if _, err := m.engine.Append(t.Context(), events); err != nil {
		t.Fatal(err)
	}
	m.await("all dead", func() bool { return len(m.sequence("h")) == n })
	m.forget()
	m.redriveUntil(n)
	m.await("all again", func() bool { return len(m.sequence("h")) >= n })
}

// redriveUntil redrives until so many events are redriven in total, as outcomes are written.
func (m *memory) redriveUntil(n int) {
	m.t.Helper()
	m.set(func(string, event.Attempt) event.Outcome { return event.Outcome{} })
	m.await("all redriven", func() bool {
		k, err := m.d.Redrive(context.Background(), event.DeadFilter{})
		if err != nil {
			m.t.Fatalf("Redrive: %v", err)
		}
		n -= k
		return n <= 0
	})
}

func TestClaimStartsAtConfiguredPosition(t *testing.T) {
	m := onMemory(t)
	e := m.engine
	m.publish("a", "b", "c")
	asked := 0
	d := delivery.New(delivery.Config{Store: e, Log: e, Start: func(_ context.Context, handler string) (uint64, error) {
		asked++
		if handler == "broken" {
			return 0, errKeepsNone
		}
		return 1, nil
	}})
	defer d.Close(context.Background()) //nolint:errcheck // nothing is open
	for range 2 {
		if err := d.Claim(t.Context(), "h"); err != nil {
			t.Fatal(err)
		}
	}
	if seq, found, err := e.Cursor(t.Context(), "handler/h"); seq != 1 || !found || err != nil || asked != 1 {
		t.Errorf("got %d, %v, %v after being asked %d times", seq, found, err, asked)
	}
	if err := d.Claim(t.Context(), "broken"); !errors.Is(err, errKeepsNone) {
		t.Errorf("got %v", err)
	}
	if _, found, _ := e.Cursor(t.Context(), "handler/broken"); found {
		t.Error("a handler was claimed without a position")
	}
}
