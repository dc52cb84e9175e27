package delivery_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/berth-host/berth/host/delivery"
	"github.com/berth-host/berth/host/delivery/fair"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/wire"
)

// model is the expected state of a handler. Its methods return what is wrong.
type model struct {
	mu          sync.Mutex
	maxAttempts int
	subjects    []string
	waiting     map[string][]uint64 // the events of a key that are not final, in order
	attempts    map[uint64]int      // made and counted
	final       map[uint64]event.Status
	flying      map[string]uint64 // the event of a key that is in flight; keyless ones have a key of their own
	breaker     spec.BreakerPolicy
	failures    []uint64 // the failed events in a row
	open        bool     // the breaker
	probe       uint64
	probed      bool // Probe was called, and no attempt has started since
	paused      bool
}

func newModel(maxAttempts int, b spec.BreakerPolicy) *model {
	return &model{maxAttempts: maxAttempts, breaker: b, waiting: make(map[string][]uint64), attempts: make(map[uint64]int),
		final: make(map[uint64]event.Status), flying: make(map[string]uint64)}
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
		return fmt.Sprintf("%d was started though it is %s", a.Seq, m.final[a.Seq])
	}
	if a.Number != m.attempts[a.Seq]+1 || a.Number > m.maxAttempts {
		return fmt.Sprintf("attempt %d of %d; %d were made, and %d may be", a.Number, a.Seq, m.attempts[a.Seq], m.maxAttempts)
	}
	if first := m.waiting[key][0]; first != a.Seq {
		return fmt.Sprintf("%d was started before %d, which is not final", a.Seq, first)
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

// starts is taken for a handler whose breaker only probes after Probe.
func (m *model) starts(a event.Attempt) string {
	switch {
	case m.paused:
		return fmt.Sprintf("%d started while the handler is paused", a.Seq)
	case m.open && (!m.probed || m.probe != 0):
		return fmt.Sprintf("%d started while the breaker is open", a.Seq)
	case m.open:
		m.probe, m.probed = a.Seq, false
	}
	return m.taken(a)
}

// skipped notes that an event was skipped.
func (m *model) skipped(seq uint64) {
	m.final[seq] = event.StatusDead
	key := m.key(seq)
	m.waiting[key] = slices.DeleteFunc(m.waiting[key], func(other uint64) bool { return other == seq })
}

// ends is done with the effect of the outcome on the breaker.
func (m *model) ends(a event.Attempt, o event.Outcome) {
	m.done(a, o)
	switch {
	case o.Class == event.ClassCancelled:
		if m.open && m.probe == a.Seq {
			m.probe, m.probed = 0, true
		}
	case m.open && m.probe != a.Seq:
	case !against(o):
		m.failures, m.open, m.probe = nil, false, 0
	default:
		m.failures, m.probe = append(m.failures, a.Seq), 0
		different := slices.ContainsFunc(m.failures, func(seq uint64) bool { return seq != m.failures[0] })
		m.open = m.breaker.Failures > 0 && different && len(m.failures) >= m.breaker.Failures
	}
}

// condition is the expected state of the condition.
func (m *model) condition() wire.PluginState {
	switch {
	case m.paused:
		return wire.Paused
	case m.open:
		return wire.BreakerOpen
	}
	return ""
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

// modelled is a handler with its model.
type modelled struct {
	*model
	log    *log
	store  *store
	d      *delivery.Dispatcher
	h      *handler
	policy delivery.Policy
}

// newModelled opens a handler with random limits.
func newModelled(t *rapid.T) modelled {
	m := modelled{log: newLog(), store: newStore()}
	m.d = delivery.New(delivery.Config{Store: m.store, Log: m.log})
	m.policy = delivery.Policy{
		Key:     bySubject,
		Retry:   spec.RetryPolicy{MaxAttempts: rapid.IntRange(1, 4).Draw(t, "attempts")},
		Breaker: spec.BreakerPolicy{Failures: rapid.IntRange(0, 4).Draw(t, "failures"), Cooldown: time.Hour, MaxCooldown: time.Hour},
	}
	m.policy.Retry.Backoff = rapid.SampledFrom([]time.Duration{time.Nanosecond, time.Nanosecond, time.Hour}).Draw(t, "backoff")
	m.policy.Retry.MaxBackoff = m.policy.Retry.Backoff
	m.policy.Fair = sharing(t)
	m.h = open(t, m.d, "h", m.policy)
	m.model = newModel(m.policy.Retry.MaxAttempts, m.policy.Breaker)
	return m
}

func (m *modelled) publish(t *rapid.T, subject string) {
	m.add(subject)
	m.log.publish(t, subject)
}

func (m *modelled) pause(t *rapid.T) {
	m.paused = rapid.Bool().Draw(t, "paused")
	m.policy.Paused = m.paused
	m.h.Update(m.policy)
}

// share changes among which values events are shared.
func (m *modelled) share(t *rapid.T) {
	m.policy.Fair = sharing(t)
	m.h.Update(m.policy)
}

// sharing returns a policy with values that the events of a key have in common, or not, and a
// window that is too small for them; or none.
func sharing(t *rapid.T) *fair.Policy {
	p := &fair.Policy{By: rapid.SampledFrom([]string{"", "/one", "/key", "/id"}).Draw(t, "fair by"),
		Weights: map[string]int{"a": 2, "1": 3}, Window: rapid.SampledFrom([]int{1, 8, 32}).Draw(t, "window")}
	switch p.By {
	case "":
		return nil
	case "/one":
		p.Value = func(*event.Event) string { return "" }
	case "/key":
		p.Value = bySubject
	default:
		p.Value = byID
	}
	return p
}

// byID is one of four values, which the events of a key do not have in common.
func byID(ev *event.Event) string { return string(ev.ID()[len(ev.ID())-1]&3 + '0') }

func (m *modelled) probeBreaker(*rapid.T) {
	if m.open && m.probe == 0 {
		m.h.Probe()
		m.probed = true
	}
}

// skip skips an event. It is refused while an attempt is under way, and when it is final.
// leased reports whether a lease may have the event without having started it.
func (m *modelled) skip(t *rapid.T, leased bool) {
	if len(m.subjects) == 0 {
		return
	}
	seq := uint64(rapid.IntRange(1, len(m.subjects)).Draw(t, "seq"))
	err := m.d.SkipEvent(t.Context(), "h", seq)
	can := m.final[seq] == "" && m.flying[m.key(seq)] != seq
	switch {
	case err == nil && can:
		m.skipped(seq)
	case err == nil || !fault.Is(err, fault.Conflict) || can && !leased:
		t.Fatalf("skip %d, which is %q: %v", seq, m.final[seq], err)
	}
}

// retryNow makes all retries due.
func (m *modelled) retryNow(t *rapid.T) {
	if m.open && m.probe != 0 {
		return // the model has no probe that follows another one
	}
	var seqs []uint64
	for i := range m.subjects {
		if seq := uint64(i + 1); m.final[seq] == "" {
			seqs = append(seqs, seq)
		}
	}
	waits := 0
	for _, seq := range seqs {
		if m.attempts[seq] > 0 && m.flying[m.key(seq)] != seq {
			waits++
		}
	}
	n, err := m.d.RetryNow(t.Context(), "h", seqs)
	if err != nil || n > waits {
		t.Fatalf("retried %d of %d: %v", n, waits, err)
	}
	m.probed = m.probed || m.open
}

func (m *modelled) checkCondition(t *rapid.T) {
	if got, want := m.h.Condition().State, m.condition(); got != want {
		t.Fatalf("the condition is %q, want %q", got, want)
	}
}

// checkStore reports an error that the store has found.
func (m *modelled) checkStore(t *rapid.T) {
	m.store.mu.Lock()
	defer m.store.mu.Unlock()
	if m.store.wrong != "" {
		t.Fatal(m.store.wrong)
	}
}

// resume removes the pause and the breaker.
func (m *modelled) resume() {
	m.policy.Paused, m.policy.Breaker, m.paused, m.open = false, spec.BreakerPolicy{}, false, false
	m.h.Update(m.policy)
}

// awaitStored waits until all events are final in the store, and compares them with the
// model.
func (m *modelled) awaitStored(t *rapid.T) {
	m.store.await(t, "everything final", func() bool { return m.store.finals("h") == len(m.subjects) })
	m.store.mu.Lock()
	defer m.store.mu.Unlock()
	if wrong := m.stored(m.store.deliveries); wrong != "" {
		t.Fatal(wrong)
	}
}

// attempts are the open attempts of a handler without leases, with its model.
type attempts struct {
	modelled
	flying []event.Attempt
}

// TestHandlerAgainstAModel drives one handler step by step: events, attempts that end in any
// order and any way, pauses, and a breaker that is open until Probe is called.
func TestHandlerAgainstAModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &attempts{modelled: newModelled(t)}
		defer m.d.Close(context.Background())
		t.Repeat(map[string]func(*rapid.T){
			"publish": func(t *rapid.T) { m.publish(t, rapid.SampledFrom([]string{"", "a", "b", "c"}).Draw(t, "key")) },
			"take":    m.take,
			"finish":  m.finish,
			"skip":    func(t *rapid.T) { m.skip(t, false) },
			"retry":   m.retryNow,
			"share":   m.share,
			"pause":   m.pause,
			"probe":   m.probeBreaker,
			"":        m.check,
		})
		m.resume()
		m.completeAll(t)
		m.awaitStored(t)
	})
}

func (m *attempts) take(t *rapid.T) {
	a, ok := m.h.TryNext()
	if !ok {
		return
	}
	if wrong := m.starts(a); wrong != "" {
		t.Fatal(wrong)
	}
	m.flying = append(m.flying, a)
}

func (m *attempts) finish(t *rapid.T) {
	if len(m.flying) == 0 {
		return
	}
	i, o := rapid.IntRange(0, len(m.flying)-1).Draw(t, "which"), rapid.SampledFrom(outcomes).Draw(t, "outcome")
	a := m.flying[i]
	m.flying = slices.Delete(m.flying, i, i+1)
	m.ends(a, o)
	m.h.Done(a, o)
	m.checkCondition(t)
}

func (m *attempts) check(t *rapid.T) {
	m.checkStore(t)
	if wrong := m.h.Inconsistency(); wrong != "" && len(m.flying) == 0 { // attempts without a lease are not counted
		t.Fatal(wrong)
	}
	if lag := m.h.Stats().Lag; lag != uint64(len(m.subjects)-len(m.final)) {
		t.Fatalf("lag %d; %d of %d are final", lag, len(m.final), len(m.subjects))
	}
}

// completeAll completes every event.
func (m *attempts) completeAll(t *rapid.T) {
	for _, a := range m.flying {
		m.h.Done(a, event.Outcome{})
		m.done(a, event.Outcome{})
	}
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	defer cancel()
	for len(m.final) < len(m.subjects) {
		m.retryNow(t)
		a, ok := m.h.Next(ctx.Done(), nil)
		if !ok {
			t.Fatalf("%d of %d are final, and no attempt is ready", len(m.final), len(m.subjects))
		}
		if wrong := m.taken(a.Attempt); wrong != "" {
			t.Fatal(wrong)
		}
		m.done(a.Attempt, event.Outcome{})
		m.h.Done(a.Attempt, event.Outcome{})
	}
}
