package host_test

import (
	"context"
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

// run calls the guest until it has handled so many events. ready is called before the first.
func (f *floorHandler) run(b *testing.B, metered []byte, ready func()) {
	ctx := context.Background()
	r := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigCompiler())
	defer r.Close(ctx)
	mod, err := f.instantiate(ctx, r, metered)
	ready()
	if err == nil {
		_, err = mod.ExportedFunction("run").Call(ctx)
	}
	if err != nil {
		b.Error(err)
	}
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

// floorLoops publishes the events to the memory engine and has each handler of the floor
// handle them. It returns the deliveries per second.
func floorLoops(b *testing.B, wasm []byte, handlers int, events []*event.Event) float64 {
	metered, _, err := meter.Rewrite(wasm, meter.Config{})
	if err != nil {
		b.Fatal(err)
	}
	m := bus.NewMemory(bus.MemoryConfig{Window: benchWindow()})
	log := newBenchLog(b, m, m.Window())
	var ready, done sync.WaitGroup
	list := make([]*floorHandler, handlers)
	for i := range list {
		f := &floorHandler{events: log.Bus.Subscribe(1), left: len(events), epoch: time.Now()}
		f.seqs, f.ends, f.fuels = make([]uint64, 0, len(events)), make([]int, 0, len(events)), make([]int64, 0, len(events))
		f.ats, f.took = make([]time.Duration, 0, len(events)), make([]time.Duration, 0, len(events))
		f.results = make([]byte, 0, 32*len(events))
		defer f.events.Close()
		list[i] = f
		ready.Add(1)
		done.Go(func() { f.run(b, metered, ready.Done) })
	}
	ready.Wait()
	start := time.Now()
	log.publish(b, events)
	done.Wait()
	rate := float64(handlers*len(events)) / time.Since(start).Seconds()
	for _, f := range list {
		if want := len(events) * len(`{"echo":"shipped"}`); len(f.results) != want || len(f.seqs) != len(events) {
			b.Fatalf("%d outcomes with %d bytes of results, want %d with %d", len(f.seqs), len(f.results), len(events), want)
		}
	}
	return rate
}
