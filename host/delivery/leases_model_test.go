package delivery_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/berth-host/berth/host/delivery"
	"github.com/berth-host/berth/host/event"
)

// leases are three leases of a handler, with its model.
type leases struct {
	modelled
	list     []*testInstance
	buffered int // successes that were recorded later
}

// TestLeasesAgainstAModel drives three leases step by step, with a backlog of varying depth:
// attempts start, end in any way and run long, while events are published, the handler is
// paused, and a breaker opens until Probe is called.
func TestLeasesAgainstAModel(t *testing.T) {
	buffered := 0
	rapid.Check(t, func(t *rapid.T) {
		m := &leases{modelled: newModelled(t)}
		defer m.d.Close(context.Background())
		for range 3 {
			m.list = append(m.list, &testInstance{Lease: m.h.Lease()})
		}
		t.Repeat(map[string]func(*rapid.T){
			"publish": m.publishMany,
			"begin":   func(t *rapid.T) { m.begin(t, m.pick(t)) },
			"end":     func(t *rapid.T) { m.end(m.pick(t), rapid.SampledFrom(outcomes).Draw(t, "outcome")) },
			"go on": func(t *rapid.T) {
				x := m.pick(t)
				for range rapid.IntRange(1, 6).Draw(t, "successes") {
					m.begin(t, x)
					m.end(x, event.Outcome{})
				}
			},
			"flush": func(t *rapid.T) {
				x := m.pick(t)
				x.Flush()
				x.unrecorded = 0
			},
			"replace": func(t *rapid.T) {
				if x := m.pick(t); x.open == nil {
					x.Close()
					*x = testInstance{Lease: m.h.Lease()}
				}
			},
			"skip":  func(t *rapid.T) { m.skip(t, true) },
			"retry": m.retryNow,
			"pause": m.pause,
			"probe": m.probeBreaker,
			"":      m.check,
		})
		m.closeAll()
		m.resume()
		m.completeAll(t)
		m.awaitStored(t)
		m.checkResults(t)
		buffered += m.buffered
	})
	t.Log(buffered, "successes were buffered")
	if buffered == 0 && !testing.Short() { // in few runs that is chance
		t.Error("no success was ever buffered")
	}
}

func (m *leases) pick(t *rapid.T) *testInstance {
	return m.list[rapid.IntRange(0, 2).Draw(t, "lease")]
}

// publishMany publishes events and waits until some are read, because a lease acquires
// several attempts only from a deep backlog.
func (m *leases) publishMany(t *rapid.T) {
	subjects := rapid.SampledFrom([]string{"", "", "", "a", "b", "c"})
	for range rapid.IntRange(1, 40).Draw(t, "events") {
		m.publish(t, subjects.Draw(t, "key"))
	}
	want := uint64(min(40, len(m.subjects)-len(m.final)))
	for end := time.Now().Add(testTimeout); m.h.Stats().Open < want; runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatalf("it has %d events, want %d", m.h.Stats().Open, want)
		}
	}
}

func (m *leases) begin(t *rapid.T, x *testInstance) {
	if x.open != nil {
		return
	}
	a, ok := begin(x.Lease)
	if !ok {
		x.unrecorded = 0 // Next has flushed it
		return
	}
	if wrong := m.starts(a); wrong != "" {
		t.Fatal(wrong)
	}
	x.open = &a
}

func (m *leases) end(x *testInstance, o event.Outcome) {
	if x.open == nil {
		return
	}
	a := *x.open
	x.open = nil
	m.ends(a, o)
	o.Result = []byte(fmt.Sprint(a.Seq))
	if x.Done(&o); x.Recorded() {
		x.unrecorded = 0
	} else {
		x.unrecorded++
		m.buffered++
	}
	for i := range o.Result {
		o.Result[i] = '?' // the instance reuses it
	}
}

func (m *leases) check(t *rapid.T) {
	m.checkCondition(t)
	minLag := len(m.subjects) - len(m.final)
	maxLag := minLag + m.list[0].unrecorded + m.list[1].unrecorded + m.list[2].unrecorded
	if lag := int(m.h.Stats().Lag); lag < minLag || lag > maxLag {
		t.Fatalf("lag %d; %d are not final, and %d are not recorded", lag, minLag, maxLag-minLag)
	}
	for range min(3, len(m.subjects)) {
		m.checkStatus(t, uint64(rand.IntN(len(m.subjects))+1), maxLag-minLag)
	}
	if wrong := m.h.Inconsistency(m.list[0].Lease, m.list[1].Lease, m.list[2].Lease); wrong != "" {
		t.Fatal(wrong)
	}
	m.checkStore(t)
}

// checkStatus compares the shown status of an event with the model.
func (m *leases) checkStatus(t *rapid.T, seq uint64, unrecorded int) {
	list, err := m.d.Deliveries(t.Context(), m.log.at(int(seq)))
	if err != nil || len(list) != 1 {
		t.Fatalf("Deliveries: %v, %v", list, err)
	}
	begun := m.flying[m.key(seq)] == seq
	switch got := list[0].Status; {
	case begun != (got == "delivering") && m.final[seq] != event.StatusOK,
		m.final[seq] == event.StatusOK && got != "ok" && (unrecorded == 0 || got != "delivering"):
		t.Fatalf("event %d is shown as %s; begun: %v, final: %q, not recorded: %d", seq, got, begun, m.final[seq], unrecorded)
	}
}

// closeAll completes the open attempts and closes the leases.
func (m *leases) closeAll() {
	for _, x := range m.list {
		if x.open != nil {
			m.complete(x.Lease, *x.open)
		}
		x.Close()
	}
}

func (m *leases) complete(x *delivery.Lease, a event.Attempt) {
	o := event.Outcome{Result: []byte(fmt.Sprint(a.Seq))}
	m.done(a, o)
	x.Done(&o)
}

// completeAll completes every event through another lease.
func (m *leases) completeAll(t *rapid.T) {
	x := m.h.Lease()
	defer x.Close()
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	defer cancel()
	for len(m.final) < len(m.subjects) {
		taken, ok := x.NextBuffered()
		if !ok {
			m.retryNow(t)
			taken, ok = x.Next(ctx.Done(), nil)
		}
		if !ok {
			t.Fatalf("%d of %d are final, and no attempt is ready", len(m.final), len(m.subjects))
		}
		if wrong := m.taken(taken.Attempt); wrong != "" {
			t.Fatal(wrong)
		}
		m.complete(x, taken.Attempt)
	}
}

// checkResults checks that each success is stored with its own result and times.
func (m *leases) checkResults(t *rapid.T) {
	m.store.mu.Lock()
	defer m.store.mu.Unlock()
	for k, d := range m.store.deliveries {
		if want := fmt.Sprint(k.seq); d.Status == event.StatusOK && (d.Result != want || d.At.IsZero() || d.FirstAttempt.IsZero()) {
			t.Fatalf("event %d has %+v, want the result %s", k.seq, d, want)
		}
	}
}
