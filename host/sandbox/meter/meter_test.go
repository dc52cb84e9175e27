package meter

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/berth-host/berth/host/sandbox/wasmbin"
	. "github.com/berth-host/berth/host/sandbox/wasmbin/wasmtest"
)

const end = 0x0b

func TestRefused(t *testing.T) {
	types := Section(wasmbin.SectionType, Vec(FuncType("", "")))
	one := Section(wasmbin.SectionFunction, Vec(U(0)))
	body := func(code ...any) []byte {
		return Module(types, one, Section(wasmbin.SectionGlobal, Vec(B(0x7f, 1, 0x41, 0, end))), Section(wasmbin.SectionCode, Vec(Body(code...))))
	}
	for _, tt := range []struct {
		name    string
		wasm    []byte
		want    string
		feature string
	}{
		{"empty", nil, "not a WebAssembly module: it does not begin with \\0asm (header section, byte 0)", ""},
		{"component", []byte("\x00asm\x0d\x00\x01\x00"), "this is a WebAssembly component, not a core module: build a core module instead (target wasm32-wasip1", "the component model"},
		{"the counter read", body(0x23, 1, 0x1a, end), "unknown global index (code section, byte 31)", ""},
		{"the counter written", body(0x42, 0, 0x24, 1, end), "unknown global index", ""},
		{"the counter exported", Module(Section(7, Vec(Export("x", wasmbin.KindGlobal, 0)))), "unknown global index", ""},
		{"the counter in an initializer", Module(Section(6, Vec(B(0x7e, 0, 0x23, 0, end)))), "unknown global index", ""},
		{"refill called", body(0x10, 1, end), "unknown function index", ""},
		{"refill in a table", Module(types, one, Section(4, Vec(B(0x70, 0, 1))), Section(9, Vec(B(0, 0x41, 0, end, Vec(U(1)))))), "unknown function index", ""},
		{"refill as an expression", Module(types, one, Section(9, Vec(B(5, 0x70, Vec(B(0xd2, 1, end)))))), "unknown function index", ""},
		{"refill started", Module(types, one, Section(8, 1)), "unknown function index", ""},
		{"refill exported", Module(types, one, Section(7, Vec(Export("x", 0, 1)))), "unknown function index", ""},
		{"an added type", Module(types, Section(3, Vec(U(1)))), "unknown type index", ""},
		{"an added type called", body(0x41, 0, 0x11, 1, 0, end), "unknown type index", ""},
		{"an added block type", body(0x02, 1, end, end), "unknown type index", ""},
		{"reserved export", Module(types, one, Section(7, Vec(Export(DefaultGlobal, 0, 0)))), "an export named berth:fuel, a name the host reserves", ""},
		{"reserved import", Module(types, Section(2, Vec(Import(DefaultModule, "anything", 0, 0)))), "an import from berth_meter, a name the host reserves", ""},
		{"atomics", body(0xfe, 3, 0, end), "threads (atomic instructions) is not supported", "threads (atomic instructions)"},
		{"shared memory", Module(Section(5, Vec(B(3, 1, 1)))), "threads (shared memory) is not supported", "threads (shared memory)"},
		{"tail call", body(0x12, 0, end), "tail calls is not supported", "tail calls"},
		{"exceptions", body(0x1f, 0x40, 0, end, end), "exception handling is not supported", "exception handling"},
		{"GC", body(0xfb, 0, end), "garbage collection (GC) is not supported", "garbage collection (GC)"},
		{"GC types", Module(Section(1, Vec(B(0x4e, 0, 0)))), "garbage collection (GC) is not supported", "garbage collection (GC)"},
		{"multiple memories", Module(Section(5, Vec(B(0, 1), B(0, 1)))), "multiple memories is not supported", "multiple memories"},
		{"another memory's load", body(0x41, 0, 0x28, 0x42, 1, 0, 0x1a, end), "multiple memories is not supported", "multiple memories"},
		{"memory64", Module(Section(5, Vec(B(4, 1)))), "memory64 is not supported", "memory64"},
		{"relaxed SIMD", body(0xfd, U(0x100), end), "relaxed SIMD is not supported", "relaxed SIMD"},
		{"extended constants", Module(Section(6, Vec(B(0x7f, 0, 0x41, 1, 0x41, 1, 0x6a, end)))), "extended constant expressions is not supported", "extended constant expressions"},
		{"unknown opcode", body(0x27, end), "unknown opcode 0x27", ""},
		{"branch to nowhere", body(0x0c, 1, end), "branch to a label that does not exist", ""},
		{"else alone", body(0x05, end), "else without if", ""},
		{"second else", body(0x41, 0, 0x04, 0x40, 0x05, 0x05, end, end), "else without if", ""},
		{"no end", body(0x01), "unexpected end", ""},
		{"too many ends", body(end, end), "1 bytes left over", ""},
		{"deep", body(strings.Repeat("\x02\x40", DefaultMaxNesting+1), strings.Repeat("\x0b", DefaultMaxNesting+2)), "blocks nest too deep", ""},
		{"bodies missing", Module(types, one), "functions are declared, but there is no code section", ""},
		{"bodies left over", Module(types, one, Section(10, Vec(Body(end), Body(end)))), "2 function bodies for 1 functions", ""},
		{"body longer than the section", Module(types, one, Section(10, 1, 9, 0, end)), "a length of 9 is more than the 2 bytes that remain", ""},
		{"count bomb", []byte("\x00asm\x01\x00\x00\x00\x02\x04\xff\xff\xff\x7f"), "268435455 imports declared, but only 0 bytes remain", ""},
		{"integer too long", Module(B(1, "\x80\x80\x80\x80\x80\x00")), "integer encoded in more than 5 bytes", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, _, err := Rewrite(tt.wasm, Config{})
			var e *Error
			if !errors.As(err, &e) || !strings.HasPrefix(err.Error(), tt.want) || e.Feature != tt.feature {
				t.Fatalf("got %v (feature %q)\nwant %s", err, e.Feature, tt.want)
			}
		})
	}
}

// TestVersion: Rewrite's output changes only with Version; otherwise the output of an
// earlier version would be used as this one's.
func TestVersion(t *testing.T) {
	all := guests(t)
	names := slices.Sorted(maps.Keys(all))
	sum := sha256.New()
	for _, name := range names {
		sum.Write(mustRewrite(t, all[name]))
	}
	sum.Write(mustRewrite(t, Func("\x7f", "", Vec(), jumpsForward())))
	sum.Write(mustRewrite(t, encoding{1}.everything()))
	sum.Write(mustRewrite(t, encoding{1}.importing()))
	sum.Write(mustRewrite(t, described(encoding{1}.importing())))
	const version, want = 6, "0aef508bb0034633"
	if got := hex.EncodeToString(sum.Sum(nil)[:8]); Version != version || got != want {
		t.Errorf("version %d makes %s; pinned here are %d and %s: unless a guest was built anew, change all three together", Version, got, version, want)
	}
}

// TestNames: a stack trace names the guest's functions as the guest did.
func TestNames(t *testing.T) {
	names := B(0, U(6), Name("guest"),
		1, U(16), Vec(B(0, Name("host")), B(1, Name("outer")), B(2, Name("x"))),
		2, U(6), Vec(B(1, Vec(B(0, Name("p"))))),
		3, U(6), Vec(B(1, Vec(B(0, Name("l"))))))
	names[9] = byte(len(Vec(B(0, Name("host")), B(1, Name("outer")), B(2, Name("x")))))
	i := 10 + int(names[9])
	names[i+1] = byte(len(Vec(B(1, Vec(B(0, Name("p")))))))
	wasm := Module(
		Section(wasmbin.SectionType, Vec(FuncType("", ""))),
		Section(wasmbin.SectionImport, Vec(Import("env", "void", wasmbin.KindFunc, 0))),
		Section(wasmbin.SectionFunction, Vec(U(0), U(0))),
		Section(wasmbin.SectionExport, Vec(Export("f", wasmbin.KindFunc, 1))),
		Section(wasmbin.SectionCode, Vec(Body(0x10, 0, 0x10, 2, end), Body(0x00, end))),
		Custom("sourceMappingURL", "x"), Custom("berth.manifest", "{}"), Custom(".debug_info", "y"),
		Custom("name", names))
	out, rep, err := Rewrite(wasm, Config{})
	if err != nil {
		t.Fatal(err)
	}
	if rep.DroppedCustom != 2 || rep.DroppedNames {
		t.Errorf("report: %+v", rep)
	}
	r := newRuntime(t, wazero.NewRuntimeConfigCompiler().WithCustomSections(true))
	(&tank{slice: 1000}).link(t, r)
	ctx := context.Background()
	if _, err := r.NewHostModuleBuilder("env").NewFunctionBuilder().WithFunc(func() {}).Export("void").Instantiate(ctx); err != nil {
		t.Fatal(err)
	}
	compiled, err := r.CompileModule(ctx, out)
	if err != nil {
		t.Fatal(err)
	}
	if c := compiled.CustomSections(); len(c) != 1 || c[0].Name() != "berth.manifest" || string(c[0].Data()) != "{}" {
		t.Errorf("custom sections: %v", c)
	}
	mod, err := r.InstantiateModule(ctx, compiled, wazero.NewModuleConfig())
	if err != nil {
		t.Fatal(err)
	}
	_, err = mod.ExportedFunction("f").Call(ctx)
	if err == nil || !strings.Contains(err.Error(), "\t.x()\n\t.outer()") {
		t.Errorf("got %v", err)
	}
}

func TestMalformedNamesAreDropped(t *testing.T) {
	for _, names := range []string{"\x01", "\x01\xff\x01", "\x01\x02\x05\x00", "\x01\x04\x01\x09\x01x"} {
		wasm := Module(Custom("name", names))
		out, rep, err := Rewrite(wasm, Config{})
		if err != nil || !rep.DroppedNames {
			t.Errorf("%q: %v, %+v", names, err, rep)
			continue
		}
		r := newRuntime(t, wazero.NewRuntimeConfigCompiler())
		if _, err := r.CompileModule(context.Background(), out); err != nil {
			t.Errorf("%q: %v", names, err)
		}
	}
}

func TestOwnNames(t *testing.T) {
	wasm := Func("", "", Vec(), 0x03, 0x40, end, end)
	out, rep, err := Rewrite(wasm, Config{Module: "m", Name: "n", Global: "g"})
	if err != nil {
		t.Fatal(err)
	}
	r := newRuntime(t, wazero.NewRuntimeConfigCompiler())
	compiled, err := r.CompileModule(context.Background(), out)
	if err != nil {
		t.Fatal(err)
	}
	if f := compiled.ImportedFunctions(); len(f) != 1 || rep.RefillIndex != 0 {
		t.Fatalf("imports: %v, %+v", f, rep)
	} else if mod, name, _ := f[0].Import(); mod != "m" || name != "n" {
		t.Errorf("import %s.%s", mod, name)
	}
	if _, _, err := Rewrite(out, Config{Module: "m", Name: "n", Global: "g"}); err == nil {
		t.Error("a rewritten module was rewritten again under the same names")
	}
}

// TestMissingSectionsAreAdded: Rewrite makes the sections that the module lacks.
func TestMissingSectionsAreAdded(t *testing.T) {
	out := mustRewrite(t, Module())
	mod := start(t, out, &tank{slice: 1}, wazero.NewRuntimeConfigCompiler())
	if g, ok := mod.ExportedGlobal(DefaultGlobal).(api.MutableGlobal); !ok || g.Get() != 0 {
		t.Errorf("counter: %v", mod.ExportedGlobal(DefaultGlobal))
	}
}
