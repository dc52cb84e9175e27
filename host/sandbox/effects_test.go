package sandbox_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/sandbox"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/testdata/hostile"
)

// worst returns the first hostile case of each class that ends in the midst of an event.
func worst(t *testing.T) map[event.Class]hostile.Case {
	t.Helper()
	cases := map[event.Class]hostile.Case{}
	for _, c := range hostile.Cases() {
		switch c.Class {
		case event.ClassTrap, event.ClassTimeout, event.ClassMemory, event.ClassExit, event.ClassStack:
		default:
			continue
		}
		if _, known := cases[c.Class]; !known && !c.Always && !c.Slow {
			cases[c.Class] = c
		}
	}
	fuel := hostile.Named("spin_after_next")
	fuel.Class = event.ClassFuel
	cases[event.ClassFuel] = fuel
	if len(cases) < 5 {
		t.Fatalf("there are %d cases", len(cases))
	}
	return cases
}

// TestHostileBatches: a guest that traps or goes past a bound in the midst of a batch fails all
// its events in the same way, with state direct and atomic, and the next batch is served by a
// new instance.
func TestHostileBatches(t *testing.T) {
	for class, c := range worst(t) {
		for _, state := range []spec.StateMode{spec.StateDirect, spec.StateAtomic} {
			t.Run(fmt.Sprintf("%s %s", class, state), func(t *testing.T) {
				b := newBatching()
				cfg := limits(c, b.queue)
				cfg.Source, cfg.Batch, cfg.State = b, spec.BatchPolicy{MaxEvents: 100}, state
				cfg.Capabilities.KV = newMapKV(1 << 20)
				if class == event.ClassFuel {
					cfg.Fuel, cfg.Timeout = 1_000_000, testTimeout
				}
				p, err := load(t, c.Wasm).NewPool(t.Context(), cfg)
				if err != nil {
					t.Fatal(err)
				}
				for i, o := range b.deliver(t, `1`, `2`, `3`) {
					if o.Class != class || o.Verdict == event.OK || o.Effects != nil || len(o.Children) != 0 {
						t.Errorf("event %d: got %q, effects %v: %.300s", i, o.Class, o.Effects, o.Message)
					}
				}
				list := []event.Attempt{attempt(t, 2, `1`), attempt(t, 2, `2`)}
				b.batches <- list
				for i, o := range <-b.ended { // it misbehaves at first attempts only, and its result is none of a batch
					if o.Class != event.ClassBadResult {
						t.Errorf("event %d of the next batch: got %q: %.300s", i, o.Class, o.Message)
					}
				}
				ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
				defer cancel()
				if err := p.Drain(ctx); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// conformanceHandler is a guest that does with kv what its events say, in batches.
func conformanceHandler(t *testing.T) []byte {
	t.Helper()
	wasm, err := os.ReadFile("../../testdata/languages/c/conformance.wasm")
	if err != nil {
		t.Fatal(err)
	}
	return wasm
}

// TestWritesOfHostileBatchesAreDropped: a batch has written when its guest traps or goes past a
// bound; nothing of it is kept, and its memory is free again.
func TestWritesOfHostileBatchesAreDropped(t *testing.T) {
	engine := newEngine(t, 0)
	m, err := engine.Load(t.Context(), spec.NewArtifact(conformanceHandler(t)), sandbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		class  event.Class
		data   string
		limits spec.Limits
	}{
		{event.ClassTrap, `{"op":"panic","message":"now"}`, spec.Limits{Timeout: testTimeout}},
		{event.ClassFuel, `{"op":"work","n":2000000000}`, spec.Limits{Timeout: testTimeout, Fuel: 10_000_000}},
		{event.ClassTimeout, `{"op":"work","n":2000000000}`, spec.Limits{Timeout: 300 * time.Millisecond}},
	} {
		b, k := newBatching(), newMapKV(1<<20)
		tt.limits.Concurrency = 1
		p, err := m.NewPool(t.Context(), sandbox.PoolConfig{Source: b, State: spec.StateAtomic, Settings: `{"batch":true}`, Limits: tt.limits,
			Batch: spec.BatchPolicy{MaxEvents: 10}, Capabilities: sandbox.Capabilities{KV: k}})
		if err != nil {
			t.Fatal(err)
		}
		for i, o := range b.deliver(t, `{"op":"kv_set","key":"a","value":"1"}`, `{"op":"kv_fill","prefix":"b","n":100}`, tt.data) {
			if o.Class != tt.class || o.Effects != nil {
				t.Errorf("%s, event %d: got %q with effects %v: %.300s", tt.class, i, o.Class, o.Effects, o.Message)
			}
		}
		outcomes := b.deliver(t, `{"op":"kv_get","key":"a"}`, `{"op":"kv_list","prefix":""}`)
		if got := string(outcomes[0].Result) + string(outcomes[1].Result); got != `{"error":"NOT_FOUND"}{"keys":[]}` || k.writes != 0 {
			t.Errorf("%s: the next batch reads %s, and %d writes are stored", tt.class, got, k.writes)
		}
		if e := outcomes[0].Effects; e == nil || e != outcomes[1].Effects {
			t.Errorf("%s: the events of the next batch have the effects %v and %v", tt.class, e, outcomes[1].Effects)
		} else {
			e.Release() // they have it in common
		}
		if err := p.Drain(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if err := m.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if used := engine.MemoryUsed(); used != 0 {
		t.Errorf("%d bytes are kept", used)
	}
}

// TestOverlaysCountInMemoryTotal: writes of finished and uncommitted events count until they
// are released. A call that finds no memory for its write is UNAVAILABLE, and others go on.
func TestOverlaysCountInMemoryTotal(t *testing.T) {
	const total = 4 << 20
	engine := newEngine(t, total)
	m, err := engine.Load(t.Context(), spec.NewArtifact(guest(t, "atomic_steps")), sandbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	q := newQueue()
	p, err := m.NewPool(t.Context(), sandbox.PoolConfig{Source: q, State: spec.StateAtomic, Capabilities: sandbox.Capabilities{KV: newMapKV(1 << 30)}, Limits: spec.Limits{Concurrency: 1}})
	if err != nil {
		t.Fatal(err)
	}
	write := []string{}
	for i := range 10 {
		write = append(write, fmt.Sprintf("s%d", i)+strings.Repeat("x", 4000))
	}
	var uncommitted []*event.Effects
	refused := false
	for range 2 * total / 40_000 {
		q.push(steps(t, "", write...))
		d := q.await(t)
		if d.outcome.Verdict != event.OK || engine.MemoryUsed() > total {
			t.Fatalf("%d bytes of %d: got %+v", engine.MemoryUsed(), total, d.outcome)
		}
		if d.outcome.Effects != nil {
			uncommitted = append(uncommitted, d.outcome.Effects)
		}
		if refused = strings.Contains(d.result, fmt.Sprint(int(abi.Unavailable))); refused {
			break
		}
	}
	if !refused {
		t.Errorf("%d bytes are used and no write was refused", engine.MemoryUsed())
	}
	full := engine.MemoryUsed()
	for _, e := range uncommitted {
		e.Release()
	}
	if freed := full - engine.MemoryUsed(); freed < total/2 {
		t.Errorf("the release frees %d bytes of %d", freed, full)
	}
	q.push(steps(t, "", write...))
	if d := q.await(t); d.result != "[0"+strings.Repeat(",0", 9)+"]" {
		t.Errorf("after the release: got %s", d.result)
	} else {
		d.outcome.Effects.Release()
	}
	if err := p.Drain(t.Context()); err != nil {
		t.Error(err)
	}
	if err := m.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestRequestsInBatchesHaveNoKeys: a batch that runs again may have other events.
func TestRequestsInBatchesHaveNoKeys(t *testing.T) {
	b, sent := newBatching(), &keys{}
	p, err := load(t, conformanceHandler(t)).NewPool(t.Context(), sandbox.PoolConfig{Name: "p", Source: b, State: spec.StateAtomic, Settings: `{"batch":true}`,
		Batch: spec.BatchPolicy{MaxEvents: 10, MaxWait: time.Millisecond}, Capabilities: sandbox.Capabilities{HTTP: sent, KV: newMapKV(1 << 20)}})
	if err != nil {
		t.Fatal(err)
	}
	const request = `{"op":"http","method":"POST","url":"https://conform.example.com/"}`
	for _, data := range [][]string{{request}, {request, request}} {
		for i, o := range b.deliver(t, data...) {
			if o.Verdict != event.OK {
				t.Errorf("event %d: got %+v", i, o)
			}
		}
	}
	if got := strings.Join(sent.list, ","); len(sent.list) != 3 || got != ",," {
		t.Errorf("%d requests have the keys %q", len(sent.list), got)
	}
	if err := p.Drain(t.Context()); err != nil {
		t.Error(err)
	}
}
