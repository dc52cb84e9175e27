package host_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
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
	"github.com/berth-host/berth/host/sandbox/vet"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/store"
)

const benchHandlers = 10

// benchLog is an engine with a bus before it, as a Host has them.
type benchLog struct {
	*bus.Bus
	engine bus.Engine
}

func (l benchLog) Subscribe(from uint64) delivery.Reader { return l.Bus.Subscribe(from) }
func (l benchLog) Read(ctx context.Context, from uint64, limit int) ([]event.Record, error) {
	return l.engine.Read(ctx, from, limit)
}

// benchWindow is as large as a Host makes it by default.
func benchWindow() *bus.Window { return bus.NewWindow(bus.WindowConfig{Events: 4096}) }

func newBenchLog(b *testing.B, engine bus.Engine, window *bus.Window) benchLog {
	feed, err := bus.New(bus.Config{Log: engine, Window: window})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(feed.Close)
	return benchLog{feed, engine}
}

// benchOrder is what the host itself publishes when an order's status changes.
const benchOrder = `{"id":"o-1001","customer_id":"ada","currency":"EUR","items":[{"sku":"TEAPOT","quantity":1,"unit_price_cents":2490},{"sku":"CUP","quantity":4,"unit_price_cents":890}],"total_cents":6050,"status":"shipped","version":4,"created_at":"2026-01-02T15:04:05Z","updated_at":"2026-01-02T15:04:06Z","order_id":"o-1001","previous_status":"processing"}`

// benchEvents makes n events, each of a subject of its own.
func benchEvents(b *testing.B, n int) []*event.Event {
	events := make([]*event.Event, n)
	for i := range events {
		ev, err := event.New(event.Draft{Type: "order_status_changed", Subject: fmt.Sprint("o-", i),
			Data: []byte(benchOrder)})
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

// fleet is a number of handlers, each with a pool of the same guest.
type fleet struct {
	dispatcher *delivery.Dispatcher
	handlers   []*delivery.Source
	stop       func()
}

var benchPolicy = delivery.Policy{
	Key:     (*event.Event).Subject,
	Breaker: spec.BreakerPolicy{Failures: 10},
}

// source adapts a handler to the sandbox, as a Host does.
type source struct{ *delivery.Source }

func (s source) Lease() sandbox.Lease { return s.Source.Lease() }

func newFleet(b *testing.B, log benchLog, wasm []byte, handlers, concurrency int) *fleet {
	return newFleetOf(b, log, wasm, handlers, sandbox.PoolConfig{Limits: spec.Limits{Concurrency: concurrency}})
}

// newFleetOf starts the handlers with this configuration of their pools.
func newFleetOf(b *testing.B, log benchLog, wasm []byte, handlers int, cfg sandbox.PoolConfig) *fleet {
	engine, err := sandbox.New(sandbox.Config{Vetter: vet.InProcess{}})
	if err != nil {
		b.Fatal(err)
	}
	d := delivery.New(delivery.Config{Store: log.engine, Log: log})
	f := &fleet{dispatcher: d}
	var undo []func()
	for i := range handlers {
		m, err := engine.Load(b.Context(), spec.NewArtifact(wasm), sandbox.Options{})
		if err != nil {
			b.Fatal(err)
		}
		h, err := d.Open(b.Context(), fmt.Sprint("h", i), "", benchPolicy)
		if err != nil {
			b.Fatal(err)
		}
		cfg.Name, cfg.Source = fmt.Sprint("h", i), source{h}
		p, err := m.NewPool(b.Context(), cfg)
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

// claim gives the handlers of a fleet their positions at the end of the log.
func claim(b *testing.B, log benchLog, handlers int) {
	d := delivery.New(delivery.Config{Store: log.engine, Log: log})
	for i := range handlers {
		if err := d.Claim(b.Context(), fmt.Sprint("h", i)); err != nil {
			b.Fatal(err)
		}
	}
	_ = d.Close(b.Context())
}

// await waits until every handler has delivered this number of events.
func (f *fleet) await(b *testing.B, delivered uint64) {
	look := time.NewTicker(200 * time.Microsecond)
	defer look.Stop()
	for _, h := range f.handlers {
		for h.Stats().Delivered < delivered {
			if b.Context().Err() != nil {
				b.Fatal("too slow")
			}
			<-look.C
		}
		if s := h.Stats(); s.Failed > 0 {
			b.Fatalf("got %+v", s)
		}
	}
}

// rawLoops measures the ceiling: goroutines that each run the same guest in a wazero
// runtime of their own, without metering and without Berth, and together call it for each
// event this number of times. Each iteration writes the envelope, calls the function and
// reads the result. It returns the calls per second.
func rawLoops(b *testing.B, wasm []byte, goroutines, times int, events []*event.Event) float64 {
	n := times * len(events)
	var ready, done sync.WaitGroup
	begin := make(chan struct{})
	var read atomic.Int64
	for range goroutines {
		ready.Add(1)
		done.Go(func() {
			ctx := context.Background()
			r := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigCompiler())
			defer r.Close(ctx)
			mod, err := bare(ctx, r, wasm)
			if err != nil {
				b.Error(err)
				ready.Done()
				return
			}
			memory, handle := mod.ExportedMemory("memory"), mod.ExportedFunction("handle")
			stack := []uint64{0}
			address := func(name string) uint32 {
				if err := mod.ExportedFunction(name).CallWithStack(ctx, stack); err != nil {
					b.Error(err)
				}
				return uint32(stack[0])
			}
			input, output, bytes := address("input"), address("output"), 0
			var result [4096]byte
			ready.Done()
			<-begin
			for i := range n / goroutines {
				envelope := events[i%len(events)].Envelope()
				memory.WriteString(input, envelope)
				stack[0] = uint64(len(envelope))
				if err := handle.CallWithStack(ctx, stack); err != nil {
					b.Error(err)
					return
				}
				view, _ := memory.Read(output, uint32(stack[0]))
				bytes += copy(result[:], view)
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

// bare instantiates a guest whose imports are never called.
func bare(ctx context.Context, r wazero.Runtime, wasm []byte) (api.Module, error) {
	m, err := r.CompileModule(ctx, wasm)
	if err != nil {
		return nil, err
	}
	host := r.NewHostModuleBuilder("berth_v1")
	for _, f := range m.ImportedFunctions() {
		_, name, _ := f.Import()
		host.NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(func(context.Context, api.Module, []uint64) {
			panic("called")
		}), f.ParamTypes(), f.ResultTypes()).Export(name)
	}
	if _, err := host.Instantiate(ctx); err != nil {
		return nil, err
	}
	return r.InstantiateModule(ctx, m, wazero.NewModuleConfig().WithName("").WithStartFunctions())
}

// cpu returns the processor time that this process has used. On a shared machine it is
// more precise than elapsed time.
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

// BenchmarkFanOut compares ten handlers on the memory engine, publishing included, with
// the same guest in plain wazero on two cores.
func BenchmarkFanOut(b *testing.B) { compareWithRaw(b, 10, 4, 2, 20_000) }

// BenchmarkDelivery compares one handler with one instance on the memory engine,
// publishing included, with the same guest in plain wazero in one goroutine.
func BenchmarkDelivery(b *testing.B) { compareWithRaw(b, 1, 1, 1, 100_000) }

// compareWithRaw alternates between a fleet, plain wazero and the floor (see floorHandler)
// with the same events and compares the medians. It measures publishing alone on a log
// without readers: "x-raw-delivering" excludes it.
func compareWithRaw(b *testing.B, handlers, concurrency, goroutines, events int) {
	m := bus.NewMemory(bus.MemoryConfig{Window: benchWindow()})
	log := newBenchLog(b, m, m.Window())
	wasm := benchGuest(b, "parse_echo")
	f := newFleet(b, log, wasm, handlers, concurrency)
	defer f.stop()
	total, deliveries := 0, float64(events*handlers)
	reference := newFloor(b, wasm, handlers)
	var ours, raw, floor, oursCPU, rawCPU, floorCPU, publishing, publishCPU []float64
	deliver := func(list []*event.Event) float64 {
		start := time.Now()
		log.publish(b, list)
		total += events
		f.await(b, uint64(total))
		return deliveries / time.Since(start).Seconds()
	}
	deliver(benchEvents(b, events))
	reference.deliver(b, benchEvents(b, events))
	for b.Loop() {
		list := benchEvents(b, events)
		measure := func(rates, costs *[]float64, run func() float64) {
			runtime.GC() // garbage of the former iteration is not part of this one
			runtime.GC() // completes the sweep
			before := cpu(b)
			*rates = append(*rates, run())
			*costs = append(*costs, float64(cpu(b)-before)/deliveries)
		}
		measure(&publishing, &publishCPU, func() float64 {
			start := time.Now()
			alone := benchLog{engine: bus.NewMemory(bus.MemoryConfig{})}
			alone.publish(b, list)
			return deliveries / time.Since(start).Seconds()
		})
		measure(&ours, &oursCPU, func() float64 { return deliver(list) })
		if _, err := m.Trim(b.Context(), uint64(total)); err != nil {
			b.Fatal(err)
		}
		measure(&raw, &rawCPU, func() float64 { return rawLoops(b, wasm, goroutines, handlers, list) })
		measure(&floor, &floorCPU, func() float64 { return reference.deliver(b, list) })
		reference.trim(b)
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(middle(ours), "deliveries/s")
	b.ReportMetric(middle(raw), "raw/s")
	b.ReportMetric(middle(oursCPU), "cpu-ns/delivery")
	b.ReportMetric(middle(rawCPU), "cpu-ns/raw")
	b.ReportMetric(middle(floorCPU), "cpu-ns/floor")
	b.ReportMetric(middle(publishCPU), "cpu-ns/publishing")
	b.ReportMetric(middle(raw)/middle(floor), "floor-x-raw")
	b.ReportMetric(100*middle(floor)/middle(raw), "floor-%raw")
	b.ReportMetric(middle(floor)/middle(ours), "x-floor")
	b.ReportMetric(100*middle(ours)/middle(floor), "%floor")
	b.ReportMetric(middle(oursCPU)/middle(floorCPU), "x-floor-cpu")
	b.ReportMetric(100*middle(ours)/middle(raw), "%raw")
	b.ReportMetric(middle(raw)/middle(ours), "x-raw")
	b.ReportMetric(middle(oursCPU)/middle(rawCPU), "x-raw-cpu")
	b.ReportMetric((middle(oursCPU)-middle(publishCPU))/middle(rawCPU), "x-raw-delivering")
}

func benchGuest(b *testing.B, name string) []byte {
	wasm, err := os.ReadFile(filepath.Join("..", "testdata", "guests", name+".wasm"))
	if err != nil {
		b.Fatal(err)
	}
	return wasm
}

// BenchmarkDurableLog measures ten handlers on the SQLite engine that read stored events
// and write outcomes and cursors.
func BenchmarkDurableLog(b *testing.B) {
	wasm := benchGuest(b, "echo")
	const events = 50_000
	var ours []float64
	for b.Loop() {
		b.StopTimer()
		window := benchWindow()
		s, err := store.Open(b.Context(), store.Config{Path: filepath.Join(b.TempDir(), "berth.db"), Window: window})
		if err != nil {
			b.Fatal(err)
		}
		log := newBenchLog(b, s, window)
		claim(b, log, benchHandlers)
		log.publish(b, benchEvents(b, events))
		b.StartTimer()
		start := time.Now()
		f := newFleet(b, log, wasm, benchHandlers, 4)
		f.await(b, events)
		ours = append(ours, events*benchHandlers/time.Since(start).Seconds())
		b.StopTimer()
		f.stop()
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(middle(ours), "deliveries/s")
}
