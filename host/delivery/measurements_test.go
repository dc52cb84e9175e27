package delivery_test

import (
	"testing"
	"time"

	"github.com/berth-host/berth/host/delivery"
	"github.com/berth-host/berth/host/delivery/measure"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/spec"
)

// The counts of a handler are by version, agree with its outcomes, and outlast the version
// and the handler.
func TestMeasurements(t *testing.T) {
	f := setUp(t)
	policy := delivery.Policy{Retry: spec.RetryPolicy{MaxAttempts: 2, Backoff: time.Nanosecond, MaxBackoff: time.Nanosecond}}
	handle := func(a event.Attempt) event.Outcome {
		o := event.Outcome{Duration: 3 * time.Millisecond, Fuel: 7}
		if a.Event.Subject() == "fails" || a.Event.Subject() == "fails once" && a.Number == 1 {
			o.Verdict, o.Class = event.Failed, event.ClassTrap
		}
		return o
	}
	h := f.open(t, "h", policy)
	stop := workLeases(h, 2, handle)
	const plain = 300
	for range plain {
		f.log.publish(t, "")
	}
	f.log.publish(t, "fails")
	f.log.publish(t, "fails once")
	f.store.await(t, "all outcomes", func() bool { return f.store.finals("h") == plain+2 })
	stop()
	check := func(versions int) {
		t.Helper()
		m := f.d.Measure("h")
		if len(m.Versions) != versions || m.Versions[0].SHA256 != moduleDigest {
			t.Fatalf("got %d versions: %+v", len(m.Versions), m.Versions)
		}
		c := &m.Versions[0].Counts
		if c.OK != plain+1 || c.Dead != 1 || c.Retries != 2 || c.Failures[event.ClassTrap] != 3 || len(c.Failures) != 1 {
			t.Errorf("%d ok, %d dead, %d retries, failures %v", c.OK, c.Dead, c.Retries, c.Failures)
		}
		if n := uint64(plain + 4); c.Duration.Count() != n || c.Duration.Sum() != n*uint64(3*time.Millisecond) || c.Fuel.Sum() != n*7 ||
			c.Latency.Count() != plain+1 || c.Latency.Quantile(1) > float64(testTimeout) {
			t.Errorf("%d attempts of %d ns, fuel %d, latencies %d up to %v", c.Duration.Count(), c.Duration.Sum(), c.Fuel.Sum(),
				c.Latency.Count(), c.Latency.Quantile(1))
		}
	}
	check(1)
	next, err := f.d.Open(t.Context(), "h", "another", policy)
	if err != nil {
		t.Fatal(err)
	}
	check(2)
	for _, s := range []*delivery.Source{h.Source, next} {
		if err := s.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		check(2)
	}
	f.open(t, "h", policy)
	check(2)
	if s := h.Stats(); s.Delivered != plain+1 || s.Failed != 3 || s.Fuel != (plain+4)*7 {
		t.Errorf("got %+v", s)
	}
	if m := f.d.Measure("other"); len(m.Versions) != 0 {
		t.Errorf("got %+v", m)
	}
}

// The time since an event is no latency when an operator gives it to the handler again.
func TestEventsGivenAgainHaveNoLatency(t *testing.T) {
	m := onMemory(t)
	m.set(func(string, event.Attempt) event.Outcome { return event.Outcome{} })
	_, stop := m.open("h", delivery.Policy{})
	defer stop()
	m.publish("a", "b", "c")
	m.awaitStatuses("h", "ok ok ok")
	m.forget()
	counts := func() *measure.Counts { return &m.d.Measure("h").Versions[0].Counts }
	if err := m.d.Replay(t.Context(), "h", 1, 3); err != nil {
		t.Fatal(err)
	}
	m.await("the replay", func() bool { return counts().OK == 6 })
	m.awaitStatuses("h", "ok ok ok")
	if n, err := m.d.Requeue(t.Context(), "h", []uint64{2}); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	m.await("the requeued event", func() bool { return counts().OK == 7 })
	if n := counts().Latency.Count(); n != 3 {
		t.Errorf("%d latencies, want those of the 3 first deliveries", n)
	}
}

// The latency of an event that was accepted for later counts from when it was due.
func TestLatencyOfDeferredEventCountsFromItsDueTime(t *testing.T) {
	m := onMemory(t)
	m.set(func(string, event.Attempt) event.Outcome { return event.Outcome{} })
	_, stop := m.open("h", delivery.Policy{})
	defer stop()
	now := time.Now()
	ev := makeEvent(t, event.Draft{Type: "reminder", Time: now.Add(-30 * 24 * time.Hour)})
	if _, err := m.engine.Append(t.Context(), []*event.Event{ev.Moved(now)}); err != nil {
		t.Fatal(err)
	}
	m.awaitStatuses("h", "ok")
	m.await("the latency", func() bool { return m.d.Measure("h").Versions[0].Counts.Latency.Count() == 1 })
	if got := time.Duration(m.d.Measure("h").Versions[0].Counts.Latency.Quantile(1)); got > testTimeout {
		t.Errorf("a latency of %v", got)
	}
}
