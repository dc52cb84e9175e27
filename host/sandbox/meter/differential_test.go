package meter

import (
	"bytes"
	"context"
	"fmt"
	"sort"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"pgregory.net/rapid"

	"github.com/berth-host/berth/host/sandbox/wasmbin"
	. "github.com/berth-host/berth/host/sandbox/wasmbin/wasmtest"
)

// behaviour is all that a run of a module shows, and the fuel it took.
type behaviour struct {
	text   string
	memory []byte
	fuel   int64
	steps  int64 // what countEach counted
	calls  int   // of refill
}

// behave instantiates a module and calls each exported function with args in turn.
func behave(t interface{ Fatal(...any) }, cache wazero.CompilationCache, wasm []byte, slice int64, args []uint64) (b behaviour) {
	ctx := context.Background()
	r := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigCompiler().WithCoreFeatures(api.CoreFeaturesV2).
		WithCompilationCache(cache))
	defer r.Close(ctx)
	k := &tank{slice: slice}
	_, err := r.NewHostModuleBuilder(DefaultModule).NewFunctionBuilder().
		WithGoModuleFunction(api.GoModuleFunc(k.refill), []api.ValueType{api.ValueTypeI64}, []api.ValueType{api.ValueTypeI64}).
		Export(DefaultName).Instantiate(ctx)
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	_, err = r.NewHostModuleBuilder("env").
		NewFunctionBuilder().WithFunc(func() { text.WriteString("void ") }).Export("void").
		NewFunctionBuilder().WithFunc(func(n uint32) uint32 { fmt.Fprintf(&text, "twice %d ", n); return 2 * n }).Export("twice").
		Instantiate(ctx)
	if err != nil {
		t.Fatal(err)
	}
	compiled, err := r.CompileModule(ctx, wasm)
	if err != nil {
		t.Fatal("the engine refuses the module: ", err)
	}
	mod, err := r.InstantiateModule(ctx, compiled, wazero.NewModuleConfig().WithStartFunctions())
	if err != nil {
		return behaviour{text: text.String() + "not instantiated: " + kindOf(err)}
	}
	var names []string
	for name := range mod.ExportedFunctionDefinitions() {
		names = append(names, name)
	}
	sort.Strings(names)
	for round := range 2 {
		for _, name := range exported(names) {
			fn := mod.ExportedFunction(name)
			def := fn.Definition()
			stack := make([]uint64, 16)
			at := 0
			for i, ty := range def.ParamTypes() {
				switch ty {
				case api.ValueTypeI32:
					stack[at] = args[(i+round)%len(args)] & (1<<32 - 1)
				case api.ValueTypeI64:
					stack[at] = args[(i+round)%len(args)]
				case api.ValueTypeF64:
					stack[at] = api.EncodeF64(float64(int32(args[i%len(args)])))
				case 0x7b:
					stack[at], stack[at+1] = args[0], args[1]
					at++
				}
				at++ // references: null
			}
			err := fn.CallWithStack(ctx, stack)
			fmt.Fprintf(&text, "%s: ", name)
			if err != nil {
				fmt.Fprintf(&text, "%s\n", kindOf(err))
				continue
			}
			at = 0
			for _, ty := range def.ResultTypes() {
				switch ty {
				case api.ValueTypeI32:
					fmt.Fprintf(&text, "%d ", uint32(stack[at]))
				case 0x70, api.ValueTypeExternref:
					fmt.Fprintf(&text, "%v ", stack[at] != 0)
				case 0x7b:
					fmt.Fprintf(&text, "%x %x ", stack[at], stack[at+1])
					at++
				default:
					fmt.Fprintf(&text, "%x ", stack[at])
				}
				at++
			}
			text.WriteByte('\n')
		}
	}
	for _, name := range []string{"g1", "g2"} {
		if g := mod.ExportedGlobal(name); g != nil {
			fmt.Fprintf(&text, "%s %x\n", name, g.Get())
		}
	}
	if mem := mod.ExportedMemory("memory"); mem != nil {
		all, _ := mem.Read(0, mem.Size())
		b.memory = bytes.Clone(all)
	}
	if g := mod.ExportedGlobal(DefaultGlobal); g != nil {
		b.fuel = k.granted - int64(g.Get())
	}
	if g := mod.ExportedGlobal(countedGlobal); g != nil {
		b.steps = int64(g.Get())
	}
	b.text, b.calls = text.String(), k.refills
	return b
}

const countedGlobal = "counted"

// countEach is the plainest of meters, to check the real one by: it adds each
// instruction's weight before the instruction to a global, with neither refills nor
// dynamic parts, and what a call weighs without its callee.
func countEach(t interface{ Fatal(...any) }, wasm []byte) []byte {
	fail := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	s, err := wasmbin.NewSections(wasm)
	fail(err)
	out := Module()
	globals, exports := uint32(0), false
	for {
		id, r, ok, err := s.Next()
		fail(err)
		if !ok {
			if !exports {
				t.Fatal("no exports")
			}
			return out
		}
		body := r.Slice(r.Pos(), r.Pos()+r.Left())
		switch id {
		case wasmbin.SectionGlobal:
			globals, err = r.U32()
			fail(err)
			body = B(U(int(globals)+1), r.Slice(r.Pos(), r.Pos()+r.Left()), 0x7e, 1, 0x42, 0, 0x0b)
		case wasmbin.SectionExport:
			n, err := r.U32()
			fail(err)
			body = B(U(int(n)+1), r.Slice(r.Pos(), r.Pos()+r.Left()), Export(countedGlobal, wasmbin.KindGlobal, int(globals)))
			exports = true
		case wasmbin.SectionCode:
			n, err := r.U32()
			fail(err)
			var bodies [][]byte
			for range n {
				size, err := r.U32()
				fail(err)
				f, err := r.Sub(size)
				fail(err)
				from := f.Pos()
				_, err = f.Locals(nil)
				fail(err)
				code := B(f.Slice(from, f.Pos()))
				for f.Left() > 0 {
					var in wasmbin.Instr
					fail(f.Instr(&in))
					w := weight(in.Op)
					if in.Op == wasmbin.OpCall {
						w = weightCall
					}
					if w > 0 {
						code = B(code, 0x23, U(int(globals)), 0x42, S(w), 0x7c, 0x24, U(int(globals)))
					}
					code = B(code, f.Slice(in.At, f.Pos()))
				}
				bodies = append(bodies, B(U(len(code)), code))
			}
			body = Vec(bodies...)
		}
		out = append(out, Section(id, body)...)
	}
}

// TestGeneratedModules: a generated module behaves the same metered and not, uses
// the same fuel with slices of any size, and no less than its instructions weigh.
func TestGeneratedModules(t *testing.T) {
	cache := wazero.NewCompilationCache()
	defer cache.Close(context.Background())
	traps, runs, jumps := 0, 0, 0
	rapid.Check(t, func(t *rapid.T) {
		wasm := generate(t)
		args := []uint64{rapid.Uint64().Draw(t, "arg"), rapid.Uint64Range(0, 200).Draw(t, "arg"), rapid.Uint64().Draw(t, "arg")}
		want := behave(t, cache, wasm, 1, args)
		original := bytes.Clone(wasm)
		out, rep, err := Rewrite(wasm, Config{})
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(wasm, original) {
			t.Fatal("the input was modified")
		}
		if rep.BytesOut != len(out) || rep.BytesIn != len(wasm) {
			t.Fatalf("report: %+v", rep)
		}
		jumps += rep.Jumps
		var first behaviour
		for i, slice := range []int64{1 << 40, 5000, 97} {
			got := behave(t, cache, out, slice, args)
			if got.text != want.text {
				t.Fatalf("metered:\n%s\noriginal:\n%s", got.text, want.text)
			}
			if !bytes.Equal(got.memory, want.memory) {
				t.Fatal("memories differ")
			}
			if i == 0 {
				first = got
			} else if got.fuel != first.fuel {
				t.Fatalf("slices of %d: %d fuel; in one slice: %d", slice, got.fuel, first.fuel)
			}
		}
		counted := behave(t, cache, countEach(t, wasm), 1, args)
		if counted.text != want.text {
			t.Fatalf("counted:\n%s\noriginal:\n%s", counted.text, want.text)
		}
		if counted.steps > first.fuel {
			t.Fatalf("%d fuel for instructions that weigh %d\n%x\n%s\n%+v", first.fuel, counted.steps, wasm, want.text, rep)
		}
		runs += strings.Count(want.text, "\n")
		traps += strings.Count(want.text, "unreachable") + strings.Count(want.text, "out of bounds") + strings.Count(want.text, "divide")
	})
	t.Logf("%d lines, %d traps, %d jumps", runs, traps, jumps)
}
