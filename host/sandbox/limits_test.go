package sandbox_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/sandbox"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/testdata/hostile"
)

// TestSpinIsStopped stops a guest that never returns, wherever it spins.
func TestSpinIsStopped(t *testing.T) {
	for _, name := range []string{"spin_before_next", "spin_in_initialize"} {
		m := load(t, guest(t, name))
		_, err := m.NewPool(t.Context(), sandbox.PoolConfig{Source: newQueue(), StartTimeout: 50 * time.Millisecond})
		if !fault.Is(err, fault.Trap) || !strings.Contains(err.Error(), "longer than 50ms") {
			t.Errorf("%s: got %v", name, err)
		}
	}
	m := load(t, guest(t, "spin_before_next"))
	_, err := m.NewPool(t.Context(), sandbox.PoolConfig{Source: newQueue(), StartFuel: 1_000_000, StartTimeout: time.Hour})
	if err == nil || !strings.Contains(err.Error(), "fuel") {
		t.Errorf("a start without time limit, but with fuel: got %v", err)
	}
}

// TestSpinnersDoNotStopOtherModules spins one guest on every core while another one
// completes events.
func TestSpinnersDoNotStopOtherModules(t *testing.T) {
	_, bad := start(t, load(t, guest(t, "spin_on_event")), sandbox.PoolConfig{Limits: spec.Limits{Concurrency: 8, Timeout: 2 * time.Second}})
	_, good := start(t, load(t, guest(t, "echo")), sandbox.PoolConfig{})
	for range 8 {
		bad.push(attempt(t, 1, `{"spin":true}`))
	}
	<-bad.taken
	for range 200 {
		good.push(attempt(t, 1, `{"status":"x"}`))
		if d := good.await(t); d.outcome.Verdict != event.OK {
			t.Fatal(d.outcome.Message)
		}
	}
	for range 8 {
		if d := bad.await(t); d.outcome.Class != event.ClassTimeout {
			t.Errorf("got %q, want timeout", d.outcome.Class)
		}
	}
}

// TestFuelIsTheSameEveryTime: the same event on a new instance costs the same fuel.
func TestFuelIsTheSameEveryTime(t *testing.T) {
	m := load(t, guest(t, "slow"))
	a := attempt(t, 1, `{"rounds":100000}`)
	var first uint64
	for round := range 5 {
		_, q := start(t, m, sandbox.PoolConfig{Limits: spec.Limits{Isolation: spec.IsolationEvent, Concurrency: 1}})
		for range 3 {
			q.push(a)
			d := q.await(t)
			if d.outcome.Verdict != event.OK {
				t.Fatal(d.outcome.Message)
			}
			if first == 0 {
				first = d.outcome.Fuel
			}
			if d.outcome.Fuel != first || first < 100_000 {
				t.Fatalf("round %d: fuel %d, before it was %d", round, d.outcome.Fuel, first)
			}
		}
	}
}

func TestFuelBudgetIsExact(t *testing.T) {
	m := load(t, guest(t, "slow"))
	a := attempt(t, 1, `{"rounds":100000}`)
	run := func(fuel uint64) event.Outcome {
		_, q := start(t, m, sandbox.PoolConfig{Limits: spec.Limits{Isolation: spec.IsolationEvent, Concurrency: 1, Fuel: fuel}})
		q.push(a)
		return q.await(t).outcome
	}
	need := run(0).Fuel
	if o := run(need); o.Verdict != event.OK {
		t.Errorf("with exactly what it needs, %d: %q %s", need, o.Class, o.Message)
	}
	if o := run(need - 1); o.Class != event.ClassFuel {
		t.Errorf("with one unit less: %q", o.Class)
	}
	if o := run(1000); o.Class != event.ClassFuel {
		t.Errorf("with 1000: %q", o.Class)
	}
}

func TestFreshAndRecycledInstances(t *testing.T) {
	m := load(t, guest(t, "count"))
	run := func(cfg sandbox.PoolConfig, n int) (results []string) {
		cfg.Concurrency = 1
		_, q := start(t, m, cfg)
		for range n {
			q.push(attempt(t, 1, `{}`))
			results = append(results, q.await(t).result)
		}
		return results
	}
	shared := run(sandbox.PoolConfig{}, 3)
	if shared[0] == shared[1] || shared[1] == shared[2] {
		t.Errorf("one instance counts on, but got %v", shared)
	}
	fresh := run(sandbox.PoolConfig{Limits: spec.Limits{Isolation: spec.IsolationEvent}}, 3)
	if fresh[0] != shared[0] || fresh[1] != shared[0] || fresh[2] != shared[0] {
		t.Errorf("a fresh instance for every event: got %v", fresh)
	}
	recycled := run(sandbox.PoolConfig{Limits: spec.Limits{RecycleEvents: 2}}, 3)
	if recycled[1] != shared[1] || recycled[2] != shared[0] {
		t.Errorf("a fresh instance after two events: got %v", recycled)
	}
}

func TestMemoryIsBounded(t *testing.T) {
	engine := newEngine(t, 0)
	m, err := engine.Load(t.Context(), spec.NewArtifact(guest(t, "grow_memory")), sandbox.Options{Memory: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close(context.Background()) })
	_, q := start(t, m, sandbox.PoolConfig{})
	q.push(attempt(t, 1, `{"pages":1000}`))
	d := q.await(t)
	t.Logf("%q %s %s", d.outcome.Class, d.outcome.Message, d.result)
	if _, err := engine.Load(t.Context(), spec.NewArtifact(guest(t, "big_result")), sandbox.Options{Memory: 1 << 20}); !fault.Is(err, fault.Invalid) {
		t.Errorf("a module that needs more from its start: got %v", err)
	}
	small := newEngine(t, 160<<10) // two instances with their stacks
	m2, err := small.Load(t.Context(), spec.NewArtifact(guest(t, "echo")), sandbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m2.Close(context.Background()) })
	_, _ = start(t, m2, sandbox.PoolConfig{Limits: spec.Limits{Concurrency: 1}})
	_, _ = start(t, m2, sandbox.PoolConfig{Limits: spec.Limits{Concurrency: 1}})
	_, err = m2.NewPool(t.Context(), sandbox.PoolConfig{Source: newQueue()})
	if !fault.Is(err, fault.Exhausted) || !strings.Contains(err.Error(), "memory_total") {
		t.Errorf("the third instance: got %v", err)
	}
}

func TestIdleInstancesEnd(t *testing.T) {
	p, q := start(t, load(t, guest(t, "echo")), sandbox.PoolConfig{IdleAfter: 20 * time.Millisecond, Limits: spec.Limits{Concurrency: 4}})
	for range 500 {
		q.push(attempt(t, 1, `{"status":"x"}`))
	}
	for range 500 {
		q.await(t)
	}
	deadline := time.After(testTimeout)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for p.Instances() > 1 {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%d instances are still there", p.Instances())
		}
	}
	q.push(attempt(t, 1, `{"status":"x"}`))
	if d := q.await(t); d.outcome.Verdict != event.OK {
		t.Error(d.outcome.Message)
	}
}

func TestStdioStyle(t *testing.T) {
	m := load(t, guest(t, "stdio"))
	if m.Style() != "stdio" {
		t.Fatalf("style %s", m.Style())
	}
	_, q := start(t, m, sandbox.PoolConfig{})
	tests := []struct {
		data    string
		verdict event.Verdict
		class   event.Class
		message string
	}{
		{`{"exit":0}`, event.OK, "", ""},
		{`{"exit":75}`, event.Retry, event.ClassRetry, "read the event"},
		{`{"exit":3}`, event.Reject, event.ClassRejected, "read the event"},
	}
	for _, tt := range tests {
		a := attempt(t, 1, tt.data)
		q.push(a)
		d := q.await(t)
		if d.outcome.Verdict != tt.verdict || d.outcome.Class != tt.class || d.outcome.Message != tt.message || d.outcome.Fuel == 0 {
			t.Errorf("%s: %+v", tt.data, d.outcome)
		}
		if want := fmt.Sprintf(`{"bytes": %d}`, len(a.Event.Envelope())); tt.verdict == event.OK && strings.ReplaceAll(d.result, " ", "") != strings.ReplaceAll(want, " ", "") {
			t.Errorf("result %s, want %s", d.result, want)
		}
	}
}

// TestMemoryFailureNamesItsLimit: the message of a guest that is refused memory names its
// own limit or that of all guests, whichever applies.
func TestMemoryFailureNamesItsLimit(t *testing.T) {
	wasm := hostile.Named("memory_grow_page_by_page_then_trap").Wasm
	for _, tt := range []struct {
		own, total   int64
		says, saysNo string
	}{
		{1 << 20, 0, "limits.memory", "memory_total"},
		{1 << 20, 64 << 20, "limits.memory", "memory_total"},
		{64 << 20, 1 << 20, "memory_total", "limits.memory"},
	} {
		m, err := newEngine(t, tt.total).Load(t.Context(), spec.NewArtifact(wasm), sandbox.Options{Memory: tt.own})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = m.Close(context.Background()) })
		_, q := start(t, m, sandbox.PoolConfig{Limits: spec.Limits{Concurrency: 1}})
		q.push(attempt(t, 1, `{}`))
		if d := q.await(t); d.outcome.Class != event.ClassMemory || !strings.Contains(d.outcome.Message, tt.says) || strings.Contains(d.outcome.Message, tt.saysNo) {
			t.Errorf("%d of its own, %d together: %q %s", tt.own, tt.total, d.outcome.Class, d.outcome.Message)
		}
	}
}
