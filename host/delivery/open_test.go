package delivery_test

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"time"

	"github.com/berth-host/berth/host/delivery"
	"github.com/berth-host/berth/host/event"
)

// TestSourcesShareHandler: a second Open of a name returns a source of the same queue,
// each source counts its own attempts, and the last one to close frees the name.
func TestSourcesShareHandler(t *testing.T) {
	f := setUp(t)
	first, second := f.open(t, "h", delivery.Policy{}), f.open(t, "h", delivery.Policy{Paused: true})
	f.open(t, "other", delivery.Policy{})
	if c := second.Condition(); c.State != "" {
		t.Errorf("the second Open changed the policy: %+v", c)
	}
	stop := work(second, 1, ok)
	f.log.publish(t, "a")
	f.store.await(t, "the outcome", func() bool { return f.store.finals("h") == 1 })
	stop()
	for range 2 { // a second Close changes nothing
		if err := second.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	f.log.publish(t, "b")
	first.Done(take(t, first), event.Outcome{Verdict: event.Reject})
	if a, b := first.Stats(), second.Stats(); a.Delivered != 0 || a.Failed != 1 || b.Delivered != 1 || b.Failed != 0 {
		t.Errorf("got %+v and %+v", a, b)
	}
	if !f.d.IsOpen("h") || !f.d.IsOpen("other") || f.d.IsOpen("none") {
		t.Error("the open handlers are h and other")
	}
	if err := first.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if f.d.IsOpen("h") {
		t.Error("h is still open")
	}
	again := f.open(t, "h", delivery.Policy{})
	defer work(again, 1, ok)()
	f.log.publish(t, "b")
	f.store.await(t, "the next outcome", func() bool { return f.store.finals("h") == 3 })
}

// TestClosingHandlerDelaysOnlyItself: while a handler cannot close because the store
// refuses its outcome, others open; its own name is free when it is closed.
func TestClosingHandlerDelaysOnlyItself(t *testing.T) {
	f := setUp(t)
	h := f.open(t, "h", delivery.Policy{})
	f.store.mu.Lock()
	f.store.refuse = errors.New("no")
	f.store.mu.Unlock()
	f.log.publish(t, "a")
	h.Done(take(t, h), event.Outcome{})
	closing, giveUp := context.WithCancel(t.Context())
	closed := make(chan error, 1)
	go func() { closed <- h.Close(closing) }()
	for end := time.Now().Add(testTimeout); !f.d.Closing("h"); runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatal("it does not close")
		}
	}
	f.store.mu.Lock()
	f.store.cursors["handler/other"] = 0
	f.store.mu.Unlock()
	f.open(t, "other", delivery.Policy{})
	short, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := f.d.Open(short, "h", "", delivery.Policy{}); !errors.Is(err, context.Canceled) {
		t.Errorf("Open while it closes: got %v", err)
	}
	giveUp()
	if err := <-closed; !errors.Is(err, context.Canceled) {
		t.Errorf("Close: got %v", err)
	}
	f.open(t, "h", delivery.Policy{})
	f.store.mu.Lock()
	f.store.refuse = nil
	f.store.mu.Unlock()
}
