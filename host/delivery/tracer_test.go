package delivery_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/berth-host/berth/host/delivery"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/spec"
)

// traced is a Tracer that notes its calls.
type traced struct {
	mu    sync.Mutex
	begun []string
	ended []string
}

// Attempt implements delivery.Tracer. It traces events with an odd Seq.
func (t *traced) Attempt(handler string, a event.Attempt) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.begun = append(t.begun, fmt.Sprint(handler, " ", a.Seq, "/", a.Number))
	if a.Seq%2 == 0 {
		return ""
	}
	return fmt.Sprint("trace ", a.Seq, "/", a.Number)
}

// Ended implements delivery.Tracer.
func (t *traced) Ended(rec event.Record, d event.Delivery, traceparent string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ended = append(t.ended, fmt.Sprint(rec.Seq, " ", rec.Event.ID() != "", " ", d.Seq, " ", d.Status, " ", d.Attempts, " ", d.Duration, " ", traceparent))
}

// TestTracerSeesEveryAttempt: buffered successes of a lease, failures with their retries, and
// attempts without a lease. Those that the host stopped have no end.
func TestTracerSeesEveryAttempt(t *testing.T) {
	tracer := new(traced)
	f := setUpWith(t, delivery.Config{Tracer: tracer})
	h := f.open(t, "h", delivery.Policy{Retry: spec.RetryPolicy{MaxAttempts: 2, Backoff: time.Millisecond, MaxBackoff: time.Millisecond}})
	for range 64 {
		f.log.publish(t, "")
	}
	f.awaitOpen(t, h, 64)
	x := h.Lease()
	next := func() event.Attempt {
		taken, ok := x.NextBuffered()
		if !ok {
			taken, ok = x.Next(nil, nil) // which waits for a retry
		}
		a := taken.Attempt
		if !ok {
			t.Fatal("no attempt")
		}
		want := ""
		if a.Seq%2 == 1 {
			want = fmt.Sprint("trace ", a.Seq, "/", a.Number)
		}
		if got := x.TraceParent(); got != want {
			t.Errorf("attempt %d of event %d has the traceparent %q, want %q", a.Number, a.Seq, got, want)
		}
		return a
	}
	next()
	x.Done(&event.Outcome{Duration: 1}) // event 1, buffered
	if x.Recorded() {
		t.Fatal("the outcome is recorded already")
	}
	next()
	x.Done(&event.Outcome{Duration: 2})
	next()
	x.Done(&event.Outcome{Verdict: event.Failed, Class: event.ClassCancelled}) // event 3, which comes again
	for failed := 0; failed < 2; {
		if a := next(); a.Seq == 3 {
			failed++
			x.Done(&event.Outcome{Verdict: event.Failed, Class: event.ClassTrap, Duration: 3})
		} else {
			x.Done(&event.Outcome{Verdict: event.Reject, Class: event.ClassRejected, Duration: 4})
		}
	}
	x.Close()
	f.log.publish(t, "")
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	a, ok := h.TryNext()
	for end := time.Now().Add(testTimeout); !ok; a, ok = h.TryNext() {
		if time.Now().After(end) {
			t.Fatal("no attempt without a lease")
		}
		<-look.C
	}
	h.Done(a, event.Outcome{Duration: 5})
	tracer.mu.Lock()
	defer tracer.mu.Unlock()
	for _, want := range []string{"h 1/1", "h 2/1", "h 3/1", "h 3/2", fmt.Sprint("h ", a.Seq, "/1")} {
		if !slices.Contains(tracer.begun, want) {
			t.Errorf("%s did not begin: %q", want, tracer.begun)
		}
	}
	for _, want := range []string{"1 true 1 ok 1 1ns trace 1/1", "3 true 3 retrying 1 3ns trace 3/1", "3 true 3 dead 2 3ns trace 3/2"} {
		if n := len(slices.DeleteFunc(slices.Clone(tracer.ended), func(s string) bool { return s != want })); n != 1 {
			t.Errorf("%s ended %d times: %q", want, n, tracer.ended)
		}
	}
	if a.Seq%2 == 1 && !slices.Contains(tracer.ended, fmt.Sprint(a.Seq, " true ", a.Seq, " ok 1 5ns trace ", a.Seq, "/1")) {
		t.Errorf("the attempt without a lease has not ended: %q", tracer.ended)
	}
}
