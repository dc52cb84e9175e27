package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"sync"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/sandbox"
	"github.com/berth-host/berth/host/sandbox/vet"
	"github.com/berth-host/berth/host/spec"
)

// flood is a Source that provides the same event a given number of times.
type flood struct {
	mu      sync.Mutex
	left    int
	attempt event.Attempt
	more    chan struct{}
	done    chan event.Outcome // the last of each flood
	result  string             // of the event before done
}

func newFlood(data string) (*flood, error) {
	ev, err := event.New(event.Draft{Type: "order_status_changed", Subject: "o-1", Data: json.RawMessage(data)})
	if err != nil {
		return nil, err
	}
	return &flood{attempt: event.Attempt{Seq: 1, Event: ev, Number: 1}, more: make(chan struct{}, 1), done: make(chan event.Outcome, 1)}, nil
}

// run provides n events and waits for the last outcome.
func (f *flood) run(n int) event.Outcome {
	f.mu.Lock()
	f.left = n
	f.mu.Unlock()
	f.more <- struct{}{}
	return <-f.done
}

// answer provides one event and returns its verdict and result.
func (f *flood) answer() string {
	o := f.run(1)
	return fmt.Sprintf("%v %s %s", o.Verdict, f.result, o.Message)
}

// TryNext implements sandbox.Source.
func (f *flood) TryNext() (event.Attempt, bool) { return event.Attempt{}, false }

// Lease implements sandbox.Source.
func (f *flood) Lease() sandbox.Lease { return floodLease{f} }

// Next waits for the next one; see sandbox.Lease.
func (f *flood) Next(stop, retire <-chan struct{}) (event.Taken, bool) {
	for waited := false; ; waited = true {
		f.mu.Lock()
		if f.left > 0 {
			f.left--
			f.mu.Unlock()
			return event.Taken{Attempt: f.attempt, Waited: waited}, true
		}
		f.mu.Unlock()
		select {
		case <-stop:
			return event.Taken{}, false
		case <-retire:
			return event.Taken{}, false
		case <-f.more:
		}
	}
}

// Done implements sandbox.Source.
func (f *flood) Done(_ event.Attempt, o event.Outcome) {
	f.mu.Lock()
	last := f.left == 0
	f.mu.Unlock()
	if last {
		f.result = string(o.Result)
		o.Result = nil
		f.done <- o
	}
}

// Demand implements sandbox.Source.
func (f *flood) Demand() <-chan struct{} { return nil }

// floodLease is a sandbox.Lease that buffers nothing.
type floodLease struct{ *flood }

// NextBuffered implements sandbox.Lease.
func (floodLease) NextBuffered() (event.Taken, bool) { return event.Taken{}, false }

// Done implements sandbox.Lease.
func (l floodLease) Done(o *event.Outcome) { l.flood.Done(l.attempt, *o) }

// TraceParent implements sandbox.Lease.
func (floodLease) TraceParent() string { return "" }

// Flush implements sandbox.Lease.
func (floodLease) Flush() {}

// Close implements sandbox.Lease.
func (floodLease) Close() {}

// newEngine returns an engine that vets in a child process with this cache, or in this
// process without one.
func newEngine(cache string) (*sandbox.Engine, error) {
	if cache == "" {
		return sandbox.New(sandbox.Config{Vetter: vet.InProcess{}})
	}
	vetter, err := vet.New(vet.Config{CacheDir: cache})
	if err != nil {
		return nil, err
	}
	return sandbox.New(sandbox.Config{Vetter: vetter})
}

// pool starts one instance of a guest. The caller calls stop.
func (b *bench) pool(ctx context.Context, wasm []byte, cfg sandbox.PoolConfig, cache string) (stop func(), err error) {
	engine, err := newEngine(cache)
	if err != nil {
		return nil, err
	}
	m, err := engine.Load(ctx, spec.NewArtifact(wasm), sandbox.Options{})
	if err != nil {
		return nil, err
	}
	cfg.Concurrency = 1
	p, err := m.NewPool(ctx, cfg)
	if err != nil {
		return nil, errors.Join(err, m.Close(ctx))
	}
	return func() {
		_ = p.Drain(ctx)
		_ = m.Close(ctx)
	}, nil
}

// bookkeeping measures the cost of the sandbox per event, over the same guest in a bare
// wazero that only copies the envelope.
func (b *bench) bookkeeping(ctx context.Context) error {
	wasm, err := b.guest("guests/no_finish.wasm")
	if err != nil {
		return err
	}
	f, err := newFlood(order)
	if err != nil {
		return err
	}
	stop, err := b.pool(ctx, wasm, sandbox.PoolConfig{Source: f}, "")
	if err != nil {
		return err
	}
	defer stop()
	const events, rounds = 100_000, 15
	f.run(events)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f.run(events)
	runtime.ReadMemStats(&after)
	var ours, bare []float64
	for range rounds {
		begin := time.Now()
		f.run(events)
		ours = append(ours, float64(time.Since(begin).Nanoseconds())/events)
		ns, err := bareLoop(ctx, wasm, f.attempt.Event.Envelope(), events)
		if err != nil {
			return err
		}
		bare = append(bare, ns)
	}
	b.upperBound("bookkeeping for an event, over a bare loop of the same guest", median(ours)-median(bare), 100, "ns")
	b.upperBound("allocations for an event in the sandbox", float64((after.Mallocs-before.Mallocs)/events), 0, "")
	return nil
}

// bareLoop runs a loop guest over n events with the minimum that a host can do, and returns
// the ns per event.
func bareLoop(ctx context.Context, wasm []byte, envelope string, n int) (float64, error) {
	r := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigCompiler())
	defer r.Close(ctx)
	i32 := api.ValueTypeI32
	left := n
	next := api.GoModuleFunc(func(_ context.Context, mod api.Module, stack []uint64) {
		if left == 0 {
			stack[0] = 1<<32 - 1 // END
			return
		}
		left--
		mod.Memory().WriteString(uint32(stack[0]), envelope)
		stack[0] = uint64(len(envelope))
	})
	if _, err := r.NewHostModuleBuilder("berth_v1").NewFunctionBuilder().
		WithGoModuleFunction(next, []api.ValueType{i32, i32}, []api.ValueType{i32}).Export("next").Instantiate(ctx); err != nil {
		return 0, err
	}
	mod, err := r.InstantiateWithConfig(ctx, wasm, wazero.NewModuleConfig().WithName("").WithStartFunctions())
	if err != nil {
		return 0, err
	}
	begin := time.Now()
	if _, err := mod.ExportedFunction("run").Call(ctx); err != nil {
		return 0, err
	}
	return float64(time.Since(begin).Nanoseconds()) / float64(n), nil
}

// deadlines measures how late a spinning guest is stopped.
func (b *bench) deadlines(ctx context.Context) error {
	const timeout, runs = 20 * time.Millisecond, 25
	worst, err := b.spin(ctx, timeout, runs, func() {})
	if err != nil {
		return err
	}
	b.upperBound(fmt.Sprintf("a spinning guest is stopped late by, worst of %d", runs), worst, 5, "ms")
	return nil
}

// spin lets a guest spin into its timeout repeatedly, and returns the maximum delay of its
// stop in ms. meanwhile runs concurrently, once per run.
func (b *bench) spin(ctx context.Context, timeout time.Duration, runs int, meanwhile func()) (float64, error) {
	wasm, err := b.guest("guests/spin_on_event.wasm")
	if err != nil {
		return 0, err
	}
	f, err := newFlood(`{"spin":true}`)
	if err != nil {
		return 0, err
	}
	stop, err := b.pool(ctx, wasm, sandbox.PoolConfig{Source: f, Limits: spec.Limits{Timeout: timeout}}, "")
	if err != nil {
		return 0, err
	}
	defer stop()
	worst := 0.0
	for range runs {
		ended := make(chan event.Outcome, 1)
		go func() { ended <- f.run(1) }()
		meanwhile()
		o := <-ended
		if o.Class != event.ClassTimeout {
			return 0, fmt.Errorf("a spinning guest ended as %q: %s", o.Class, o.Message)
		}
		worst = max(worst, float64((o.Duration-timeout).Microseconds())/1000)
	}
	return worst, nil
}

// collection measures how much longer a garbage collection takes while a guest spins.
func (b *bench) collection(ctx context.Context) error {
	collect := func() float64 {
		begin := time.Now()
		runtime.GC()
		return float64(time.Since(begin).Microseconds()) / 1000
	}
	var alone []float64
	for range 10 {
		alone = append(alone, collect())
	}
	worst := 0.0
	if _, err := b.spin(ctx, 300*time.Millisecond, 5, func() {
		for begin := time.Now(); time.Since(begin) < 250*time.Millisecond; {
			worst = max(worst, collect()-median(alone))
		}
	}); err != nil {
		return err
	}
	b.upperBound("a garbage collection waits for a spinning guest, worst", worst, 25, "ms")
	return nil
}

// starts compares a first start of a Go guest with one from the cache.
func (b *bench) starts(ctx context.Context) error {
	wasm, err := b.build(ctx, "plugins-src/customer-notify")
	if err != nil {
		return err
	}
	var cold, warm []float64
	for i := range 3 {
		cache := filepath.Join(b.work, fmt.Sprintf("cache-%d", i))
		for j := range 6 {
			f, err := newFlood(`{}`)
			if err != nil {
				return err
			}
			begin := time.Now()
			stop, err := b.pool(ctx, wasm, sandbox.PoolConfig{Source: f}, cache)
			if err != nil {
				return err
			}
			ms := float64(time.Since(begin).Microseconds()) / 1000
			stop()
			if j == 0 {
				cold = append(cold, ms)
			} else {
				warm = append(warm, ms)
			}
		}
		if err := os.RemoveAll(cache); err != nil {
			return err
		}
	}
	what := fmt.Sprintf("warm start of a Go guest (%.0f ms) against cold (%.0f ms)", median(warm), median(cold))
	b.lowerBound(what, median(cold)/median(warm), 20, "×")
	return nil
}

// resident returns the process's resident memory in bytes (Linux, proc(5)).
func resident() (float64, error) {
	debug.FreeOSMemory()
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0, fmt.Errorf("resident memory is measured on Linux only: %w", err)
	}
	var size, pages int
	if _, err := fmt.Sscan(string(text), &size, &pages); err != nil {
		return 0, err
	}
	return float64(pages * os.Getpagesize()), nil
}

// memory measures the memory of an idle instance.
func (b *bench) memory(ctx context.Context) error {
	c, err := b.guest("guests/echo.wasm")
	if err != nil {
		return err
	}
	g, err := b.build(ctx, "plugins-src/order-audit")
	if err != nil {
		return err
	}
	for _, k := range []struct {
		name   string
		wasm   []byte
		n      int
		target float64
	}{{"C", c, 400, 64}, {"Go", g, 40, 4096}} {
		engine, err := newEngine("")
		if err != nil {
			return err
		}
		m, err := engine.Load(ctx, spec.NewArtifact(k.wasm), sandbox.Options{})
		if err != nil {
			return err
		}
		var pools []*sandbox.Pool
		before, err := resident()
		if err != nil {
			return err
		}
		for range k.n {
			f, err := newFlood(`{}`)
			if err != nil {
				return err
			}
			p, err := m.NewPool(ctx, sandbox.PoolConfig{Source: f, Limits: spec.Limits{Concurrency: 1}})
			if err != nil {
				return err
			}
			pools = append(pools, p)
		}
		after, err := resident()
		if err != nil {
			return err
		}
		b.upperBound("resident memory of an idle "+k.name+" instance", (after-before)/float64(k.n)/1024, k.target, "KiB")
		for _, p := range pools {
			_ = p.Drain(ctx)
		}
		_ = m.Close(ctx)
	}
	return nil
}
