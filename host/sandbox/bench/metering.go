package main

import (
	"context"
	"fmt"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"

	"github.com/berth-host/berth/host/sandbox/meter"
)

// order is the input of the JSON guests.
const order = `{"event_type":"order_status_changed","data":{"id":"o-1001","customer_id":"ada","currency":"EUR","items":[{"sku":"TEAPOT"` +
	`,"quantity":1,"unit_price_cents":2490},{"sku":"CUP","quantity":4,"unit_price_cents":890}],"total_cents":6050,"status":"s` +
	`hipped","version":4,"order_id":"o-1001","previous_status":"processing"},"metadata":{"subject":"o-1001","hops":0}}`

// workload is a function of a module that is called repeatedly.
type workload struct {
	name     string
	wasm     []byte
	function string
	arg      uint64 // ignored for JSON: the length of order
	json     bool
	slower   float64 // upper bound of metered against plain
	faster   float64 // lower bound of wazero's termination against metered; 0: no target
	why      string  // why slower may be missed
}

func (b *bench) metering(ctx context.Context) error {
	goJSON, err := b.build(ctx, b.testdata+"/meter/gojson", "-buildmode=c-shared")
	if err != nil {
		return err
	}
	fast, err := b.guest("meter/c/guest_fast.wasm")
	if err != nil {
		return err
	}
	small, err := b.guest("meter/c/guest_small.wasm")
	if err != nil {
		return err
	}
	for _, w := range []workload{
		{name: "Go, JSON", wasm: goJSON, function: "handle", json: true, slower: 1.05, faster: 4,
			why: "0.85 to 0.89 were measured: jumps forwards do not pass the switch that they pass unmetered."},
		{name: "C -O3, JSON", wasm: fast, function: "handle", json: true, slower: 1.15,
			why: "at -O3 the parser is loops of a few instructions each, and their addresses in memory count as much " +
				"as their charges: 0.98 to 1.13 were measured."},
		{name: "C -Oz, JSON", wasm: small, function: "handle", json: true, slower: 1.15},
		{name: "C, recursive fib", wasm: fast, function: "fib", arg: 20, slower: 1.3},
	} {
		metered, checked, err := compare(ctx, w)
		if err != nil {
			return fmt.Errorf("%s: %w", w.name, err)
		}
		b.upperBound(w.name+": metered against unmetered", metered, w.slower, "×")
		b.because(w.why)
		if w.faster > 0 {
			b.lowerBound(w.name+": faster than WithCloseOnContextDone", checked, w.faster, "×")
			b.because("the cost of the runtime's own checks differs between machines, by the cost of leaving compiled code; " +
				"3 to 5 times were measured.")
		}
	}
	return nil
}

// compare returns by how much a call of the metered module is slower than one of the
// original module, and faster than one with wazero's own termination. The three alternate,
// and each starts a round equally often; a ratio is of one round, so that the machine's
// drift cancels out, and the result is the median.
func compare(ctx context.Context, w workload) (slower, faster float64, err error) {
	rewritten, _, err := meter.Rewrite(w.wasm, meter.Config{})
	if err != nil {
		return 0, 0, err
	}
	config := wazero.NewRuntimeConfigCompiler()
	var calls [3]func() error
	for i, c := range []struct {
		wasm   []byte
		config wazero.RuntimeConfig
	}{{w.wasm, config}, {rewritten, config}, {w.wasm, config.WithCloseOnContextDone(true)}} {
		r := wazero.NewRuntimeWithConfig(ctx, c.config)
		defer r.Close(ctx)
		if calls[i], err = w.prepare(ctx, r, c.wasm); err != nil {
			return 0, 0, err
		}
	}
	const rounds, each = 90, 10 * time.Millisecond
	var slowers, fasters []float64
	for round := range rounds {
		var times [3]float64
		for i := range calls {
			which := (round + i) % len(calls)
			n := 0
			begin := time.Now()
			for time.Since(begin) < each {
				if err := calls[which](); err != nil {
					return 0, 0, err
				}
				n++
			}
			times[which] = float64(time.Since(begin).Nanoseconds()) / float64(n)
		}
		slowers = append(slowers, times[1]/times[0])
		fasters = append(fasters, times[2]/times[1])
	}
	return median(slowers), median(fasters), nil
}

// prepare instantiates a module and returns a function that calls the workload's.
func (w workload) prepare(ctx context.Context, r wazero.Runtime, wasm []byte) (func() error, error) {
	if _, err := wasi_snapshot_preview1.Instantiate(ctx, r); err != nil {
		return nil, err
	}
	refill := api.GoModuleFunc(func(_ context.Context, _ api.Module, stack []uint64) { stack[0] += 500_000 })
	if _, err := r.NewHostModuleBuilder(meter.DefaultModule).NewFunctionBuilder().
		WithGoModuleFunction(refill, []api.ValueType{api.ValueTypeI64}, []api.ValueType{api.ValueTypeI64}).
		Export(meter.DefaultName).Instantiate(ctx); err != nil {
		return nil, err
	}
	mod, err := r.InstantiateWithConfig(ctx, wasm, wazero.NewModuleConfig().WithName("").WithStartFunctions("_initialize").WithSysNanotime())
	if err != nil {
		return nil, err
	}
	fn, input, stack := mod.ExportedFunction(w.function), mod.ExportedFunction("input"), make([]uint64, 2)
	return func() error {
		stack[0] = w.arg
		if w.json {
			if err := input.CallWithStack(ctx, stack); err != nil {
				return err
			}
			mod.Memory().WriteString(uint32(stack[0]), order)
			stack[0] = uint64(len(order))
		}
		return fn.CallWithStack(ctx, stack)
	}, nil
}
