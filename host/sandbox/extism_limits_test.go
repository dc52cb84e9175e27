package sandbox_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/sandbox"
	. "github.com/berth-host/berth/host/sandbox/wasmbin/wasmtest"
	"github.com/berth-host/berth/host/spec"
)

// Kernel calls use fuel, by what they do.
func TestExtismCallsUseFuel(t *testing.T) {
	used := func(size int64) uint64 {
		m := newExtism("alloc", "log_info")
		m.export("handle", "", "", m.call("alloc", size), B(drop))
		_, q := start(t, load(t, m.bytes()), sandbox.PoolConfig{})
		q.push(attempt(t, 1, `{}`))
		return q.await(t).outcome.Fuel
	}
	small, large := used(8), used(8<<20)
	if small == 0 || large < small+(8<<20-64)/8 {
		t.Errorf("8 bytes use %d, 8 MiB %d", small, large)
	}
	m := newExtism("alloc")
	m.export("handle", "", "", forever(m.call("alloc", 8), B(drop)))
	_, q := start(t, load(t, m.bytes()), sandbox.PoolConfig{Limits: spec.Limits{Fuel: 100_000, Timeout: testTimeout}})
	q.push(attempt(t, 1, `{}`))
	if d := q.await(t); d.outcome.Class != event.ClassFuel || d.outcome.Fuel > 101_000 {
		t.Errorf("got %+v", d.outcome)
	}
}

// The blocks and the linear memory have one limit, and count in the memory of all handlers.
func TestExtismBlocksCountAsMemory(t *testing.T) {
	module := func(size int64) []byte {
		m := newExtism("alloc")
		return m.export("handle", "", "i", m.call("alloc", size), B(0x50)).bytes() // 1 when it is refused
	}
	const limit = 1 << 20
	for _, tt := range []struct {
		total, size int64
		want        event.Verdict
		says        string
	}{
		{0, limit - 128<<10, event.OK, ""},
		{0, limit - 64<<10, event.Retry, "it returned 1"},
		{0, 1 << 40, event.Retry, "it returned 1"},
		{600 << 10, 300 << 10, event.OK, ""},
		{600 << 10, 700 << 10, event.Retry, "it returned 1"},
	} {
		m, err := newEngine(t, tt.total).Load(t.Context(), spec.NewArtifact(module(tt.size)), sandbox.Options{Memory: limit})
		if err != nil {
			t.Fatal(err)
		}
		p, q := start(t, m, sandbox.PoolConfig{Limits: spec.Limits{Concurrency: 1}})
		for range 2 {
			q.push(attempt(t, 1, `{}`))
			if d := q.await(t); d.outcome.Verdict != tt.want || !strings.Contains(d.outcome.Message, tt.says) {
				t.Errorf("%d of %d: got %+v", tt.size, tt.total, d.outcome)
			}
		}
		if err := p.Drain(t.Context()); err != nil {
			t.Error(err)
		}
		if err := m.Close(context.Background()); err != nil {
			t.Error(err)
		}
	}
}

// TestExtismEntries: the entry is handle or what the manifest names, and exports of the
// language's runtime are called before it, once for each instance.
func TestExtismEntries(t *testing.T) {
	// count adds 1 to the variable of the name of 8 zero bytes; params are those of its function.
	count := func(m *extismModule, params int) []byte {
		key, former, value := params, params+1, params+2
		return B(m.call("alloc", 8), B(0x21, key, 0x20, key), m.call("var_get"), B(0x21, former),
			m.call("alloc", 8), B(0x21, value, 0x20, value, 0x20, former), m.call("load_u64"), B(0x42, 1, 0x7c), m.call("store_u64"),
			B(0x20, key, 0x20, value), m.call("var_set"))
	}
	fresh := func() *extismModule { return newExtism("alloc", "var_get", "var_set", "load_u64", "store_u64") }
	// counted returns 100 + how often count has run
	counted := func(m *extismModule) []byte {
		return B(m.call("alloc", 8), m.call("var_get"), m.call("load_u64"), B(0xa7, 0x41, S(100), 0x6a))
	}
	for _, tt := range []struct {
		name   string
		entry  string
		module func(m *extismModule) *extismModule
		want   string // in the message
	}{
		{"handle", "", func(m *extismModule) *extismModule { return m.export("handle", "", "i", counted(m)) }, "it returned 100"},
		{"another", "count_vowels", func(m *extismModule) *extismModule {
			return m.export("handle", "", "i", B(0x41, 1)).export("count_vowels", "", "i", counted(m))
		}, "it returned 100"},
		{"a reactor", "", func(m *extismModule) *extismModule {
			return m.export("_initialize", "", "", count(m, 0)).export("__wasm_call_ctors", "", "", count(m, 0), count(m, 0)).export("handle", "", "i", counted(m))
		}, "it returned 101"},
		{"constructors", "", func(m *extismModule) *extismModule {
			return m.export("__wasm_call_ctors", "", "", count(m, 0), count(m, 0)).export("handle", "", "i", counted(m))
		}, "it returned 102"},
		{"Haskell", "", func(m *extismModule) *extismModule {
			return m.export("_initialize", "", "", count(m, 0)).export("hs_init", "ii", "", count(m, 2), count(m, 2)).export("handle", "", "i", counted(m))
		}, "it returned 103"},
		{"a command", "_start", func(m *extismModule) *extismModule {
			return m.export("_start", "", "i", counted(m)).export("__wasm_call_ctors", "", "", count(m, 0))
		}, "it returned 100"},
		{"a command beside handle", "", func(m *extismModule) *extismModule {
			return m.export("_start", "", "", count(m, 0)).export("run", "", "", count(m, 0)).export("handle", "", "i", counted(m))
		}, "it returned 100"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, q := start(t, load(t, tt.module(fresh()).bytes()), sandbox.PoolConfig{Entry: tt.entry, Limits: spec.Limits{Concurrency: 1}})
			for range 2 {
				q.push(attempt(t, 1, `{}`))
				if d := q.await(t); d.outcome.Message != tt.want {
					t.Errorf("got %+v, want %s", d.outcome, tt.want)
				}
			}
		})
	}
	for _, tt := range []struct {
		name, entry string
		wasm        []byte
		want        string
	}{
		{"no handle", "", newExtism("alloc").export("other", "", "").bytes(), `it exports no function "handle": name its entry in the manifest (extism.entry)`},
		{"not there", "nothing", newExtism("alloc").export("handle", "", "").bytes(), `it exports no function "nothing"`},
		{"with parameters", "with", newExtism("alloc").export("handle", "", "").export("with", "i", "").bytes(), `its entry "with" (extism.entry) must take nothing`},
		{"another style", "handle", guest(t, "echo"), "its manifest has extism.entry, but it is a module of the style loop"},
	} {
		_, err := load(t, tt.wasm).NewPool(t.Context(), sandbox.PoolConfig{Source: newQueue(), Entry: tt.entry})
		if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %s", tt.name, err, tt.want)
		}
	}
}

// TestBatchNeedsLoopStyle: a manifest beside a module can ask for what the module cannot do.
func TestBatchNeedsLoopStyle(t *testing.T) {
	wasm := newExtism("alloc").export("handle", "", "").bytes()
	_, err := load(t, wasm).NewPool(t.Context(), sandbox.PoolConfig{Source: newQueue(), Batch: spec.BatchPolicy{MaxEvents: 2}})
	if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "its manifest has batch, but it is a module of the style extism") {
		t.Errorf("got %v", err)
	}
}

// Drain ends an instance that waits, and one that is at work.
func TestExtismDrain(t *testing.T) {
	m := newExtism("alloc")
	wasm := m.export("handle", "", "", forever(m.call("alloc", 0), B(drop))).bytes()
	q := newQueue()
	p, err := load(t, wasm).NewPool(t.Context(), sandbox.PoolConfig{Source: q, Limits: spec.Limits{Timeout: time.Hour}})
	if err != nil {
		t.Fatal(err)
	}
	q.push(attempt(t, 1, `{}`))
	<-q.taken
	now, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.Drain(now); err == nil {
		t.Error("Drain stopped an event and does not say so")
	}
	if d := q.await(t); d.outcome.Class != event.ClassCancelled {
		t.Errorf("got %+v, want it cancelled", d.outcome)
	}
}
