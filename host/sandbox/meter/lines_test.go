package meter

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
	"pgregory.net/rapid"

	"github.com/berth-host/berth/host/sandbox/wasmbin"
	. "github.com/berth-host/berth/host/sandbox/wasmbin/wasmtest"
)

// described adds a section that says that source lines can be found.
func described(wasm []byte) []byte { return B(wasm, Custom(SourceMap, "{}")) }

// TestOnlyDescribedModulesAreTraceable: modules without debug information, with a source map
// elsewhere, or beyond the bounds do not change.
func TestOnlyDescribedModulesAreTraceable(t *testing.T) {
	plain := calling(work(3))
	large := calling(bytes.Repeat(B(0x01), maxTracedCode+1))
	for _, tt := range []struct {
		name string
		wasm []byte
		want bool
	}{
		{"none", plain, false},
		{"DWARF", B(plain, Custom(".debug_line", "x")), true},
		{"a source map", described(plain), true},
		{"a source map in a URL", B(plain, Custom(SourceMapURL, Name("data:application/json;base64,e30="))), true},
		{"a source map beside the module", B(plain, Custom(SourceMapURL, Name("handler.wasm.map"))), false},
		{"names only", B(plain, Custom("name", 1, U(1), U(0))), false},
		{"much code", described(large), false},
		{"large custom sections", B(described(plain), Custom("berth.x", make([]byte, maxTracedCustom))), false},
	} {
		out, rep, err := Rewrite(tt.wasm, Config{})
		if err != nil || rep.Traceable != tt.want || bytes.Contains(out, []byte(".debug_info")) != tt.want {
			t.Errorf("%s: traceable %v, %v", tt.name, rep.Traceable, err)
		}
		if bytes.Contains(out, []byte(SourceMap)) {
			t.Errorf("%s: the source map is in the output", tt.name)
		}
		plainOut, _, _ := Rewrite(plain, Config{})
		if len(tt.wasm) < 1000 && len(out)-len(plainOut) > 200 {
			t.Errorf("%s: %d bytes were added", tt.name, len(out)-len(plainOut))
		}
	}
}

// TestTraceHasOrigins: the engine's stack traces have offsets, and Origins translates them to
// the call and the trap of the guest.
func TestTraceHasOrigins(t *testing.T) {
	wasm := described(Module(Section(1, Vec(FuncType("", ""))), Section(2, Vec(Import("env", "f", 0, 0))), Section(3, Vec(U(0), U(0))),
		Section(5, Vec(B(0, 1))), Section(7, Vec(Export("f", 0, 1))),
		Section(10, Vec(
			Body(work(20), 0x03, 0x40, work(3), 0x10, 2, end, end),
			Body(work(9), 0x41, 1, 0x04, 0x40, 0x00, end, end)))))
	wasm = bytes.ReplaceAll(wasm, work(1), B(0x41, 0, 0x1a)) // no parameters
	for name, cfg := range map[string]wazero.RuntimeConfig{"compiler": wazero.NewRuntimeConfigCompiler(), "interpreter": wazero.NewRuntimeConfigInterpreter()} {
		t.Run(name, func(t *testing.T) {
			ctx := context.Background()
			r := newRuntime(t, cfg)
			if _, err := r.NewHostModuleBuilder("env").NewFunctionBuilder().WithFunc(func() {}).Export("f").Instantiate(ctx); err != nil {
				t.Fatal(err)
			}
			(&tank{slice: 1 << 20}).link(t, r)
			mod, err := r.Instantiate(ctx, mustRewrite(t, wasm))
			if err != nil {
				t.Fatal(err)
			}
			_, err = mod.ExportedFunction("f").Call(ctx)
			if err == nil {
				t.Fatal("it did not trap")
			}
			var offsets []uint64
			for line := range strings.Lines(err.Error()) {
				if offset, ok := TraceOffset(line); ok {
					offsets = append(offsets, offset)
				}
			}
			if len(offsets) != 2 {
				t.Fatalf("%d offsets in %v", len(offsets), err)
			}
			origins, err := Origins(wasm, Config{}, append(offsets, 0, 1<<31))
			if err != nil {
				t.Fatal(err)
			}
			_, start, err := codeSection(wasm)
			if err != nil {
				t.Fatal(err)
			}
			code := bytes.Index(wasm, B(0x03, 0x40))
			call, trap := code+bytes.Index(wasm[code:], B(0x10, 2)), bytes.Index(wasm, B(0x04, 0x40, 0x00))+2
			if o := origins[0]; !o.Known || o.Function != 2 || o.Offset != trap {
				t.Errorf("the trap: %+v, want %d", o, trap)
			}
			if o := origins[1]; !o.Known || o.Function != 1 || o.Offset != call || o.Section != start {
				t.Errorf("the call: %+v, want %d", o, call)
			}
			if origins[2].Known || origins[3].Known {
				t.Errorf("outside of the code: %+v", origins[2:])
			}
		})
	}
}

// checkOrigins checks that each instruction of the guest's that the rewriter does not change
// has as its origin an equal one, in order.
func checkOrigins(t interface{ Fatalf(string, ...any) }, wasm []byte) {
	out, _, err := Rewrite(wasm, Config{})
	if err != nil {
		t.Fatalf("%v", err)
	}
	r, start, err := codeSection(out)
	if err != nil || r.Left() == 0 {
		return
	}
	m := module{cfg: Config{}.withDefaults(), wasm: wasm}
	if err := m.scan(); err != nil {
		t.Fatalf("%v", err)
	}
	n, _ := r.U32()
	var instrs []wasmbin.Instr
	var offsets []uint64
	var function []uint32
	for i := range n - uint32(m.report.Helpers) {
		body, _ := entry(&r)
		if _, err := body.Locals(nil); err != nil {
			t.Fatalf("%v", err)
		}
		for first := len(offsets); body.Left() > 0; {
			var in wasmbin.Instr
			if err := body.Instr(&in); err != nil {
				t.Fatalf("%v", err)
			}
			if unchanged(in.Op) && len(offsets) < first+20 {
				instrs, offsets, function = append(instrs, in), append(offsets, uint64(in.At-start)), append(function, m.importFuncs+i)
			}
		}
	}
	origins, err := Origins(wasm, Config{}, offsets)
	if err != nil {
		t.Fatalf("%v", err)
	}
	last := 0
	for i, o := range origins {
		if !o.Known || o.Function != function[i] || o.Offset <= last || o.Body > o.Offset {
			t.Fatalf("instruction %d at %d: %+v behind %d", i, offsets[i], o, last)
		}
		last = o.Offset
		var in wasmbin.Instr
		at := wasmbin.NewReader(wasm)
		_ = at.Skip(o.Offset)
		if err := at.Instr(&in); err != nil || in.Op != instrs[i].Op || in.Offset != instrs[i].Offset {
			t.Fatalf("instruction %d: %v, from %v, %v", i, instrs[i].Op, in.Op, err)
		}
	}
}

// unchanged reports whether each such instruction of an output comes from an equal one.
func unchanged(op wasmbin.Op) bool {
	return op == wasmbin.OpUnreachable || op >= 0x28 && op <= 0x3e // loads and stores
}

func TestOriginsOfGuests(t *testing.T) {
	for name, wasm := range guests(t) {
		t.Run(name, func(t *testing.T) { checkOrigins(t, wasm) })
	}
}

func TestOriginsOfGenerated(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { checkOrigins(t, rapid.Custom(generate).Draw(t, "module")) })
}

func TestTraceOffset(t *testing.T) {
	for line, want := range map[string]uint64{
		"\t\t0x18ed: berth": 0x18ed, "0x0: berth": 0, "0xffffffff: berth": 0xffffffff,
		"0x100000000: berth": none, "0x18ed: main.go": none, "18ed: berth": none, "0x: berth": none, "0x18ed": none, ".run()": none, "": none,
	} {
		if got, ok := TraceOffset(line); ok != (want != none) || ok && got != want {
			t.Errorf("%q: %x, %v", line, got, ok)
		}
	}
}

const none = 1 << 40
