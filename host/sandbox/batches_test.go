package sandbox_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/sandbox"
	"github.com/berth-host/berth/host/spec"
)

// batching is a queue whose leases provide batches.
type batching struct {
	*queue
	batches chan []event.Attempt
	ended   chan []event.Outcome
}

type batchingLease struct {
	single
	of *batching
}

func newBatching() *batching {
	return &batching{newQueue(), make(chan []event.Attempt, 16), make(chan []event.Outcome, 16)}
}

func (b *batching) Lease() sandbox.Lease { return &batchingLease{single{source: b.queue}, b} }

func (l *batchingLease) NextBatch(_ int, _ time.Duration, stop, retire <-chan struct{}) ([]event.Attempt, bool) {
	select {
	case list := <-l.of.batches:
		return list, true
	case <-stop:
	case <-retire:
	}
	return nil, false
}

func (l *batchingLease) DoneBatch(list []event.Outcome) {
	for i := range list {
		list[i].Result = append([]byte(nil), list[i].Result...)
	}
	l.of.ended <- append([]event.Outcome(nil), list...)
}

// batch delivers events with these data together, and returns their outcomes.
func (b *batching) deliver(t testing.TB, data ...string) []event.Outcome {
	t.Helper()
	var list []event.Attempt
	for _, d := range data {
		list = append(list, attempt(t, 1, d))
	}
	b.batches <- list
	select {
	case outcomes := <-b.ended:
		if len(outcomes) != len(data) {
			t.Fatalf("%d outcomes of %d events", len(outcomes), len(data))
		}
		return outcomes
	case <-time.After(testTimeout):
		t.Fatal("no outcome")
		return nil
	}
}

// startBatches starts the guest batch_steps.
func startBatches(t testing.TB, cfg sandbox.PoolConfig) *batching {
	t.Helper()
	b := newBatching()
	cfg.Source, cfg.Batch = b, spec.BatchPolicy{MaxEvents: 100}
	cfg.Capabilities.Emit = func(string) bool { return true }
	p, err := load(t, guest(t, "batch_steps")).NewPool(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Drain(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return b
}

// finishing is the data of an event with which the guest finishes its batch.
func finishing(t testing.TB, text string, emit ...string) string {
	t.Helper()
	data, err := json.Marshal(map[string]any{"finish": text, "emit": emit})
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestBatchHasAResultForEachEvent(t *testing.T) {
	b := startBatches(t, sandbox.PoolConfig{})
	for _, n := range []int{1, 2, 100} {
		var data []string
		for i := range n {
			data = append(data, fmt.Sprintf(`{"n":%d}`, i))
		}
		var fuel uint64
		for i, o := range b.deliver(t, data...) {
			if want := fmt.Sprintf(`{"n":%d,"refused":0}`, i); string(o.Result) != want || o.Verdict != event.OK {
				t.Errorf("event %d of %d: got %s %+v", i, n, o.Result, o)
			}
			fuel += o.Fuel
		}
		if fuel == 0 {
			t.Error("no fuel is reported")
		}
	}
}

func TestBatchFailures(t *testing.T) {
	b := startBatches(t, sandbox.PoolConfig{})
	outcomes := b.deliver(t, finishing(t, `{"failures":[{"index":1,"status":"retry","reason":"later"},{"index":3,"status":"reject"}]}`), `{}`, `{}`, `{}`)
	for i, want := range []event.Outcome{{}, {Verdict: event.Retry, Class: event.ClassRetry, Message: "later"}, {}, {Verdict: event.Reject, Class: event.ClassRejected}} {
		if o := outcomes[i]; o.Verdict != want.Verdict || o.Class != want.Class || o.Message != want.Message {
			t.Errorf("event %d: got %+v", i, o)
		}
	}
}

// TestBatchThatIsRefusedFailsAll: a result that is none of a batch fails all its events when
// the guest goes on, and one that is past a bound traps.
func TestBatchThatIsRefusedFailsAll(t *testing.T) {
	b := startBatches(t, sandbox.PoolConfig{})
	long := `{"results":["` + strings.Repeat("x", 65535) + `",1]}`
	for _, text := range []string{`{"results":[1]}`, `[1,2]`, `{"failures":[{"index":2,"status":"retry"}]}`, long} {
		for i, o := range b.deliver(t, finishing(t, text), `{}`) {
			if o.Verdict != event.Failed || o.Class != event.ClassBadResult || !strings.HasPrefix(o.Message, "its result ") {
				t.Errorf("%.40s, event %d: got %+v", text, i, o)
			}
		}
	}
}

// TestAtomicBatchHasNoFailures: they would split what is committed together.
func TestAtomicBatchHasNoFailures(t *testing.T) {
	b := startBatches(t, sandbox.PoolConfig{State: spec.StateAtomic, Capabilities: sandbox.Capabilities{KV: newMapKV(1 << 20)}})
	for _, o := range b.deliver(t, finishing(t, `{"failures":[{"index":1,"status":"retry"}]}`), `{}`) {
		if o.Verdict != event.Failed || !strings.Contains(o.Message, "state atomic") {
			t.Errorf("got %+v", o)
		}
	}
}

// TestBatchChildren: each has its parent, whose bounds and keys it counts for; those of a
// failed parent are dropped.
func TestBatchChildren(t *testing.T) {
	b := startBatches(t, sandbox.PoolConfig{Name: "p"})
	child := func(parent int) string {
		return fmt.Sprintf(`{"event_type":"child","data":%d,"parent_index":%d}`, parent, parent)
	}
	outcomes := b.deliver(t, finishing(t, `{"failures":[{"index":2,"status":"retry"}]}`, child(1), child(0), child(1), child(2), child(3), `{"event_type":"child","data":0}`), `{}`, `{}`)
	for i, want := range []int{1, 2, 0} {
		if got := len(outcomes[i].Children); got != want {
			t.Errorf("event %d has %d children, want %d", i, got, want)
		}
	}
	for n, c := range outcomes[1].Children {
		m := c.Metadata()
		if want := event.ChildKey("p", m.CausationID, n, ""); m.IdempotencyKey != want || c.Data() != "1" || outcomes[0].Children[0].Metadata().CausationID == m.CausationID {
			t.Errorf("child %d: %+v", n, m)
		}
	}
}

// TestBatchOfAStyleThatCannot: only the loop style takes batches.
func TestBatchOfAStyleThatCannot(t *testing.T) {
	m := load(t, guest(t, "stdio"))
	if _, err := m.NewPool(t.Context(), sandbox.PoolConfig{Source: newQueue(), Batch: spec.BatchPolicy{MaxEvents: 1}}); err == nil || !strings.Contains(err.Error(), "loop style") {
		t.Errorf("got %v", err)
	}
}

// TestLeaseWithoutBatches: its events come alone, in the form of a batch.
func TestLeaseWithoutBatches(t *testing.T) {
	_, q := start(t, load(t, guest(t, "batch_steps")), sandbox.PoolConfig{Batch: spec.BatchPolicy{MaxEvents: 100}})
	q.push(attempt(t, 2, `{"n":7}`))
	if d := q.await(t); d.result != `{"n":7,"refused":0}` {
		t.Errorf("got %s %+v", d.result, d.outcome)
	}
}
