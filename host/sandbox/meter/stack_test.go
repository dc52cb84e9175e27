package meter

import (
	"context"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"unsafe"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"pgregory.net/rapid"

	"github.com/berth-host/berth/host/sandbox/wasmbin"
	. "github.com/berth-host/berth/host/sandbox/wasmbin/wasmtest"
)

// frameShape is a function that calls itself as often as its first parameter, with the
// contents of its frame.
type frameShape struct {
	params, results, locals string // value types; an i32 comes before params
	operands                int    // i64s that lie below the call's arguments
	blocks                  int    // one in the other, each of which may end early and else assigns all locals
}

// zero appends a value of a type that the compiler does not know.
func zero(valType rune) []byte {
	switch string(valType) {
	case i64:
		return B(0x20, 0, 0xac) // local.get 0, i64.extend_i32_s
	case f64:
		return B(0x20, 0, 0xb7) // f64.convert_i32_s
	case v128:
		return B(0x20, 0, 0xfd, 0x11) // i32x4.splat
	}
	return B(0x20, 0)
}

func (s frameShape) module() []byte {
	assign, store := B(), B()
	for i, t := range s.locals {
		at := U(1 + len(s.params) + i)
		assign = append(assign, B(zero(t), 0x21, at)...)
		op := map[string][]byte{i32: B(0x36, 2, 0), i64: B(0x37, 3, 0), f64: B(0x39, 3, 0), v128: B(0xfd, 11, 4, 0)}[string(t)]
		store = append(store, B(0x41, 0, 0x20, at, op)...)
	}
	results := B()
	for _, t := range s.results {
		results = append(results, zero(t)...)
	}
	code := B(0x20, 0, 0x45, 0x04, 0x40, 0x42, 0, 0x10, 0, 0x1a, results, 0x0f, 0x0b) // at 0: call probe and return
	code = append(code, assign...)
	for i := range s.blocks {
		code = append(code, B(0x02, 0x40, 0x20, 0, 0x41, S(int64(i)+1000), 0x46, 0x0d, 0)...) // block, br_if
	}
	for range s.blocks {
		code = append(code, B(assign, 0x0b)...)
	}
	for i := range s.operands {
		code = append(code, B(0x20, 0, 0xac, 0x42, S(int64(i)), 0x7c)...)
	}
	code = append(code, 0x20, 0, 0x41, 1, 0x6b)
	for _, t := range s.params {
		code = append(code, zero(t)...)
	}
	code = append(code, B(0x10, 1, strings.Repeat("\x1a", len(s.results)))...)
	for range s.operands {
		code = append(code, B(0x21, U(1+len(s.params)+len(s.locals)), 0x41, 0, 0x20, U(1+len(s.params)+len(s.locals)), 0x37, 3, 0)...)
	}
	code = append(code, B(store, results, 0x0b)...)
	var locals [][]byte
	for _, t := range s.locals + i64 {
		locals = append(locals, B(1, string(t)))
	}
	f := B(0x20, 0)
	for _, t := range s.params {
		f = append(f, zero(t)...)
	}
	return Module(
		Section(wasmbin.SectionType, Vec(FuncType(i64, i64), FuncType(i32+s.params, s.results), FuncType(i32, ""))),
		Section(wasmbin.SectionImport, Vec(Import("env", "probe", wasmbin.KindFunc, 0))),
		Section(wasmbin.SectionFunction, Vec(U(1), U(2))),
		Section(wasmbin.SectionMemory, Vec(B(0, 1))),
		Section(wasmbin.SectionExport, Vec(Export("f", wasmbin.KindFunc, 2))),
		Section(wasmbin.SectionCode, Vec(BodyLocals(Vec(locals...), code),
			BodyLocals(Vec(), f, 0x10, 1, strings.Repeat("\x1a", len(s.results)), 0x0b))))
}

// depthOf is how much stack lies between its top and what a host function is passed.
func depthOf(fn api.Function, passed []uint64) int64 {
	top := reflect.ValueOf(fn).Elem().FieldByName("stackTop").Uint()
	return int64(top) - int64(uintptr(unsafe.Pointer(&passed[:1][0])))
}

// measure returns how much stack one call of the function takes, and the bound of that.
func (s frameShape) measure(t interface{ Fatal(...any) }) (real, bound int64) {
	ctx := context.Background()
	r := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigCompiler().WithCoreFeatures(api.CoreFeaturesV2))
	defer r.Close(ctx)
	var fn api.Function
	depth := int64(0)
	probe := func(_ context.Context, _ api.Module, passed []uint64) { depth = depthOf(fn, passed[:1:1]) }
	refill := func(_ context.Context, _ api.Module, stack []uint64) { stack[0] = 1 << 60 }
	one := []api.ValueType{api.ValueTypeI64}
	if _, err := r.NewHostModuleBuilder("env").NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(probe), one, one).Export("probe").Instantiate(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := r.NewHostModuleBuilder(DefaultModule).NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(refill), one, one).Export(DefaultName).Instantiate(ctx); err != nil {
		t.Fatal(err)
	}
	wasm := s.module()
	out, rep, err := Rewrite(wasm, Config{})
	if err != nil {
		t.Fatal(err)
	}
	mod, err := r.InstantiateWithConfig(ctx, out, wazero.NewModuleConfig())
	if err != nil {
		t.Fatal(err)
	}
	fn = mod.ExportedFunction("f")
	at := func(calls uint64) int64 {
		if _, err := fn.Call(ctx, calls); err != nil {
			t.Fatal(err)
		}
		return depth
	}
	at(1) // the refill
	return (at(21) - at(1)) / 20, int64(rep.MaxFrame)
}

// TestFramesAreBounded holds the bound of a frame against what the engine takes.
func TestFramesAreBounded(t *testing.T) {
	many := func(n int, types ...string) string {
		return strings.Repeat(strings.Join(types, ""), n)
	}
	for _, s := range []frameShape{
		{},
		{params: many(60, i64)},
		{params: many(60, v128)},
		{params: many(30, f64, i32), results: many(30, i64, v128)},
		{results: many(64, i64)},
		{results: many(64, v128), operands: 500},
		{operands: 1},
		{operands: 5000},
		{locals: many(2000, i64)},
		{locals: many(1000, v128)},
		{locals: many(500, i32, i64, f64, v128), blocks: 1},
		{locals: many(200, i64), blocks: 50},
		{locals: many(300, v128), blocks: 30, operands: 100, params: many(20, v128), results: many(20, f64)},
	} {
		real, bound := s.measure(t)
		t.Logf("params %d, results %d, locals %d, operands %d, blocks %d: a call takes %d bytes, its bound is %d",
			len(s.params), len(s.results), len(s.locals), s.operands, s.blocks, real, bound)
		if real > bound || real <= 0 {
			t.Errorf("%+v: a call takes %d bytes of stack, its bound is %d", s, real, bound)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		types := func(what string, limit int) string {
			return strings.Join(rapid.SliceOfN(rapid.SampledFrom([]string{i32, i64, f64, v128}), 0, limit).Draw(t, what), "")
		}
		s := frameShape{params: types("params", 40), results: types("results", 40), locals: types("locals", 200),
			operands: rapid.IntRange(0, 100).Draw(t, "operands"), blocks: rapid.IntRange(0, 10).Draw(t, "blocks")}
		if real, bound := s.measure(t); real > bound || real <= 0 {
			t.Fatalf("%+v: a call takes %d bytes of stack, its bound is %d", s, real, bound)
		}
	})
}

// TestCyclesChargeTheStack: in random call graphs, the functions without a charge form
// no cycle and no chain beyond the bound, each function counted with its frame.
func TestCyclesChargeTheStack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 30).Draw(t, "functions")
		types := rapid.IntRange(1, 4).Draw(t, "types")
		m := &module{sameType: map[string]uint32{}, shapes: make([]shape, types)}
		for i := range types {
			m.sameType[fmt.Sprint(i)] = uint32(i)
			m.shapes[i].same = uint32(i)
		}
		edges := make([][]int, n+types)
		for fn := range n {
			typ := rapid.IntRange(0, types-1).Draw(t, "type")
			m.defined = append(m.defined, uint32(typ))
			m.folded = append(m.folded, 0)
			if rapid.Bool().Draw(t, "has an address") {
				m.folded[fn] = addressed
				edges[n+typ] = append(edges[n+typ], fn)
			}
			m.frameBytes = append(m.frameBytes, rapid.SampledFrom([]int32{64, 500, 30_000, maxChain, maxFrame}).Draw(t, "frame"))
			m.callsOf = append(m.callsOf, uint32(len(m.calls)))
			for range rapid.IntRange(0, 3).Draw(t, "calls") {
				callee := rapid.IntRange(0, n+types-1).Draw(t, "callee")
				edges[fn] = append(edges[fn], callee)
				m.calls = append(m.calls, uint32(callee))
			}
		}
		m.callsOf = append(m.callsOf, uint32(len(m.calls)))
		m.chargeStack()
		charge := append(append([]int32{}, m.stackOf...), m.stackOfType...)
		onWay, seen, chain := make([]bool, n+types), make([]bool, n+types), make([]int64, n+types)
		var follow func(node int) int64 // the longest chain below a node, itself included
		follow = func(node int) int64 {
			if onWay[node] {
				t.Fatalf("a cycle through node %d does not charge", node)
			}
			if seen[node] {
				return chain[node]
			}
			onWay[node], seen[node] = true, true
			below := int64(0)
			for _, callee := range edges[node] {
				if charge[callee] == 0 {
					below = max(below, follow(callee))
				}
			}
			onWay[node] = false
			if node < n {
				below += int64(m.frameBytes[node])
			}
			if charge[node] == 0 && below > maxChain || charge[node] != 0 && int64(charge[node]) < below {
				t.Fatalf("node %d charges %d; it and what it calls may use %d", node, charge[node], below)
			}
			chain[node] = below
			return below
		}
		for node := range edges {
			follow(node)
		}
	})
}

// TestLeavesDoNotChargeTheStack: only functions that can nest without end charge the stack.
func TestLeavesDoNotChargeTheStack(t *testing.T) {
	sections := func(bodies ...[]byte) []byte {
		indexes := make([][]byte, len(bodies))
		for i := range indexes {
			indexes[i] = U(0)
		}
		return Module(
			Section(wasmbin.SectionType, Vec(FuncType("", ""))),
			Section(wasmbin.SectionFunction, Vec(indexes...)),
			Section(wasmbin.SectionTable, Vec(B(0x70, 0, 1))),
			Section(wasmbin.SectionElement, Vec(B(0, 0x41, 0, 0x0b, Vec(U(0))))),
			Section(wasmbin.SectionCode, Vec(bodies...)))
	}
	const call, indirect, end = 0x10, "\x41\x00\x11\x00\x00", 0x0b
	for _, tt := range []struct {
		name           string
		wasm           []byte
		entries, calls int
	}{
		{"a leaf", sections(Body(end)), 0, 0},
		{"a chain", sections(Body(call, 1, end), Body(call, 2, end), Body(end)), 0, 0},
		{"a function that calls itself", sections(Body(call, 0, end)), 1, 0},
		{"two that call each other", sections(Body(call, 1, end), Body(call, 0, end)), 1, 0},
		{"three, and a leaf", sections(Body(call, 1, end), Body(call, 2, call, 3, end), Body(call, 0, end), Body(end)), 1, 0},
		{"two cycles", sections(Body(call, 0, end), Body(call, 1, end)), 2, 0},
		{"a call_indirect of a leaf", sections(Body(end), Body(indirect, end)), 0, 0},
		{"a call_indirect of itself", sections(Body(indirect, end)), 0, 1},
		{"a call_indirect of its caller", sections(Body(call, 1, end), Body(indirect, end)), 0, 1},
	} {
		_, rep, err := Rewrite(tt.wasm, Config{})
		if err != nil || rep.StackEntries != tt.entries || rep.StackCalls != tt.calls {
			t.Errorf("%s: %d entries and %d calls charge, want %d and %d (%v)", tt.name, rep.StackEntries, rep.StackCalls, tt.entries, tt.calls, err)
		}
	}
}

// TestFrameTooLargeIsRefused: one call must not take more stack than the host may find
// out about too late.
func TestFrameTooLargeIsRefused(t *testing.T) {
	of := func(n int) error {
		_, _, err := Rewrite(Func("", "", Vec(B(U(n), i64)), 0x0b), Config{})
		return err
	}
	limit := (maxFrame - frameFixed - savedRegs*frameSaved) / frameSlot
	if err := of(limit); err != nil {
		t.Error(err)
	}
	if err := of(limit + 1); err == nil || !strings.Contains(err.Error(), "bytes of stack") {
		t.Errorf("a larger one: got %v", err)
	}
}
