package delivery_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/berth-host/berth/host/delivery"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/spec"
)

// elapsed is a channel that is ready: with it as retire, Next does not wait.
var elapsed = func() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

// begin starts an attempt like an instance, without waiting.
func begin(x *delivery.Lease) (event.Attempt, bool) {
	taken, ok := x.NextBuffered()
	if !ok {
		taken, ok = x.Next(nil, elapsed)
	}
	return taken.Attempt, ok
}

// testInstance is an instance of a test.
type testInstance struct {
	*delivery.Lease
	open       *event.Attempt
	unrecorded int // successes that are not recorded
}

// TestLeasesAgainstAModel drives three leases step by step, with a backlog of varying depth:
// attempts start, end in any way and run long, while events are published, the handler is
// paused, and a breaker opens until Probe is called.
func TestLeasesAgainstAModel(t *testing.T) {
	kept := 0 // successes that were recorded later
	rapid.Check(t, func(t *rapid.T) {
		l, s := newLog(), newStore()
		d := delivery.New(delivery.Config{Store: s, Log: l})
		defer d.Close(context.Background())
		policy := delivery.Policy{
			Key:     bySubject,
			Retry:   spec.RetryPolicy{MaxAttempts: rapid.IntRange(1, 4).Draw(t, "attempts"), Backoff: time.Nanosecond, MaxBackoff: time.Nanosecond},
			Breaker: spec.BreakerPolicy{Failures: rapid.IntRange(0, 4).Draw(t, "failures"), Cooldown: time.Hour, MaxCooldown: time.Hour},
		}
		h := open(t, d, "h", policy)
		m := newModel(policy.Retry.MaxAttempts, policy.Breaker)
		leases := make([]*testInstance, 3)
		for i := range leases {
			leases[i] = &testInstance{Lease: h.Lease()}
		}
		probed := false // Probe was called, and no attempt has started since
		subjects := rapid.SampledFrom([]string{"", "", "", "a", "b", "c"})
		begins := func(t *rapid.T, x *testInstance) {
			if x.open != nil {
				return
			}
			a, ok := begin(x.Lease)
			if !ok {
				x.unrecorded = 0 // Next has flushed it
				return
			}
			switch {
			case m.paused:
				t.Fatalf("%d started while the handler is paused", a.Seq)
			case m.open && (!probed || m.probe != 0):
				t.Fatalf("%d started while the breaker is open", a.Seq)
			case m.open:
				m.probe, probed = a.Seq, false
			}
			if wrong := m.taken(a); wrong != "" {
				t.Fatal(wrong)
			}
			x.open = &a
		}
		ends := func(x *testInstance, o event.Outcome) {
			if x.open == nil {
				return
			}
			a := *x.open
			x.open = nil
			m.done(a, o)
			o.Result = []byte(fmt.Sprint(a.Seq))
			if x.Done(&o); x.Recorded() {
				x.unrecorded = 0
			} else {
				x.unrecorded++
				kept++
			}
			for i := range o.Result {
				o.Result[i] = '?' // the instance reuses it
			}
			switch {
			case o.Class == event.ClassCancelled:
				if m.open && m.probe == a.Seq {
					m.probe, probed = 0, true
				}
			case m.open && m.probe != a.Seq:
			case !against(o):
				m.failures, m.open, m.probe = nil, false, 0
			default:
				m.failures, m.probe = append(m.failures, a.Seq), 0
				different := slices.ContainsFunc(m.failures, func(seq uint64) bool { return seq != m.failures[0] })
				m.open = policy.Breaker.Failures > 0 && different && len(m.failures) >= policy.Breaker.Failures
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"publish": func(t *rapid.T) {
				for range rapid.IntRange(1, 40).Draw(t, "events") {
					subject := subjects.Draw(t, "key")
					m.add(subject)
					l.publish(t, subject)
				}
				// Some are read before what follows: only a deep backlog is dealt several at once.
				want := uint64(min(40, len(m.subjects)-len(m.final)))
				for end := time.Now().Add(testTimeout); h.Stats().Open < want; runtime.Gosched() {
					if time.Now().After(end) {
						t.Fatalf("it has %d events, want %d", h.Stats().Open, want)
					}
				}
			},
			"begin": func(t *rapid.T) { begins(t, leases[rapid.IntRange(0, 2).Draw(t, "lease")]) },
			"end": func(t *rapid.T) {
				ends(leases[rapid.IntRange(0, 2).Draw(t, "lease")], rapid.SampledFrom(outcomes).Draw(t, "outcome"))
			},
			"go on": func(t *rapid.T) {
				x := leases[rapid.IntRange(0, 2).Draw(t, "lease")]
				for range rapid.IntRange(1, 6).Draw(t, "successes") {
					begins(t, x)
					ends(x, event.Outcome{})
				}
			},
			"flush": func(t *rapid.T) {
				x := leases[rapid.IntRange(0, 2).Draw(t, "lease")]
				x.Flush()
				x.unrecorded = 0
			},
			"end and come back": func(t *rapid.T) {
				i := rapid.IntRange(0, 2).Draw(t, "lease")
				if leases[i].open == nil {
					leases[i].Close()
					leases[i] = &testInstance{Lease: h.Lease()}
				}
			},
			"pause": func(t *rapid.T) {
				policy.Paused = rapid.Bool().Draw(t, "paused")
				m.paused = policy.Paused
				h.Update(policy)
			},
			"probe": func(t *rapid.T) {
				if m.open && m.probe == 0 {
					h.Probe()
					probed = true
				}
			},
			"": func(t *rapid.T) {
				want := delivery.Condition{}.State
				if m.open {
					want = "breaker_open"
				}
				if m.paused {
					want = "paused"
				}
				if got := h.Condition().State; got != want {
					t.Fatalf("the condition is %q, want %q", got, want)
				}
				minLag := len(m.subjects) - len(m.final)
				maxLag := minLag + leases[0].unrecorded + leases[1].unrecorded + leases[2].unrecorded
				if lag := int(h.Stats().Lag); lag < minLag || lag > maxLag {
					t.Fatalf("lag %d; %d are not final, and %d are not recorded", lag, minLag, maxLag-minLag)
				}
				for range 3 { // that many events, anywhere
					if len(m.subjects) == 0 {
						break
					}
					seq := uint64(rand.IntN(len(m.subjects)) + 1)
					list, err := d.Deliveries(t.Context(), l.at(int(seq)))
					if err != nil || len(list) != 1 {
						t.Fatalf("Deliveries: %v, %v", list, err)
					}
					begun := m.flying[m.key(seq)] == seq
					switch got := list[0].Status; {
					case begun != (got == "delivering") && m.final[seq] != event.StatusOK,
						m.final[seq] == event.StatusOK && got != "ok" && (maxLag == minLag || got != "delivering"):
						t.Fatalf("event %d is shown as %s; begun: %v, final: %q, not recorded: %d", seq, got, begun, m.final[seq], maxLag-minLag)
					}
				}
				if wrong := h.Inconsistency(leases[0].Lease, leases[1].Lease, leases[2].Lease); wrong != "" {
					t.Fatal(wrong)
				}
				s.mu.Lock()
				defer s.mu.Unlock()
				if s.wrong != "" {
					t.Fatal(s.wrong)
				}
			},
		})
		for _, x := range leases {
			if x.open != nil {
				m.done(*x.open, event.Outcome{})
				o := event.Outcome{Result: []byte(fmt.Sprint(x.open.Seq))}
				x.Done(&o)
			}
			x.Close()
		}
		policy.Paused, policy.Breaker = false, spec.BreakerPolicy{}
		h.Update(policy)
		x := h.Lease()
		ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
		defer cancel()
		for len(m.final) < len(m.subjects) {
			taken, ok := x.NextBuffered()
			if !ok {
				taken, ok = x.Next(ctx.Done(), nil)
			}
			if !ok {
				t.Fatalf("%d of %d are final, and no attempt is ready", len(m.final), len(m.subjects))
			}
			if wrong := m.taken(taken.Attempt); wrong != "" {
				t.Fatal(wrong)
			}
			o := event.Outcome{Result: []byte(fmt.Sprint(taken.Seq))}
			m.done(taken.Attempt, o)
			x.Done(&o)
		}
		x.Close()
		s.await(t, "everything final", func() bool { return s.finals("h") == len(m.subjects) })
		s.mu.Lock()
		defer s.mu.Unlock()
		if wrong := m.stored(s.deliveries); wrong != "" {
			t.Fatal(wrong)
		}
		for k, d := range s.deliveries {
			if want := fmt.Sprint(k.seq); d.Status == event.StatusOK && (d.Result != want || d.At.IsZero() || d.FirstAttempt.IsZero()) {
				t.Fatalf("event %d has %+v, want the result %s", k.seq, d, want)
			}
		}
	})
	t.Log(kept, "successes were handed in later")
	if kept == 0 {
		t.Error("no success was ever buffered")
	}
}

// deep opens a handler with enough events, of different keys, that a lease acquires several,
// and two leases of it.
func deep(t *testing.T, policy delivery.Policy) (f fixture, h *handler, a, b *delivery.Lease) {
	t.Helper()
	f = setUp(t)
	h = f.open(t, "h", policy)
	a, b = h.Lease(), h.Lease()
	for i := range 64 {
		f.log.publish(t, fmt.Sprint("o-", i))
	}
	f.awaitOpen(t, h, 64)
	if _, ok := begin(a); !ok {
		t.Fatal("no attempt")
	}
	return f, h, a, b
}

// awaitOpen waits until the handler has read so many events.
func (f fixture) awaitOpen(t *testing.T, h *handler, want uint64) {
	t.Helper()
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	for end := time.Now().Add(testTimeout); h.Stats().Open != want; <-look.C {
		if time.Now().After(end) {
			t.Fatalf("it has %d events, want %d", h.Stats().Open, want)
		}
	}
}

// TestLeaseReturnsUnstartedAttempts: when its attempt runs long, and when it is revoked.
func TestLeaseReturnsUnstartedAttempts(t *testing.T) {
	ok := &event.Outcome{}
	tests := map[string]func(t *testing.T, h *handler, a, b *delivery.Lease){
		"its attempt runs long": func(t *testing.T, _ *handler, a, b *delivery.Lease) {
			a.Flush()
			for n := 63; n > 0; n-- { // all but the open one of a
				if _, ok := begin(b); !ok {
					t.Fatalf("%d are left, and b gets none of them", n)
				}
				b.Done(ok)
			}
			if _, ok := begin(b); ok {
				t.Error("b got the open attempt of a")
			}
		},
		"another finds nothing": func(t *testing.T, _ *handler, a, b *delivery.Lease) {
			for {
				if _, ok := begin(b); !ok {
					break // it has looked, in vain
				}
				b.Done(ok)
			}
			a.Done(ok)
			if _, is := a.NextBuffered(); is {
				t.Error("a has started a revoked attempt")
			}
			if _, is := begin(b); !is {
				t.Error("b got nothing")
			}
			b.Done(ok)
		},
		"a pause": func(t *testing.T, h *handler, a, b *delivery.Lease) {
			h.Update(delivery.Policy{Key: bySubject, Paused: true})
			a.Done(ok)
			if _, is := begin(a); is {
				t.Error("an attempt has started")
			}
			if h.Update(delivery.Policy{Key: bySubject}); h.Stats().Delivered != 1 {
				t.Errorf("got %+v", h.Stats())
			}
		},
		"a breaker that opens": func(t *testing.T, _ *handler, a, b *delivery.Lease) {
			for range 2 {
				begin(b)
				o := trap()
				b.Done(&o)
			}
			a.Done(ok)
			if _, is := begin(a); is {
				t.Error("an attempt has started")
			}
		},
		"a success after a failure": func(t *testing.T, h *handler, a, b *delivery.Lease) {
			a.Flush()
			a.Done(ok)
			fail := func() {
				begin(b)
				o := trap()
				b.Done(&o)
			}
			fail()
			begin(a)
			a.Done(ok) // recorded at once: the failures are not in a row
			fail()
			if c := h.Condition(); c.State != "" {
				t.Errorf("got %+v", c)
			}
		},
		"its instance ends": func(t *testing.T, h *handler, a, b *delivery.Lease) {
			a.Done(ok)
			a.NextBuffered()
			a.Done(ok)
			a.Close()
			if got := h.Stats(); got.Delivered != 2 || got.Open != 62 {
				t.Errorf("got %+v", got)
			}
			for range 62 {
				if _, is := begin(b); !is {
					t.Fatal("b did not get them all")
				}
				b.Done(ok)
			}
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			policy := delivery.Policy{Key: bySubject, Breaker: spec.BreakerPolicy{Failures: 2, Cooldown: time.Hour}}
			f, h, a, b := deep(t, policy)
			delivering := 0
			for seq := range 64 {
				list, err := f.d.Deliveries(t.Context(), f.log.at(seq+1))
				if err != nil || len(list) != 1 {
					t.Fatalf("got %v, %v", list, err)
				}
				if list[0].Status == "delivering" {
					delivering++
				}
			}
			if delivering != 1 {
				t.Errorf("%d are delivering, want 1: the others have not started", delivering)
			}
			test(t, h, a, b)
		})
	}
}

// TestLeasesHammer is TestHammer with leases: workers that flush now and then, publishers,
// pauses, a breaker that opens and probes by itself, and readers of the figures.
func TestLeasesHammer(t *testing.T) {
	const events, keys = 4000, 40
	f := setUp(t)
	f.store.took = func(uint64) bool { return false } // successes may be left out
	policy := delivery.Policy{
		Key:     bySubject,
		Retry:   spec.RetryPolicy{MaxAttempts: 3, Backoff: time.Microsecond, MaxBackoff: 100 * time.Microsecond},
		Breaker: spec.BreakerPolicy{Failures: 4, Cooldown: time.Microsecond, MaxCooldown: 50 * time.Microsecond},
	}
	h := f.open(t, "h", policy)
	m := newModel(policy.Retry.MaxAttempts, policy.Breaker)
	for i := range events {
		m.add([]string{"", fmt.Sprint(i % keys)}[i%2])
	}
	var wrong []string
	quit := make(chan struct{})
	finished := make(chan struct{})
	var workers, others sync.WaitGroup
	for range 4 {
		workers.Go(func() {
			x := h.Lease()
			defer x.Close()
			for n := 0; ; n++ {
				taken, ok := x.NextBuffered()
				if !ok {
					if taken, ok = x.Next(quit, nil); !ok {
						return
					}
				}
				o := outcomes[0]
				if n%50 >= 40 { // successes for a while, then anything
					o = outcomes[rand.IntN(len(outcomes))]
				}
				if rand.IntN(20) == 0 {
					x.Flush()
				}
				m.mu.Lock()
				if w := m.taken(taken.Attempt); w != "" {
					wrong = append(wrong, w)
				}
				m.done(taken.Attempt, o)
				all := len(m.final) == events && o.Class != event.ClassCancelled
				m.mu.Unlock()
				x.Done(&o)
				if all {
					close(finished)
				}
			}
		})
	}
	others.Go(func() {
		for _, subject := range m.subjects {
			f.log.publish(t, subject)
		}
	})
	others.Go(func() { disturb(t, f, h, policy, quit, func() int { return 1 + rand.IntN(events) }) })
	select {
	case <-finished:
	case <-time.After(testTimeout):
		t.Errorf("not all became final: %+v", h.Stats())
	}
	close(quit)
	workers.Wait()
	others.Wait()
	if len(wrong) > 0 {
		t.Error(strings.Join(wrong[:min(5, len(wrong))], "\n"))
	}
	s := h.Stats()
	if err := h.Close(t.Context()); err != nil { // writes what there is
		t.Fatal(err)
	}
	if s.Lag != 0 {
		t.Errorf("got %+v", s)
	}
	f.store.mu.Lock()
	defer f.store.mu.Unlock()
	if f.store.cursors["handler/h"] != events || f.store.wrong != "" {
		t.Errorf("the cursor is at %d, want %d: %s", f.store.cursors["handler/h"], events, f.store.wrong)
	}
	for seq, status := range m.final {
		d, kept := f.store.deliveries[key{"h", seq}]
		if kept && (d.Status != status || d.Attempts != m.attempts[seq]) || !kept && (status != event.StatusOK || m.attempts[seq] != 1) {
			t.Fatalf("event %d is %+v, want %s after %d attempts", seq, d, status, m.attempts[seq])
		}
	}
}
