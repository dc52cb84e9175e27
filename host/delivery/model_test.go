package delivery_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/berth-host/berth/host/delivery"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/spec"
)

// model is the expected state of a handler. Its methods return what is wrong.
type model struct {
	mu          sync.Mutex
	maxAttempts int // attempts
	subjects    []string
	waiting     map[string][]uint64 // the events of a key that are not final, in order
	attempts    map[uint64]int      // made and counted
	final       map[uint64]event.Status
	flying      map[string]uint64 // the event of a key that is in flight; keyless ones have a key of their own
	breaker     spec.BreakerPolicy
	failures    []uint64 // the failed events in a row
	open        bool     // the breaker
	probe       uint64
	paused      bool
}

func newModel(maxAttempts int, b spec.BreakerPolicy) *model {
	return &model{maxAttempts: maxAttempts, breaker: b, waiting: make(map[string][]uint64), attempts: make(map[uint64]int), final: make(map[uint64]event.Status), flying: make(map[string]uint64)}
}

// add notes the next event.
func (m *model) add(subject string) {
	m.subjects = append(m.subjects, subject)
	seq := uint64(len(m.subjects))
	m.waiting[m.key(seq)] = append(m.waiting[m.key(seq)], seq)
}

func (m *model) key(seq uint64) string {
	if s := m.subjects[seq-1]; s != "" {
		return s
	}
	return fmt.Sprint("seq ", seq)
}

// taken checks an attempt that was started.
func (m *model) taken(a event.Attempt) string {
	key := m.key(a.Seq)
	if other, busy := m.flying[key]; busy {
		return fmt.Sprintf("%d was started while %d of the same key is in flight", a.Seq, other)
	}
	if m.final[a.Seq] != "" {
		return fmt.Sprintf("%d was handed out though it is %s", a.Seq, m.final[a.Seq])
	}
	if a.Number != m.attempts[a.Seq]+1 || a.Number > m.maxAttempts {
		return fmt.Sprintf("attempt %d of %d; %d were made, and %d may be", a.Number, a.Seq, m.attempts[a.Seq], m.maxAttempts)
	}
	if first := m.waiting[key][0]; first != a.Seq {
		return fmt.Sprintf("%d was handed out before %d, which is not final", a.Seq, first)
	}
	m.flying[key] = a.Seq
	return ""
}

// done notes how an attempt ended.
func (m *model) done(a event.Attempt, o event.Outcome) {
	delete(m.flying, m.key(a.Seq))
	if o.Class == event.ClassCancelled {
		return
	}
	m.attempts[a.Seq]++
	switch {
	case o.Verdict == event.OK:
		m.final[a.Seq] = event.StatusOK
	case o.Verdict == event.Reject || m.attempts[a.Seq] == m.maxAttempts:
		m.final[a.Seq] = event.StatusDead
	}
	if key := m.key(a.Seq); m.final[a.Seq] != "" {
		m.waiting[key] = m.waiting[key][1:]
	}
}

// stored compares the stored deliveries with the model.
func (m *model) stored(deliveries map[key]event.Delivery) string {
	for i := range m.subjects {
		seq := uint64(i + 1)
		d := deliveries[key{"h", seq}]
		if d.Status != m.final[seq] || d.Attempts != m.attempts[seq] || d.Attempts > m.maxAttempts {
			return fmt.Sprintf("event %d is %s after %d attempts, want %s after %d", seq, d.Status, d.Attempts, m.final[seq], m.attempts[seq])
		}
	}
	return ""
}

var outcomes = []event.Outcome{
	{}, {}, {},
	{Verdict: event.Retry, Class: event.ClassRetry},
	{Verdict: event.Reject, Class: event.ClassRejected},
	{Verdict: event.Failed, Class: event.ClassTrap},
	{Verdict: event.Failed, Class: event.ClassTimeout},
	{Verdict: event.Failed, Class: event.ClassBadResult},
	{Verdict: event.Failed, Class: event.ClassCancelled},
}

// against reports whether an outcome counts against the handler.
func against(o event.Outcome) bool {
	return slices.Contains([]event.Class{event.ClassTrap, event.ClassTimeout, event.ClassFuel, event.ClassMemory, event.ClassExit}, o.Class)
}

// TestHandlerAgainstAModel drives one handler step by step: events, attempts that end in any
// order and any way, pauses, and a breaker that is open until Probe is called.
func TestHandlerAgainstAModel(t *testing.T) {
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
		var flying []event.Attempt
		probed := false // Probe was called, and no attempt has begun since
		took := func(a event.Attempt) {
			switch {
			case m.paused:
				t.Fatalf("%d was started while the handler is paused", a.Seq)
			case m.open && (!probed || m.probe != 0):
				t.Fatalf("%d was started while the breaker is open", a.Seq)
			case m.open:
				m.probe, probed = a.Seq, false
			}
			if wrong := m.taken(a); wrong != "" {
				t.Fatal(wrong)
			}
			flying = append(flying, a)
		}
		finish := func(i int, o event.Outcome) {
			a := flying[i]
			flying = slices.Delete(flying, i, i+1)
			m.done(a, o)
			h.Done(a, o)
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
		}
		t.Repeat(map[string]func(*rapid.T){
			"publish": func(t *rapid.T) {
				subject := rapid.SampledFrom([]string{"", "a", "b", "c"}).Draw(t, "key")
				m.add(subject)
				l.publish(t, subject)
			},
			"take": func(t *rapid.T) {
				if a, ok := h.TryNext(); ok {
					took(a)
				}
			},
			"finish": func(t *rapid.T) {
				if len(flying) > 0 {
					finish(rapid.IntRange(0, len(flying)-1).Draw(t, "which"), rapid.SampledFrom(outcomes).Draw(t, "outcome"))
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
				s.mu.Lock()
				defer s.mu.Unlock()
				if s.wrong != "" {
					t.Fatal(s.wrong)
				}
				if lag := h.Stats().Lag; lag != uint64(len(m.subjects)-len(m.final)) {
					t.Fatalf("lag %d; %d of %d are final", lag, len(m.final), len(m.subjects))
				}
			},
		})
		policy.Paused, policy.Breaker, m.paused, m.open = false, spec.BreakerPolicy{}, false, false
		h.Update(policy)
		for len(flying) > 0 {
			h.Done(flying[0], event.Outcome{})
			m.done(flying[0], event.Outcome{})
			flying = flying[1:]
		}
		ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
		defer cancel()
		for len(m.final) < len(m.subjects) {
			a, ok := h.Next(ctx.Done(), nil)
			if !ok {
				t.Fatalf("%d of %d are final, and no attempt is ready", len(m.final), len(m.subjects))
			}
			if wrong := m.taken(a.Attempt); wrong != "" {
				t.Fatal(wrong)
			}
			m.done(a.Attempt, event.Outcome{})
			h.Done(a.Attempt, event.Outcome{})
		}
		s.await(t, "everything final", func() bool { return s.finals("h") == len(m.subjects) })
		if wrong := m.stored(s.deliveries); wrong != "" {
			t.Fatal(wrong)
		}
	})
}

// TestHammer runs everything at once: workers, publishers, pauses, a breaker that
// opens and probes by itself, and readers of the figures.
func TestHammer(t *testing.T) {
	const events, keys = 3000, 17
	f := setUp(t)
	f.store.took = func(uint64) bool { return false } // successes may be skipped
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
	var wrong string
	done := make(chan struct{})
	quit := make(chan struct{})
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			for {
				a, ok := h.Next(quit, nil)
				if !ok {
					return
				}
				m.mu.Lock()
				if w := m.taken(a.Attempt); w != "" {
					wrong = w
				}
				o := outcomes[rand.IntN(len(outcomes))]
				m.done(a.Attempt, o)
				// In flight until Done begins: from then on the next of the key may come.
				if len(m.final) == events && o.Class != event.ClassCancelled {
					close(done)
				}
				h.Done(a.Attempt, o)
				m.mu.Unlock()
			}
		})
	}
	wg.Go(func() {
		for _, subject := range m.subjects {
			f.log.publish(t, subject)
		}
	})
	wg.Go(func() { disturb(t, f, h, policy, quit, func() int { return 1 }) })
	select {
	case <-done:
	case <-time.After(testTimeout):
		t.Errorf("not all became final: %+v", h.Stats())
	}
	close(quit)
	wg.Wait()
	if wrong != "" {
		t.Error(wrong)
	}
	s := h.Stats()
	if err := h.Close(t.Context()); err != nil { // writes what there is
		t.Fatal(err)
	}
	if s.Lag != 0 || s.Delivered+s.Failed == 0 {
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
