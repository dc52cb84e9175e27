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

// TestCallStackIsBounded: calls nest deeper with a higher limit; beyond it the attempt fails
// with its own class, and the next event gets a new instance.
func TestCallStackIsBounded(t *testing.T) {
	m := load(t, guest(t, "recurse"))
	for _, tt := range []struct {
		limit       int64
		fits, fails int
	}{
		{64 << 10, 400, 4000},
		{0, 8000, 64_000}, // 1 MiB
		{8 << 20, 64_000, 512_000},
	} {
		_, q := start(t, m, sandbox.PoolConfig{Limits: spec.Limits{Concurrency: 1, Stack: tt.limit}})
		ask := func(depth int) done {
			q.push(attempt(t, 1, fmt.Sprintf(`{"depth":%d}`, depth)))
			return q.await(t)
		}
		for range 2 {
			if d := ask(tt.fits); d.result != fmt.Sprintf(`{"sum":%d}`, tt.fits) {
				t.Errorf("limit %d, depth %d: %q %s %s", tt.limit, tt.fits, d.outcome.Class, d.outcome.Message, d.result)
			}
			for _, depth := range []int{tt.fails, 0} {
				d := ask(depth)
				if d.outcome.Class != event.ClassStack || !strings.Contains(d.outcome.Message, "limits.stack") || !strings.Contains(d.outcome.Message, "\n\tat ") {
					t.Errorf("limit %d, depth %d: %q %s %s", tt.limit, depth, d.outcome.Class, d.outcome.Message, d.result)
				}
			}
		}
	}
}

// TestCallStackCountsInMemoryTotal: the size of a stack in the engine counts while its
// instance lives, and is returned however the instance ends.
func TestCallStackCountsInMemoryTotal(t *testing.T) {
	const memory = 1 << 30
	engine := newEngine(t, memory)
	load := func(wasm []byte) *sandbox.Module {
		m, err := engine.Load(t.Context(), spec.NewArtifact(wasm), sandbox.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = m.Close(context.Background()) })
		return m
	}
	m := load(guest(t, "recurse"))
	for _, tt := range []struct {
		name   string
		depth  int // -1: no event
		drains bool
	}{
		{"it returns", 5000, false},
		{"it is idle", -1, false},
		{"its calls nest too deep", 0, false},
	} {
		q := newQueue()
		p, err := m.NewPool(t.Context(), sandbox.PoolConfig{Source: q, Limits: spec.Limits{Concurrency: 1}})
		if err != nil {
			t.Fatal(err)
		}
		idle := engine.MemoryUsed()
		if tt.depth >= 0 {
			q.push(attempt(t, 1, fmt.Sprintf(`{"depth":%d}`, tt.depth)))
			q.await(t)
		}
		if tt.depth > 0 {
			q.push(attempt(t, 1, `{"depth":1}`)) // it has been parked since
			q.await(t)
			if grown := engine.MemoryUsed() - idle; grown < 150_000 || grown > 1<<20 {
				t.Errorf("%s: its stack counts as %d bytes", tt.name, grown)
			}
		}
		if err := p.Drain(context.Background()); err != nil {
			t.Error(err)
		}
		if used := engine.MemoryUsed(); used != 0 {
			t.Errorf("%s: %d bytes are not given back", tt.name, used)
		}
	}
	for _, c := range hostile.Cases() {
		if c.Refused != "" || c.Class == event.ClassTimeout || c.Always || c.Slow {
			continue
		}
		q := newQueue()
		p, err := load(c.Wasm).NewPool(t.Context(), sandbox.PoolConfig{Source: q, StartTimeout: 20 * time.Millisecond, Limits: spec.Limits{Concurrency: 1, Timeout: 20 * time.Millisecond}})
		if err == nil {
			q.push(attempt(t, 1, `{}`))
			q.await(t)
			if err := p.Drain(context.Background()); err != nil {
				t.Error(err)
			}
		}
		if used := engine.MemoryUsed(); used != 0 {
			t.Fatalf("%s: %d bytes are not given back", c.Name, used)
		}
	}
}

// TestCallStackPastMemoryTotal: the limit of all handlers together bounds a stack within
// its own limit.
func TestCallStackPastMemoryTotal(t *testing.T) {
	engine := newEngine(t, 1<<20)
	m, err := engine.Load(t.Context(), spec.NewArtifact(guest(t, "recurse")), sandbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close(context.Background()) })
	_, q := start(t, m, sandbox.PoolConfig{Limits: spec.Limits{Concurrency: 1, Stack: 8 << 20}})
	q.push(attempt(t, 1, `{"depth":0}`))
	if d := q.await(t); d.outcome.Class != event.ClassMemory || !strings.Contains(d.outcome.Message, "memory_total") {
		t.Errorf("%q %s", d.outcome.Class, d.outcome.Message)
	}
	q.push(attempt(t, 1, `{"depth":10}`))
	if d := q.await(t); d.outcome.Verdict != event.OK {
		t.Errorf("the next event: %q %s", d.outcome.Class, d.outcome.Message)
	}
}

// TestUnknownCallStackIsRefused: with an engine whose stack cannot be measured nothing
// runs, instead of running without a bound.
func TestUnknownCallStackIsRefused(t *testing.T) {
	for _, call := range []any{nil, 1, "stack", struct{ stack []byte }{}, &struct{ stack []byte }{}, &struct{ stack, stackTop uintptr }{}} {
		if err := sandbox.MeasureStack(call); !fault.Is(err, fault.Internal) {
			t.Errorf("%T: got %v", call, err)
		}
	}
	if err := sandbox.MeasureStack(&struct {
		stack    []byte
		stackTop uintptr
	}{}); err != nil {
		t.Error(err)
	}
}
