package delivery_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/berth-host/berth/host/delivery"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/wire"
)

// conditions observes changed conditions, and lets a test wait for one.
type conditions struct {
	mu      sync.Mutex
	changed chan struct{}
	calls   int
}

func (c *conditions) on(string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls++
	close(c.changed)
	c.changed = make(chan struct{})
}

func (c *conditions) await(t *testing.T, h *handler, want wire.PluginState) delivery.Condition {
	t.Helper()
	timeout := time.After(testTimeout)
	for {
		c.mu.Lock()
		changed := c.changed
		c.mu.Unlock()
		if got := h.Stats().Condition; got.State == want {
			return got
		}
		select {
		case <-changed:
		case <-timeout:
			t.Fatalf("never %q: %+v", want, h.Stats().Condition)
		}
	}
}

func setUpConditions(t *testing.T) (fixture, *conditions) {
	c := &conditions{changed: make(chan struct{})}
	return setUpWith(t, delivery.Config{OnCondition: c.on}), c
}

// take returns an attempt, which must be ready.
func take(t *testing.T, h *handler) event.Attempt {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	defer cancel()
	a, ok := h.Next(ctx.Done(), nil)
	if !ok {
		t.Fatal("no attempt")
	}
	return a.Attempt
}

func trap() event.Outcome {
	return event.Outcome{Verdict: event.Failed, Class: event.ClassTrap, Message: "unreachable\nstack"}
}

func TestPauseKeepsPosition(t *testing.T) {
	f, c := setUpConditions(t)
	policy := delivery.Policy{Retry: spec.RetryPolicy{Backoff: time.Microsecond, MaxBackoff: time.Microsecond}}
	h := f.open(t, "h", policy)
	for range 3 {
		f.log.publish(t, "")
	}
	flying, failing := take(t, h), take(t, h)
	policy.Paused = true
	h.Update(policy)
	if got := c.await(t, h, wire.Paused); got.Reason == "" || got.Since.IsZero() {
		t.Errorf("got %+v", got)
	}
	h.Update(policy) // nothing new
	if c.calls != 1 {
		t.Errorf("OnCondition was called %d times for one pause", c.calls)
	}
	h.Done(flying, event.Outcome{}) // ends normally
	h.Done(failing, trap())         // its retry waits
	f.store.await(t, "the outcomes", func() bool { return len(f.store.deliveries) == 2 })
	for range 5 {
		f.log.publish(t, "")
	}
	got := make(chan event.Taken, 1)
	go func() {
		a, _ := h.Next(t.Context().Done(), nil)
		got <- a
	}()
	if _, ok := h.TryNext(); ok {
		t.Error("an attempt started while the handler is paused")
	}
	if s := h.Stats(); s.Lag != 7 {
		t.Errorf("lag %d, want 7: two of three and five more", s.Lag)
	}
	select {
	case a := <-got:
		t.Fatalf("%d was started while the handler is paused", a.Seq)
	default:
	}
	policy.Paused = false
	h.Update(policy)
	c.await(t, h, "")
	h.Done((<-got).Attempt, event.Outcome{})
	stop := work(h, 2, ok)
	defer stop()
	f.store.await(t, "all final", func() bool { return f.store.finals("h") == 8 })
	if s := h.Stats(); s.Lag != 0 || s.Delivered != 8 || s.Failed != 1 {
		t.Errorf("got %+v", s)
	}
}

func TestHandlerOpensPaused(t *testing.T) {
	f := setUp(t)
	h := f.open(t, "h", delivery.Policy{Paused: true})
	f.log.publish(t, "")
	f.store.await(t, "claimed", func() bool { _, found := f.store.cursors["handler/h"]; return found })
	if s := h.Stats(); s.Condition.State != wire.Paused || s.Condition.Since.IsZero() || s.Lag != 1 {
		t.Errorf("got %+v", s)
	}
	h.Update(delivery.Policy{})
	h.Done(take(t, h), event.Outcome{})
}

func TestBreakerOpensWaitsAndCloses(t *testing.T) {
	f, c := setUpConditions(t)
	policy := delivery.Policy{
		Retry:   spec.RetryPolicy{MaxAttempts: 100, Backoff: time.Microsecond, MaxBackoff: time.Microsecond},
		Breaker: spec.BreakerPolicy{Failures: 3, Cooldown: time.Hour, MaxCooldown: time.Hour},
	}
	h := f.open(t, "h", policy)
	for range 6 {
		f.log.publish(t, "")
	}
	late := take(t, h)
	for _, a := range []event.Attempt{take(t, h), take(t, h), take(t, h)} { // different ones
		h.Done(a, trap())
	}
	got := c.await(t, h, wire.BreakerOpen)
	if !strings.HasPrefix(got.Reason, "3 attempts in a row failed, the last with trap: unreachable; one event is tried again at ") {
		t.Errorf("got %q", got.Reason)
	}
	h.Done(late, event.Outcome{}) // in flight: ends normally, and is no probe
	f.store.await(t, "the late one", func() bool { return f.store.deliveries[key{"h", late.Seq}].Status == event.StatusOK })
	if _, ok := h.TryNext(); ok {
		t.Fatal("an attempt started while the breaker is open")
	}
	if s := h.Stats(); s.Lag != 5 || s.Condition.State != wire.BreakerOpen {
		t.Errorf("got %+v", s)
	}

	h.Probe()
	probe := take(t, h)
	if _, ok := h.TryNext(); ok {
		t.Fatal("a second attempt started during the probe")
	}
	h.Done(probe, event.Outcome{Verdict: event.Failed, Class: event.ClassCancelled})
	probe = take(t, h) // a probe that was stopped is made again
	h.Done(probe, trap())
	if _, ok := h.TryNext(); ok {
		t.Fatal("an attempt started after the failed probe")
	}
	h.Probe()
	h.Done(take(t, h), event.Outcome{Verdict: event.Retry, Class: event.ClassRetry})
	c.await(t, h, "")
	stop := work(h, 2, ok)
	defer stop()
	f.store.await(t, "all final", func() bool { return f.store.finals("h") == 6 })
	if s := h.Stats(); s.Delivered != 6 || s.Failed != 5 {
		t.Errorf("waiting cost attempts: %+v", s)
	}
}

// TestBreakerProbesByItself: without a call of Probe.
func TestBreakerProbesByItself(t *testing.T) {
	f, c := setUpConditions(t)
	h := f.open(t, "h", delivery.Policy{
		Retry:   spec.RetryPolicy{MaxAttempts: 1 << 20, Backoff: time.Microsecond, MaxBackoff: time.Microsecond},
		Breaker: spec.BreakerPolicy{Failures: 2, Cooldown: time.Millisecond, MaxCooldown: 2 * time.Millisecond},
	})
	for range 10 {
		f.log.publish(t, "")
	}
	var mu sync.Mutex
	calls := 0
	stop := work(h, 3, func(a event.Attempt) event.Outcome {
		mu.Lock()
		defer mu.Unlock()
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.calls == 0 { // it has not opened
			return trap()
		}
		if calls++; calls <= 5 {
			return trap()
		}
		return event.Outcome{}
	})
	defer stop()
	f.store.await(t, "all final", func() bool { return f.store.finals("h") == 10 })
	c.await(t, h, "")
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.calls < 2 {
		t.Errorf("OnCondition was called %d times: the breaker never opened", c.calls)
	}
}

// TestOneFailingEventDoesNotOpenBreaker: other events are delivered.
func TestOneFailingEventDoesNotOpenBreaker(t *testing.T) {
	f, c := setUpConditions(t)
	h := f.open(t, "h", delivery.Policy{
		Key:     bySubject,
		Retry:   spec.RetryPolicy{MaxAttempts: 20, Backoff: time.Microsecond, MaxBackoff: time.Microsecond},
		Breaker: spec.BreakerPolicy{Failures: 2, Cooldown: time.Hour, MaxCooldown: time.Hour},
	})
	poison := f.log.publish(t, "poison")
	stop := work(h, 2, func(a event.Attempt) event.Outcome {
		if a.Seq == poison {
			return trap()
		}
		return event.Outcome{}
	})
	defer stop()
	f.store.await(t, "dead", func() bool { return f.store.deliveries[key{"h", poison}].Status == event.StatusDead })
	for i := range 5 {
		f.log.publish(t, fmt.Sprint(i))
	}
	f.store.await(t, "all final", func() bool { return f.store.finals("h") == 6 })
	if c.calls != 0 {
		t.Error("the breaker opened")
	}
}

// TestPauseTakesPrecedenceOverBreaker in the condition.
func TestPauseTakesPrecedenceOverBreaker(t *testing.T) {
	f, c := setUpConditions(t)
	policy := delivery.Policy{Breaker: spec.BreakerPolicy{Failures: 2, Cooldown: time.Hour}}
	h := f.open(t, "h", policy)
	f.log.publish(t, "")
	f.log.publish(t, "")
	for _, a := range []event.Attempt{take(t, h), take(t, h)} {
		h.Done(a, trap())
	}
	opened := c.await(t, h, wire.BreakerOpen)
	policy.Paused = true
	h.Update(policy)
	c.await(t, h, wire.Paused)
	policy.Paused = false
	h.Update(policy)
	if again := c.await(t, h, wire.BreakerOpen); again != opened {
		t.Errorf("got %+v, want %+v", again, opened)
	}
	policy.Breaker = spec.BreakerPolicy{}
	h.Update(policy)
	c.await(t, h, "")
}
