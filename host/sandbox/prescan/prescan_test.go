package prescan_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/metrics"
	"strings"
	"testing"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/sandbox/prescan"
	"github.com/berth-host/berth/host/sandbox/wasmbin"
	. "github.com/berth-host/berth/host/sandbox/wasmbin/wasmtest"
)

const (
	end  = 0x0b
	i32s = "\x7f"
)

// code is a module of one function with the given code.
func code(parts ...any) []byte { return Func("", "", Vec(), parts...) }

func repeat(n int, b ...any) []byte { return bytes.Repeat(B(b...), n) }

func TestRefused(t *testing.T) {
	types := Section(wasmbin.SectionType, Vec(FuncType("", "")))
	for _, tt := range []struct {
		name string
		wasm []byte
		want string // the whole error, or its beginning
	}{
		{"empty", nil, "not a WebAssembly module: it does not begin with \\0asm (header section, byte 0)"},
		{"text", []byte("(module)"), "not a WebAssembly module"},
		{"component", []byte("\x00asm\x0d\x00\x01\x00"), "this is a WebAssembly component, not a core module: build a core module instead (target wasm32-wasip1"},
		{"another version", []byte("\x00asm\x02\x00\x00\x00"), "unknown version of WebAssembly"},
		{"import count bomb", []byte("\x00asm\x01\x00\x00\x00\x02\x05\xff\xff\xff\x0f"), "a length of 5 is more than the 4 bytes that remain"},
		{"import count bomb of 14 bytes", []byte("\x00asm\x01\x00\x00\x00\x02\x04\xff\xff\xff\x7f"), "268435455 imports declared, but only 0 bytes remain (import section, byte 10)"},
		{"imported memory", Module(Section(2, Vec(Import("env", "memory", wasmbin.KindMemory, 0, 1)))), "an imported memory (env.memory): the module must define its own"},
		{"imported table", Module(Section(2, Vec(Import("env", "t", wasmbin.KindTable, 0x70, 0, 1)))), "an imported table (env.t)"},
		{"imported global", Module(Section(2, Vec(Import("env", "g", wasmbin.KindGlobal, 0x7f, 0)))), "an imported global (env.g): the module must define its own"},
		{"imported tag", Module(Section(2, Vec(Import("env", "t", 4, 0, 0)))), "exception handling is not supported"},
		{"two memories", Module(Section(5, Vec(B(0, 1), B(0, 1)))), "multiple memories is not supported"},
		{"a memory of 4 GiB", Module(Section(5, Vec(B(0, U(65536))))), "memory pages 65,536 is over the limit of 65,535 (memory section, byte 11)"},
		{"shared memory", Module(Section(5, Vec(B(3, 1, 1)))), "threads (shared memory) is not supported"},
		{"memory64", Module(Section(5, Vec(B(4, 1)))), "memory64 is not supported"},
		{"tables", Module(Section(4, Vec(B(0x70, 0, 1), B(0x70, 0, 1), B(0x70, 0, 1), B(0x70, 0, 1), B(0x70, 0, 1)))), "tables 5 is over the limit of 4"},
		{"table elements", Module(Section(4, Vec(B(0x70, 0, U(100001))))), "table elements 100,001 is over the limit of 100,000"},
		{"parameters", Module(Section(1, Vec(FuncType(strings.Repeat(i32s, 65), "")))), "parameters 65 is over the limit of 64"},
		{"results", Module(Section(1, Vec(FuncType("", strings.Repeat(i32s, 65))))), "results 65 is over the limit of 64"},
		{"types", Module(Section(1, U(4001), repeat(4001, FuncType("", "")))), "types 4,001 is over the limit of 4,000"},
		{"functions", Module(types, Section(3, U(20001), make([]byte, 20001))), "functions 20,001 is over the limit of 20,000"},
		{"functions and imports", Module(types, Section(2, Vec(Import("a", "b", 0, 0))), Section(3, U(20000), make([]byte, 20000))), "functions 20,000 is over the limit of 19,999"},
		{"a body", code(repeat(1<<18, 1), end), "function body 256.1 KiB is over the limit of 256 KiB (code section, function 0, byte"},
		{"locals", Func("", "", Vec(B(U(4097), 0x7f)), end), "locals 4,097 is over the limit of 4,096"},
		{"locals past 32 bits", Func("", "", Vec(B(U(1<<31), 0x7f), B(U(1<<31), 0x7f)), end), "more than 2^30 locals"},
		{"controls", code(repeat(8193, 2, 0x40, end), end), "control constructs 8,193 is over the limit of 8,192"},
		{"loops", code(repeat(33, 3, 0x40), repeat(34, end)), "loop nest 33 is over the limit of 32"},
		{"blocks", code(repeat(2049, 2, 0x40), repeat(2050, end)), "block nest 2,049 is over the limit of 2,048"},
		{"br_table", code(0x41, 0, 0x0e, U(8192), make([]byte, 8193), end), "br_table labels 8,193 is over the limit of 8,192"},
		{"br_table count bomb", code(0x41, 0, 0x0e, U(1<<31), 0, end), "2147483648 labels of br_table declared"},
		{"data segments", Module(Section(12, U(100001))), "data segments 100,001 is over the limit of 100,000"},
		{"data count", Module(Section(12, U(1))), "the data count section declares another number of segments"},
		{"elements", Module(types, Section(3, Vec(U(0))), Section(9, Vec(B(1, 0, U(200001), make([]byte, 200001))))), "elements 200,001 is over the limit of 200,000"},
		{"table.grow", code(0xd0, 0x70, 0x41, 0, 0xfc, 15, 0, 0x1a, end), "table.grow is not supported"},
		{"atomics", code(0xfe, 0x03, 0, end), "threads (atomic instructions) is not supported"},
		{"tail call", code(0x12, 0, end), "tail calls is not supported"},
		{"exceptions", code(0x06, 0x40, end, end), "exception handling is not supported"},
		{"throw", code(0x08, 0, end), "exception handling is not supported"},
		{"tag section", Module(Section(13, Vec())), "exception handling is not supported"},
		{"no body", Module(types, Section(3, Vec(U(0)))), "1 functions declared, but 0 bodies"},
		{"sections out of order", Module(Section(3, Vec()), types), "the type section is out of order or repeated"},
		{"two manifests", Module(Custom(prescan.ManifestSection, "{}"), Custom(prescan.ManifestSection, "{}")), "a second custom section berth.manifest"},
		{"long name", Module(Section(7, Vec(Export(strings.Repeat("x", 4097), wasmbin.KindMemory, 0)))), "name 4.1 KiB is over the limit of 4 KiB"},
		{"unknown type of a block", code(0x02, 5, end, end), "unknown type index"},
		{"call of nothing", code(0x10, 1, end), "unknown function index"},
		{"code behind the end", code(end, 1), "1 bytes left over at the end of the function body"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := prescan.Scan(tt.wasm, prescan.Limits{})
			var e *prescan.Error
			if !errors.As(err, &e) || !strings.HasPrefix(err.Error(), tt.want) {
				t.Fatalf("got %v\nwant %s", err, tt.want)
			}
			if strings.Contains(e.Reason, "is over the limit") != (e.Limit != "") || e.Limit != "" && e.Got <= e.Max {
				t.Errorf("limit %q, got %d, max %d: %s", e.Limit, e.Got, e.Max, e.Reason)
			}
		})
	}
}

// TestAtTheLimit: a value equal to its limit passes.
func TestAtTheLimit(t *testing.T) {
	for name, wasm := range map[string][]byte{
		"locals":   Func("", "", Vec(B(U(4096), 0x7f)), end),
		"controls": code(repeat(8192, 2, 0x40, end), end),
		"loops":    code(repeat(32, 3, 0x40), repeat(33, end)),
		"blocks":   code(repeat(2048, 2, 0x40), repeat(2049, end)),
		"br_table": code(0x41, 0, 0x0e, U(8191), make([]byte, 8192), end),
		"body":     code(repeat(1<<18-2, 1), end),
		"memory":   Module(Section(5, Vec(B(0, U(65535))))),
		"params":   Module(Section(1, Vec(FuncType(strings.Repeat(i32s, 64), "")))),
	} {
		if _, err := prescan.Scan(wasm, prescan.Limits{}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestReport(t *testing.T) {
	wasm := Module(
		Custom("producers", "whatever"),
		Section(1, Vec(FuncType("\x7f\x7f", "\x7f"), FuncType("", ""))),
		Section(2, Vec(Import("berth_v1", "next", wasmbin.KindFunc, 0))),
		Section(3, Vec(U(1), U(1))),
		Section(4, Vec(B(0x70, 0, 7))),
		Section(5, Vec(B(1, 2, 20))),
		Section(6, Vec(B(0x7f, 1, 0x41, 0, end))),
		Section(7, Vec(Export("memory", wasmbin.KindMemory, 0), Export("run", wasmbin.KindFunc, 1))),
		Section(9, Vec(B(0, 0x41, 0, end, Vec(U(1), U(2))))),
		Section(10, Vec(BodyLocals(Vec(B(3, 0x7e), B(2, 0x7b)), end), Body(2, 0x40, 3, 0x40, end, end, 0x41, 0, 0x0e, Vec(U(0), U(0)), 0, end))),
		Section(11, Vec(B(0, 0x41, 0, end, Name("hello")))),
		Custom(prescan.ManifestSection, `{"name":"x"}`))
	r, err := prescan.Scan(wasm, prescan.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if i := r.Imports[0]; i.Module != "berth_v1" || i.Name != "next" || i.Kind != "func" || i.Type.String() != "(i32, i32) -> (i32)" {
		t.Errorf("imports: %+v", r.Imports)
	}
	if e := r.Exports[1]; e.Name != "run" || e.Kind != "func" || !e.Type.Equal(prescan.FuncType{}) {
		t.Errorf("exports: %+v", r.Exports)
	}
	if string(r.Manifest) != `{"name":"x"}` || len(r.Customs) != 2 || r.Customs[0].Name != "producers" || r.Customs[0].Size != 8 {
		t.Errorf("customs: %+v, manifest %s", r.Customs, r.Manifest)
	}
	if string(wasm[r.Customs[1].Offset:][:r.Customs[1].Size]) != `{"name":"x"}` {
		t.Errorf("offset of the manifest: %d", r.Customs[1].Offset)
	}
	if !r.HasMemory || r.MemoryMin != 2 || !r.HasMemoryMax || r.MemoryMax != 20 || len(r.Tables) != 1 || r.Tables[0] != 7 {
		t.Errorf("memory and tables: %+v", r)
	}
	if r.Types != 2 || r.Functions != 2 || r.Globals != 1 || r.Elements != 2 || r.DataSegments != 1 || r.DataBytes != 5 || r.MaxParams != 2 {
		t.Errorf("counts: %+v", r)
	}
	if r.MaxLocals != 5 || r.MaxControls != 2 || r.DeepestLoops != 1 || r.DeepestNest != 2 || r.LargestTable != 3 || r.LargestBody != 15 {
		t.Errorf("largest: %+v", r)
	}
	wasm[len(wasm)-2] = '!'
	if string(r.Manifest) != `{"name":"x"}` {
		t.Error("the manifest shares the module's bytes")
	}
}

func TestOwnLimits(t *testing.T) {
	wasm := code(repeat(100, 1), end)
	if _, err := prescan.Scan(wasm, prescan.Limits{BodyBytes: 50}); err == nil || !strings.HasPrefix(err.Error(), "function body 102 bytes is over the limit of 50 bytes") {
		t.Errorf("got %v", err)
	}
	if _, err := prescan.Scan(wasm, prescan.Limits{ModuleBytes: 100}); err == nil || !strings.HasPrefix(err.Error(), "module 145 bytes is over the limit of 100 bytes") {
		t.Errorf("got %v", err)
	}
}

func TestComponentIsReported(t *testing.T) {
	r, err := prescan.Scan([]byte("\x00asm\x0d\x00\x01\x00"), prescan.Limits{})
	if err == nil || !r.Component {
		t.Errorf("component %v, %v", r.Component, err)
	}
}

// guests are the checked-in modules of testdata.
func guests(t testing.TB) map[string][]byte {
	t.Helper()
	paths, err := filepath.Glob("../../../testdata/meter/*/*.wasm")
	if err != nil || len(paths) < 2 {
		t.Fatalf("guests: %v, %v", paths, err)
	}
	out := map[string][]byte{}
	for _, p := range paths {
		if out[filepath.Base(p)], err = os.ReadFile(p); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

func TestGuestsPass(t *testing.T) {
	for name, wasm := range guests(t) {
		if r, err := prescan.Scan(wasm, prescan.Limits{}); err != nil || r.Functions == 0 || !r.HasMemory {
			t.Errorf("%s: %v, %+v", name, err, r)
		}
	}
}

// allocated is how many bytes f allocates. It does not stop the world, so that
// fuzzing stays fast; small objects are seen late.
func allocated(f func()) uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	before := sample[0].Value.Uint64()
	f()
	metrics.Read(sample)
	return sample[0].Value.Uint64() - before
}

// checkBounds checks the package's bound of allocation.
func checkBounds(t testing.TB, wasm []byte) {
	t.Helper()
	got := allocated(func() { prescan.Scan(wasm, prescan.Limits{}) })
	if limit := uint64(24*len(wasm) + 8<<20); got > limit {
		t.Errorf("%d bytes allocated for a module of %d", got, len(wasm))
	}
}

func TestAllocationIsBounded(t *testing.T) {
	types := Section(1, Vec(FuncType(strings.Repeat(i32s, 64), strings.Repeat(i32s, 64))))
	many := func(n int, entry []byte) []byte { return B(U(n), bytes.Repeat(entry, n)) }
	for name, wasm := range map[string][]byte{
		"types":     Module(Section(1, many(4000, FuncType("", "")))),
		"imports":   Module(types, Section(2, many(1000, Import("", "", 0, 0)))),
		"functions": Module(types, Section(3, make([]byte, 20000))),
		"exports":   Module(types, Section(2, Vec(Import("", "", 0, 0))), Section(7, many(10000, Export("", 0, 0)))),
		"customs":   Module(bytes.Repeat(Custom(""), 1000)),
		"manifest":  Module(Custom(prescan.ManifestSection, make([]byte, 1<<20))),
		"data":      Module(Section(11, many(90000, B(1, 0)))),
		"nest":      code(repeat(2048, 2, 0x40), repeat(2049, end)),
	} {
		t.Run(name, func(t *testing.T) { checkBounds(t, wasm) })
	}
}

// checkManifest compares the manifest that the host uses (abi.FindSection) with the
// reported one.
func checkManifest(t testing.TB, wasm []byte, r prescan.Report) {
	t.Helper()
	got, found, err := abi.FindSection(wasm, abi.ManifestSection)
	if err != nil || found != (r.Manifest != nil) || !bytes.Equal(got, r.Manifest) {
		t.Errorf("the manifest is %q, and for the host %q, %v", r.Manifest, got, err)
	}
}

// TestManifestIsOne: the scan and abi.FindSection find the same manifest, with any encoding
// of the section's name and length.
func TestManifestIsOne(t *testing.T) {
	if prescan.ManifestSection != abi.ManifestSection {
		t.Fatalf("%q and %q", prescan.ManifestSection, abi.ManifestSection)
	}
	name := abi.ManifestSection
	for _, wasm := range [][]byte{
		Module(), Module(Custom(name)), Module(Custom(name, "{}")), Module(Custom(name+"x", "{}")), Module(Custom("x", Custom(name, "{}"))),
		Module(B(0, 0x93, 0x80, 0, 0x8e, 0x80, 0, name, "{}")), Module(Section(1, Vec()), Custom(name, "{}"), Section(2, Vec())),
	} {
		r, err := prescan.Scan(wasm, prescan.Limits{})
		if err != nil {
			t.Fatalf("%x: %v", wasm, err)
		}
		checkManifest(t, wasm, r)
	}
}

func FuzzScan(f *testing.F) {
	for _, wasm := range guests(f) {
		f.Add(wasm)
	}
	f.Add([]byte("\x00asm\x01\x00\x00\x00\x02\x04\xff\xff\xff\x7f"))
	f.Add(code(2, 0x40, 3, 0x40, end, end, 0x41, 0, 0x0e, Vec(U(0), U(0)), 0, end))
	f.Add(Module(Section(1, Vec(FuncType("\x7f", "\x7f"))), Section(2, Vec(Import("berth_v1", "next", 0, 0))), Custom(prescan.ManifestSection, "{}")))
	f.Fuzz(func(t *testing.T, wasm []byte) {
		original := bytes.Clone(wasm)
		r, err := prescan.Scan(wasm, prescan.Limits{})
		if err == nil {
			checkManifest(t, wasm, r)
		}
		var e *prescan.Error
		if err != nil && (!errors.As(err, &e) || e.Reason == "" || e.Offset < 0 || e.Offset > len(wasm)) {
			t.Errorf("%#v", err)
		}
		if !bytes.Equal(wasm, original) {
			t.Error("the input was modified")
		}
		checkBounds(t, wasm)
	})
}

// TestCountsFitIntoTheirSections declares one entry more than the bytes of a section can
// have, by the smallest entry of its kind: refused before any entry is read.
func TestCountsFitIntoTheirSections(t *testing.T) {
	const n = 5
	for id, smallest := range map[byte]int{1: 3, 2: 4, 3: 1, 4: 3, 5: 2, 6: 4, 7: 3, 9: 2, 10: 3, 11: 2} {
		wasm := Module(Section(id, B(U(n), make([]byte, n*smallest-1))))
		_, err := prescan.Scan(wasm, prescan.Limits{})
		if want := fmt.Sprintf("declared, but only %d bytes remain", n*smallest-1); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("section %d: got %v, want %q", id, err, want)
		}
		wasm = Module(Section(id, B(U(n), make([]byte, n*smallest))))
		if _, err := prescan.Scan(wasm, prescan.Limits{}); err != nil && strings.Contains(err.Error(), "declared, but only") {
			t.Errorf("section %d: %d entries of %d bytes are refused for their number: %v", id, n, smallest, err)
		}
	}
}
