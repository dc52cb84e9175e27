package host_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"golang.org/x/sys/unix"

	"github.com/berth-host/berth/host/bus"
	"github.com/berth-host/berth/host/delivery"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/sandbox"
	"github.com/berth-host/berth/host/sandbox/pointer"
	"github.com/berth-host/berth/host/sandbox/vet"
	"github.com/berth-host/berth/host/store"
)

const benchHandlers = 10

// benchLog is an engine with a bus before it, as a Host has them.
type benchLog struct {
	*bus.Bus
	engine interface {
		bus.Log
		delivery.Store
	}
}

func (l benchLog) Subscribe(from uint64) delivery.Reader { return l.Bus.Subscribe(from) }
func (l benchLog) Read(ctx context.Context, from uint64, limit int) ([]event.Record, error) {
	return l.engine.Read(ctx, from, limit)
}

func newBenchLog(b *testing.B, engine interface {
	bus.Log
	delivery.Store
}) benchLog {
	feed, err := bus.New(bus.Config{Log: engine, RingSize: 4096})
	if err == nil {
		err = feed.Start(b.Context())
	}
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = feed.Close(context.Background()) })
	return benchLog{feed, engine}
}

// benchEvents makes n events, each of a subject of its own.
func benchEvents(b *testing.B, n int) []*event.Event {
	events := make([]*event.Event, n)
	for i := range events {
		ev, err := event.New(event.Draft{Type: "order_status_changed", Subject: fmt.Sprint("o-", i),
			Data: []byte(`{"order_id":"o-1","customer_id":"c-1","status":"shipped","previous_status":"processing","total_cents":2490}`)})
		if err != nil {
			b.Fatal(err)
		}
		events[i] = ev
	}
	return events
}

// publish appends events, 100 at a time.
func (l benchLog) publish(b *testing.B, events []*event.Event) {
	for group := range slices.Chunk(events, 100) {
		if _, err := l.engine.Append(b.Context(), group); err != nil {
			b.Fatal(err)
		}
	}
}

// fleet is ten handlers with a pool of the echo guest each.
type fleet struct {
	handlers []*delivery.Handler
	stop     func()
}

var benchPolicy = delivery.Policy{
	Key:     func(ev *event.Event) string { return ev.Metadata().Subject },
	Breaker: delivery.Breaker{Failures: 10},
}

func newFleet(b *testing.B, log benchLog, wasm []byte) *fleet {
	engine, err := sandbox.New(sandbox.Config{Vetter: vet.InProcess{}})
	if err != nil {
		b.Fatal(err)
	}
	d := delivery.New(delivery.Config{Store: log.engine, Log: log})
	f := &fleet{}
	var undo []func()
	for i := range benchHandlers {
		m, err := engine.Load(b.Context(), wasm, sandbox.Options{})
		if err != nil {
			b.Fatal(err)
		}
		h, err := d.Open(b.Context(), delivery.HandlerConfig{Name: fmt.Sprint("h", i), Policy: benchPolicy})
		if err != nil {
			b.Fatal(err)
		}
		p, err := m.NewPool(b.Context(), sandbox.PoolConfig{Name: fmt.Sprint("h", i), Source: h})
		if err != nil {
			b.Fatal(err)
		}
		f.handlers = append(f.handlers, h)
		undo = append(undo, func() { _ = p.Drain(context.Background()); _ = m.Close(context.Background()) })
	}
	f.stop = func() {
		for _, u := range undo {
			u()
		}
		if err := d.Close(context.Background()); err != nil {
			b.Error(err)
		}
	}
	return f
}

// await waits until every handler has delivered so many events.
func (f *fleet) await(b *testing.B, delivered uint64) {
	for _, h := range f.handlers {
		for h.Stats().Delivered < delivered {
			if b.Context().Err() != nil {
				b.Fatal("too slow")
			}
			time.Sleep(200 * time.Microsecond)
		}
		if s := h.Stats(); s.Failed > 0 {
			b.Fatalf("got %+v", s)
		}
	}
}

// rawLoops runs the guest bare, in two goroutines with a runtime each: write the
// envelope, call, read the result, and nothing else. The guest asks for a field:
// with find it is looked for in the envelope, else the answer is at hand. It
// answers the events per second.
func rawLoops(b *testing.B, wasm []byte, n int, find bool) float64 {
	envelope, i32 := benchEvents(b, 1)[0].Envelope(), api.ValueTypeI32
	var ready, done sync.WaitGroup
	begin := make(chan struct{})
	var read atomic.Int64
	for range 2 {
		ready.Add(1)
		done.Go(func() {
			ctx := context.Background()
			r := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigCompiler())
			defer r.Close(ctx)
			left, bytes := n/2, 0
			var result [4096]byte
			function := func(f func(mod api.Module, stack []uint64)) api.GoModuleFunc {
				return func(_ context.Context, mod api.Module, stack []uint64) { f(mod, stack) }
			}
			host := r.NewHostModuleBuilder("berth_v1")
			host.NewFunctionBuilder().WithGoModuleFunction(function(func(mod api.Module, stack []uint64) {
				if left == 0 {
					stack[0] = 1<<32 - 1 // END
					return
				}
				left--
				mod.Memory().WriteString(uint32(stack[0]), envelope)
				stack[0] = uint64(len(envelope))
			}), []api.ValueType{i32, i32}, []api.ValueType{i32}).Export("next")
			host.NewFunctionBuilder().WithGoModuleFunction(function(func(mod api.Module, stack []uint64) {
				value := "shipped"
				if find {
					name, _ := mod.Memory().Read(uint32(stack[0]), uint32(stack[1]))
					value, _ = pointer.Get(envelope, string(name))
				}
				mod.Memory().WriteString(uint32(stack[2]), value)
				stack[0] = uint64(len(value))
			}), []api.ValueType{i32, i32, i32, i32}, []api.ValueType{i32}).Export("field")
			host.NewFunctionBuilder().WithGoModuleFunction(function(func(mod api.Module, stack []uint64) {
				view, _ := mod.Memory().Read(uint32(stack[1]), uint32(stack[2]))
				bytes += copy(result[:], view)
				stack[0] = 0
			}), []api.ValueType{i32, i32, i32}, []api.ValueType{i32}).Export("finish")
			if _, err := host.Instantiate(ctx); err != nil {
				b.Error(err)
			}
			mod, err := r.InstantiateWithConfig(ctx, wasm, wazero.NewModuleConfig().WithName("").WithStartFunctions())
			if err != nil {
				b.Error(err)
			}
			ready.Done()
			<-begin
			if _, err := mod.ExportedFunction("run").Call(ctx); err != nil {
				b.Error(err)
			}
			read.Add(int64(bytes))
		})
	}
	ready.Wait()
	start := time.Now()
	close(begin)
	done.Wait()
	if want := int64(n * len(`{"echo":"shipped"}`)); read.Load() != want {
		b.Fatalf("read %d bytes of results, want %d", read.Load(), want)
	}
	return float64(n) / time.Since(start).Seconds()
}

// cpu is the processor time that this process has used. Where others use the
// machine too it tells more than the clock on the wall.
func cpu(b *testing.B) time.Duration {
	var used unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

func middle(xs []float64) float64 {
	slices.Sort(xs)
	return xs[len(xs)/2]
}

// BenchmarkFanOut is what ten handlers deliver together from the memory engine,
// publishing included, against the raw ceiling: the same guest run bare on two
// cores. They take turns, and the medians are compared.
func BenchmarkFanOut(b *testing.B) {
	wasm, err := os.ReadFile(filepath.Join("..", "testdata", "guests", "echo.wasm"))
	if err != nil {
		b.Fatal(err)
	}
	const events = 20_000
	m := bus.NewMemory(bus.MemoryConfig{})
	log := newBenchLog(b, m)
	f := newFleet(b, log, wasm)
	defer f.stop()
	total := 0
	var ours, raw, finding, oursCPU, rawCPU, findingCPU []float64
	turn := func(list []*event.Event) float64 {
		start := time.Now()
		log.publish(b, list)
		total += events
		f.await(b, uint64(total))
		took := time.Since(start)
		if _, err := m.Trim(b.Context(), uint64(total)); err != nil {
			b.Fatal(err)
		}
		return events * benchHandlers / took.Seconds()
	}
	turn(benchEvents(b, events))
	for b.Loop() {
		list := benchEvents(b, events)
		measure := func(rates, costs *[]float64, run func() float64) {
			before := cpu(b)
			*rates = append(*rates, run())
			*costs = append(*costs, float64(cpu(b)-before)/events/benchHandlers)
		}
		measure(&ours, &oursCPU, func() float64 { return turn(list) })
		measure(&raw, &rawCPU, func() float64 { return rawLoops(b, wasm, events*benchHandlers, false) })
		measure(&finding, &findingCPU, func() float64 { return rawLoops(b, wasm, events*benchHandlers, true) })
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(middle(ours), "deliveries/s")
	b.ReportMetric(middle(raw), "raw/s")
	b.ReportMetric(middle(finding), "finding/s")
	b.ReportMetric(middle(oursCPU), "cpu-ns/delivery")
	b.ReportMetric(100*middle(rawCPU)/middle(oursCPU), "%raw-cpu")
	b.ReportMetric(100*middle(findingCPU)/middle(oursCPU), "%finding-cpu")
	b.ReportMetric(100*middle(ours)/middle(raw), "%raw")
	b.ReportMetric(100*middle(ours)/middle(finding), "%finding")
}

// BenchmarkDurableLog is what ten handlers deliver together from the SQLite file,
// in which the events are already, and in which outcomes and cursors are written.
func BenchmarkDurableLog(b *testing.B) {
	wasm, err := os.ReadFile(filepath.Join("..", "testdata", "guests", "echo.wasm"))
	if err != nil {
		b.Fatal(err)
	}
	const events = 50_000
	var ours, skipped []float64
	for b.Loop() {
		b.StopTimer()
		s, err := store.Open(b.Context(), store.Config{Path: filepath.Join(b.TempDir(), "berth.db")})
		if err != nil {
			b.Fatal(err)
		}
		log := newBenchLog(b, s)
		d := delivery.New(delivery.Config{Store: s, Log: log})
		for i := range benchHandlers {
			if err := d.Claim(b.Context(), fmt.Sprint("h", i)); err != nil {
				b.Fatal(err)
			}
		}
		_ = d.Close(b.Context())
		log.publish(b, benchEvents(b, events))
		b.StartTimer()
		start := time.Now()
		f := newFleet(b, log, wasm)
		f.await(b, events)
		ours = append(ours, events*benchHandlers/time.Since(start).Seconds())
		n := uint64(0)
		for _, h := range f.handlers {
			n += h.Stats().HistorySkipped
		}
		skipped = append(skipped, 100*float64(n)/events/benchHandlers)
		b.StopTimer()
		f.stop()
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(middle(ours), "deliveries/s")
	b.ReportMetric(middle(skipped), "%skipped")
}
