package sandbox_test

import (
	"bytes"
	"context"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"testing"
	"time"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/sandbox"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/testdata/hostile"
)

// footprint is the resource use of a process. Mappings and resident are of Linux, and
// 0 elsewhere.
type footprint struct {
	goroutines int
	mappings   int
	resident   int64 // bytes
	heap       int64 // bytes in use
}

func takeFootprint() footprint {
	debug.FreeOSMemory() // it collects garbage too
	var mem runtime.MemStats
	runtime.ReadMemStats(&mem)
	f := footprint{goroutines: runtime.NumGoroutine(), heap: int64(mem.HeapAlloc)}
	if maps, err := os.ReadFile("/proc/self/maps"); err == nil {
		f.mappings = bytes.Count(maps, []byte("\n"))
	}
	if status, err := os.ReadFile("/proc/self/status"); err == nil {
		_, value, _ := bytes.Cut(status, []byte("VmRSS:"))
		for _, c := range bytes.TrimSpace(value) {
			if c < '0' || c > '9' {
				break
			}
			f.resident = f.resident*10 + int64(c-'0')
		}
		f.resident <<= 10
	}
	return f
}

// flat checks that nothing has grown since before. The bounds are far below one leak for
// each of hundreds of rounds.
func flat(t *testing.T, before, after footprint) {
	t.Helper()
	t.Logf("before %+v", before)
	t.Logf("after  %+v", after)
	if after.goroutines > before.goroutines {
		t.Errorf("%d goroutines, before %d", after.goroutines, before.goroutines)
	}
	if after.mappings > before.mappings+32 {
		t.Errorf("%d mappings, before %d", after.mappings, before.mappings)
	}
	if after.heap > before.heap+8<<20 {
		t.Errorf("%d bytes of heap, before %d", after.heap, before.heap)
	}
	if after.resident > before.resident+64<<20 {
		t.Errorf("%d bytes resident, before %d", after.resident, before.resident)
	}
}

// representative are quick cases of every kind.
var representative = []string{
	"loop_free_fib_60", "spin_in_start_section", "memory_grow_by_4_gib", "random_in_a_loop", "iovec_count_that_overflows",
	"pointer_field_2_wrap", "exit_4026531839_with_event", "exit_0_before_next", "trap_call_indirect_of_null",
	"trap_unreachable_in_start_section", "result_is_not_json", "stdio_trap", "returns_with_event", "no_entry_point",
	"imports_an_unknown_wasi_function", "import_count_bomb_of_14_bytes", "next_after_end", "emit_denied",
}

// TestHostileRoundsLeakNothing loads, starts and closes hostile modules a hundred times,
// with one event each.
func TestHostileRoundsLeakNothing(t *testing.T) {
	const rounds = 100
	engine := newEngine(t, 0)
	var cases []hostile.Case
	for _, c := range hostile.Cases() {
		if slices.Contains(representative, c.Name) {
			cases = append(cases, c)
		}
	}
	if len(cases) != len(representative) {
		t.Fatalf("%d of %d cases were found", len(cases), len(representative))
	}
	first := attempt(t, 1, `{}`)
	round := func() {
		for _, c := range cases {
			once(t, engine, c, first)
		}
	}
	for range 5 { // fills caches, and grows the heap to its size
		round()
	}
	before := takeFootprint()
	for range rounds {
		round()
	}
	flat(t, before, stable(before))
}

// once runs a case from its load to its end, with one event.
func once(t *testing.T, engine *sandbox.Engine, c hostile.Case, first event.Attempt) {
	t.Helper()
	m, err := engine.Load(t.Context(), spec.NewArtifact(c.Wasm), sandbox.Options{})
	if err != nil {
		if c.Refused == "" {
			t.Errorf("%s: %v", c.Name, err)
		}
		return
	}
	q := newQueue()
	cfg := limits(c, q)
	cfg.Timeout, cfg.StartTimeout = 2*time.Millisecond, max(cfg.StartTimeout/50, 2*time.Millisecond)
	if p, err := m.NewPool(t.Context(), cfg); err == nil {
		q.push(first)
		if d := q.await(t); (d.outcome.Verdict == event.OK) && c.Class != "" {
			t.Errorf("%s: succeeded", c.Name)
		}
		if err := p.Drain(t.Context()); err != nil {
			t.Errorf("%s: %v", c.Name, err)
		}
	} else if c.Unstarted == "" {
		t.Errorf("%s: %v", c.Name, err)
	}
	if err := m.Close(context.Background()); err != nil {
		t.Errorf("%s: %v", c.Name, err)
	}
}

// stable waits until goroutines that are ending have ended.
func stable(before footprint) footprint {
	deadline := time.Now().Add(testTimeout)
	for runtime.NumGoroutine() > before.goroutines && time.Now().Before(deadline) {
		runtime.Gosched()
	}
	return takeFootprint()
}

// TestReloadsLeakNothing reloads one small module many times.
func TestReloadsLeakNothing(t *testing.T) {
	engine := newEngine(t, 0)
	wasm := guest(t, "echo")
	reload := func() {
		m, err := engine.Load(t.Context(), spec.NewArtifact(wasm), sandbox.Options{})
		if err != nil {
			t.Fatal(err)
		}
		p, err := m.NewPool(t.Context(), sandbox.PoolConfig{Source: newQueue(), Limits: spec.Limits{Concurrency: 1}})
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Drain(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := m.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	for range reloads / 10 {
		reload()
	}
	before, begun := takeFootprint(), time.Now()
	for range reloads {
		reload()
	}
	t.Logf("%d reloads, %v each", reloads, (time.Since(begun) / reloads).Round(time.Microsecond))
	flat(t, before, stable(before))
}
