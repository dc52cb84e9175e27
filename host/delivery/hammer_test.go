package delivery_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/berth-host/berth/host/delivery"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/spec"
)

// hammer is a handler with its model, many events, and an error if there was one.
type hammer struct {
	fixture
	*model
	h        *handler
	events   int
	policy   delivery.Policy
	quit     chan struct{}
	finished chan struct{} // closed when every event is final
	wrong    []string
}

func newHammer(t *testing.T, events, keys int) *hammer {
	x := &hammer{fixture: setUp(t), events: events, quit: make(chan struct{}), finished: make(chan struct{})}
	x.policy = delivery.Policy{
		Key:     bySubject,
		Retry:   spec.RetryPolicy{MaxAttempts: 3, Backoff: time.Microsecond, MaxBackoff: 100 * time.Microsecond},
		Breaker: spec.BreakerPolicy{Failures: 4, Cooldown: time.Microsecond, MaxCooldown: 50 * time.Microsecond},
	}
	x.h = x.fixture.open(t, "h", x.policy)
	x.model = newModel(x.policy.Retry.MaxAttempts, x.policy.Breaker)
	for i := range events {
		x.add([]string{"", fmt.Sprint(i % keys)}[i%2])
	}
	return x
}

// record notes an attempt with its outcome, and reports whether it was the last one. The
// caller has locked the model.
func (x *hammer) record(a event.Attempt, o event.Outcome) (last bool) {
	if w := x.taken(a); w != "" {
		x.wrong = append(x.wrong, w)
	}
	x.done(a, o)
	return len(x.final) == x.events && o.Class != event.ClassCancelled
}

// run publishes all events while n workers complete them, and waits until every event is
// final. which selects the event whose deliveries are read meanwhile.
func (x *hammer) run(t *testing.T, n int, worker func(), which func() int) {
	var workers, others sync.WaitGroup
	for range n {
		workers.Go(worker)
	}
	others.Go(func() {
		for _, subject := range x.subjects {
			x.log.publish(t, subject)
		}
	})
	others.Go(func() { disturb(t, x.fixture, x.h, x.policy, x.quit, which) })
	select {
	case <-x.finished:
	case <-time.After(testTimeout):
		t.Errorf("not all became final: %+v", x.h.Stats())
	}
	close(x.quit)
	workers.Wait()
	others.Wait()
	if len(x.wrong) > 0 {
		t.Error(strings.Join(x.wrong[:min(5, len(x.wrong))], "\n"))
	}
}

// check closes the handler and compares the store with the model.
func (x *hammer) check(t *testing.T) {
	s := x.h.Stats()
	if err := x.h.Close(t.Context()); err != nil { // writes all outcomes
		t.Fatal(err)
	}
	if s.Lag != 0 || s.Delivered+s.Failed == 0 {
		t.Errorf("got %+v", s)
	}
	x.store.mu.Lock()
	defer x.store.mu.Unlock()
	if x.store.cursors["handler/h"] != uint64(x.events) || x.store.wrong != "" {
		t.Errorf("the cursor is at %d, want %d: %s", x.store.cursors["handler/h"], x.events, x.store.wrong)
	}
	for seq, status := range x.final {
		d := x.store.deliveries[key{"h", seq}]
		if d.Status != status || d.Attempts != x.attempts[seq] || d.SHA256 != moduleDigest {
			t.Fatalf("event %d is %+v, want %s after %d attempts", seq, d, status, x.attempts[seq])
		}
	}
}

// TestHammer runs everything at once: workers, publishers, pauses, a breaker that
// opens and probes by itself, and readers of the figures.
func TestHammer(t *testing.T) {
	x := newHammer(t, 3000, 17)
	worker := func() {
		for {
			a, ok := x.h.Next(x.quit, nil)
			if !ok {
				return
			}
			x.model.mu.Lock()
			o := outcomes[rand.IntN(len(outcomes))]
			// In flight until Done starts: from then on the next event of the key may start.
			last := x.record(a.Attempt, o)
			if last {
				close(x.finished)
			}
			x.h.Done(a.Attempt, o)
			x.model.mu.Unlock()
		}
	}
	x.run(t, 6, worker, func() int { return 1 })
	x.check(t)
}

// TestLeasesHammer is TestHammer with leases: workers that flush now and then, publishers,
// pauses, a breaker that opens and probes by itself, and readers of the figures.
func TestLeasesHammer(t *testing.T) {
	x := newHammer(t, 4000, 40)
	worker := func() {
		lease := x.h.Lease()
		defer lease.Close()
		for n := 0; ; n++ {
			taken, ok := lease.NextBuffered()
			if !ok {
				if taken, ok = lease.Next(x.quit, nil); !ok {
					return
				}
			}
			o := outcomes[0]
			if n%50 >= 40 { // successes for a while, then anything
				o = outcomes[rand.IntN(len(outcomes))]
			}
			if rand.IntN(20) == 0 {
				lease.Flush()
			}
			x.model.mu.Lock()
			last := x.record(taken.Attempt, o)
			x.model.mu.Unlock()
			lease.Done(&o)
			if last {
				close(x.finished)
			}
		}
	}
	x.run(t, 4, worker, func() int { return 1 + rand.IntN(x.events) })
	x.check(t)
}

// disturb pauses, resumes and probes a handler, and reads its figures and the deliveries of
// the event that which names, until quit is closed.
func disturb(t *testing.T, f fixture, h *handler, policy delivery.Policy, quit <-chan struct{}, which func() int) {
	for paused := true; ; paused = !paused {
		select {
		case <-quit:
			return
		default:
		}
		p := policy
		p.Paused = paused
		h.Update(p)
		h.Probe()
		_ = h.Stats()
		if _, err := f.d.Figures(t.Context(), "h"); err != nil {
			t.Error(err)
		}
		if _, err := f.d.Deliveries(t.Context(), f.log.at(which())); err != nil {
			t.Error(err)
		}
	}
}
