package meter

import (
	"context"
	"math"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

type workload struct {
	name string
	wasm func(testing.TB) []byte
	fn   string
	arg  uint64
	json bool // arg is the length of order, written to the guest's input
}

func cGuest(name string) func(testing.TB) []byte {
	return func(t testing.TB) []byte { return readGuest(t, "c/"+name) }
}

var workloads = []workload{
	{name: "go-json", wasm: goJSON, fn: "handle", json: true},
	{name: "c-json", wasm: cGuest("guest_fast.wasm"), fn: "handle", json: true},
	{name: "c-json-size", wasm: cGuest("guest_small.wasm"), fn: "handle", json: true},
	{name: "tight-loop", wasm: cGuest("guest_fast.wasm"), fn: "sum", arg: 20000},
	{name: "fib", wasm: cGuest("guest_fast.wasm"), fn: "fib", arg: 18},
	{name: "fib-size", wasm: cGuest("guest_small.wasm"), fn: "fib", arg: 18},
	{name: "sieve", wasm: cGuest("guest_fast.wasm"), fn: "sieve", arg: 5000},
	{name: "matrix-simd", wasm: cGuest("guest_fast.wasm"), fn: "matrix", arg: 1},
	{name: "interpreter", wasm: cGuest("guest_fast.wasm"), fn: "interpret", arg: 10000},
	{name: "sort-indirect", wasm: cGuest("guest_small.wasm"), fn: "sorted", arg: 1000},
	{name: "assemblyscript", wasm: func(t testing.TB) []byte { return readGuest(t, "assemblyscript/guest_as.wasm") }, fn: "inventory", arg: 100},
	{name: "copies", wasm: cGuest("guest_fast.wasm"), fn: "copies", arg: 200},
}

// runner calls a workload's function.
type runner struct {
	mod   api.Module
	fn    api.Function
	input api.Function
	stack []uint64
	w     workload
	best  float64 // ns a call
}

func newRunner(t testing.TB, w workload, wasm []byte, k *tank, cfg wazero.RuntimeConfig) *runner {
	mod := start(t, wasm, k, cfg)
	r := &runner{mod: mod, fn: mod.ExportedFunction(w.fn), input: mod.ExportedFunction("input"), stack: make([]uint64, 2), w: w, best: math.Inf(1)}
	return r
}

func (r *runner) call(t testing.TB) uint64 {
	arg := r.w.arg
	if r.w.json {
		if err := r.input.CallWithStack(context.Background(), r.stack); err != nil {
			t.Fatal(err)
		}
		r.mod.Memory().WriteString(uint32(r.stack[0]), order)
		arg = uint64(len(order))
	}
	r.stack[0], r.stack[1] = arg, 0
	if err := r.fn.CallWithStack(context.Background(), r.stack); err != nil {
		t.Fatal(err)
	}
	return r.stack[0]
}

// BenchmarkRatios times each workload as it is, metered, and with the engine's own
// termination checks, alternately, and reports the ratios of the best runs.
func BenchmarkRatios(b *testing.B) {
	for _, w := range workloads {
		b.Run(w.name, func(b *testing.B) {
			plain := wazero.NewRuntimeConfigCompiler()
			wasm := w.wasm(b)
			k := &tank{slice: 1 << 20}
			runners := []*runner{
				newRunner(b, w, wasm, &tank{}, plain),
				newRunner(b, w, mustRewrite(b, wasm), k, plain),
				newRunner(b, w, wasm, &tank{}, plain.WithCloseOnContextDone(true)),
			}
			var used, calls int64
			for b.Loop() {
				for i, r := range runners {
					r.call(b)
					n := 0
					begin := time.Now()
					for time.Since(begin) < 2*time.Millisecond {
						if w.json {
							r.call(b)
						} else {
							r.stack[0], r.stack[1] = w.arg, 0
							if err := r.fn.CallWithStack(context.Background(), r.stack); err != nil {
								b.Fatal(err)
							}
						}
						n++
					}
					r.best = min(r.best, float64(time.Since(begin).Nanoseconds())/float64(n))
					if i == 1 {
						calls += int64(n) + 1
					}
				}
			}
			used = k.used(runners[1].mod)
			b.ReportMetric(runners[0].best/1000, "plain-µs")
			b.ReportMetric(runners[1].best/runners[0].best, "metered/plain")
			b.ReportMetric(runners[2].best/runners[0].best, "ctxdone/plain")
			b.ReportMetric(float64(used)/float64(calls), "fuel/call")
			b.ReportMetric(float64(used)/float64(calls)/runners[1].best, "fuel/ns")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// stackOf calls a function without parameters and returns its result.
func (r *runner) stackOf(t testing.TB, fn string) uint64 {
	t.Helper()
	got, err := r.mod.ExportedFunction(fn).Call(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return got[0]
}
