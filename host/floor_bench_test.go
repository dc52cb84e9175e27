package host_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/berth-host/berth/host/bus"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/sandbox/meter"
)

// floorHandler does the least that a host has to do for a handler: it reads the log, copies
// each envelope into the guest, which is metered and calls next and finish as a plugin does,
// reads the clock and the fuel once an event, and appends the outcome to columns. It has no
// order, retries, deadlines, limits, queue or shared state.
type floorHandler struct {
	events *bus.Subscription
	buf    [64]event.Record
	n, at  int // records in buf, and of them taken
	left   int // events until the guest ends
	epoch  time.Time
	begun  time.Duration
	fuel   api.MutableGlobal
	total  int64 // fuel granted

	seqs      []uint64
	ends      []int
	ats, took []time.Duration
	fuels     []int64
	results   []byte
}

// next is the guest's next: (buf, cap) -> n.
func (f *floorHandler) next(ctx context.Context, mod api.Module, stack []uint64) {
	if f.left == 0 {
		stack[0] = 1<<32 - 1 // END
		return
	}
	if f.at == f.n {
		n, err := f.events.Next(ctx, f.buf[:])
		if err != nil {
			panic(err)
		}
		f.n, f.at = n, 0
		f.begun = time.Since(f.epoch)
	}
	f.left--
	f.at++
	envelope := f.buf[f.at-1].Event.Envelope()
	if !mod.Memory().WriteString(uint32(stack[0]), envelope) {
		panic("out of bounds")
	}
	stack[0] = uint64(len(envelope))
}

// finish is the guest's finish: (status, ptr, len) -> 0.
func (f *floorHandler) finish(_ context.Context, mod api.Module, stack []uint64) {
	view, ok := mod.Memory().Read(uint32(stack[1]), uint32(stack[2]))
	if !ok || uint32(stack[0]) != 0 {
		panic("not ok")
	}
	now, used := time.Since(f.epoch), f.total-int64(f.fuel.Get())
	f.seqs = append(f.seqs, f.buf[f.at-1].Seq)
	f.results = append(f.results, view...)
	f.ends = append(f.ends, len(f.results))
	f.ats, f.took, f.fuels = append(f.ats, now), append(f.took, now-f.begun), append(f.fuels, used)
	f.begun = now
	stack[0] = 0
}

func (f *floorHandler) instantiate(ctx context.Context, r wazero.Runtime, metered []byte) (api.Module, error) {
	m, err := r.CompileModule(ctx, metered)
	if err != nil {
		return nil, err
	}
	calls := map[string]api.GoModuleFunc{"next": f.next, "finish": f.finish}
	host := r.NewHostModuleBuilder("berth_v1")
	for _, imported := range m.ImportedFunctions() {
		module, name, _ := imported.Import()
		if module == meter.DefaultModule {
			continue
		}
		host.NewFunctionBuilder().WithGoModuleFunction(calls[name], imported.ParamTypes(), imported.ResultTypes()).Export(name)
	}
	if _, err := host.Instantiate(ctx); err != nil {
		return nil, err
	}
	refill := api.GoModuleFunc(func(_ context.Context, _ api.Module, stack []uint64) {
		f.total += 500_000
		stack[0] += 500_000
	})
	i64 := []api.ValueType{api.ValueTypeI64}
	if _, err := r.NewHostModuleBuilder(meter.DefaultModule).NewFunctionBuilder().WithGoModuleFunction(refill, i64, i64).
		Export(meter.DefaultName).Instantiate(ctx); err != nil {
		return nil, err
	}
	mod, err := r.InstantiateModule(ctx, m, wazero.NewModuleConfig().WithName("").WithStartFunctions())
	if err != nil {
		return nil, err
	}
	f.fuel = mod.ExportedGlobal(meter.DefaultGlobal).(api.MutableGlobal)
	if left, ok := mod.ExportedGlobal(meter.DefaultStack).(api.MutableGlobal); ok {
		left.Set(1 << 20)
	}
	return mod, nil
}

// floor is a host that does the least: see floorHandler. Like a fleet it lives as long as
// the benchmark.
type floor struct {
	engine   *bus.Memory
	log      benchLog
	handlers []*floorHandler
	loops    []api.Function // the guests'
}

func newFloor(b *testing.B, wasm []byte, handlers int) *floor {
	metered, _, err := meter.Rewrite(wasm, meter.Config{})
	if err != nil {
		b.Fatal(err)
	}
	m := bus.NewMemory(bus.MemoryConfig{Window: benchWindow()})
	x := &floor{engine: m, log: newBenchLog(b, m, m.Window())}
	for range handlers {
		r := wazero.NewRuntimeWithConfig(b.Context(), wazero.NewRuntimeConfigCompiler())
		b.Cleanup(func() { _ = r.Close(context.Background()) })
		f := &floorHandler{events: x.log.Bus.Subscribe(1), epoch: time.Now()}
		b.Cleanup(f.events.Close)
		mod, err := f.instantiate(b.Context(), r, metered)
		if err != nil {
			b.Fatal(err)
		}
		x.handlers, x.loops = append(x.handlers, f), append(x.loops, mod.ExportedFunction("run"))
	}
	return x
}

// deliver publishes events and has every handler handle them. It returns the deliveries
// per second.
func (x *floor) deliver(b *testing.B, events []*event.Event) float64 {
	n := len(events)
	for _, f := range x.handlers {
		f.left = n
		f.seqs, f.ends, f.fuels = slices.Grow(f.seqs[:0], n), slices.Grow(f.ends[:0], n), slices.Grow(f.fuels[:0], n)
		f.ats, f.took = slices.Grow(f.ats[:0], n), slices.Grow(f.took[:0], n)
		f.results = slices.Grow(f.results[:0], 32*n)
	}
	var done sync.WaitGroup
	start := time.Now()
	for _, loop := range x.loops {
		done.Go(func() {
			if _, err := loop.Call(b.Context()); err != nil {
				b.Error(err)
			}
		})
	}
	x.log.publish(b, events)
	done.Wait()
	rate := float64(n*len(x.handlers)) / time.Since(start).Seconds()
	for _, f := range x.handlers {
		if want := n * len(`{"echo":"shipped"}`); len(f.results) != want || len(f.seqs) != n {
			b.Fatalf("%d outcomes with %d bytes of results, want %d with %d", len(f.seqs), len(f.results), n, want)
		}
	}
	return rate
}

// trim removes the events of the log.
func (x *floor) trim(b *testing.B) {
	if _, err := x.engine.Trim(b.Context(), x.engine.Last()); err != nil {
		b.Fatal(err)
	}
}
