package meter

import (
	"context"
	"runtime"
	"testing"

	"github.com/tetratelabs/wazero"

	"github.com/berth-host/berth/host/sandbox/wasmbin"
	. "github.com/berth-host/berth/host/sandbox/wasmbin/wasmtest"
)

// TestReferencesTakeNoMemory: the engine keeps 40 bytes for each ref.func that runs; a
// metered one runs none, and still returns the function.
func TestReferencesTakeNoMemory(t *testing.T) {
	const end = 0x0b
	wasm := Module(
		Section(wasmbin.SectionType, Vec(FuncType(i32, ""), FuncType("", i32))),
		Section(wasmbin.SectionFunction, Vec(U(0), U(1), U(1))),
		Section(wasmbin.SectionTable, Vec(B(0x70, 0, 1))),
		Section(wasmbin.SectionExport, Vec(Export("refer", 0, 0), Export("call", 0, 2))),
		Section(wasmbin.SectionElement, Vec(B(3, 0, Vec(U(1))))),
		Section(wasmbin.SectionCode, Vec(
			Body(0x03, 0x40, 0x41, 0, 0xd2, 1, 0x26, 0, 0x20, 0, 0x41, 1, 0x6b, 0x22, 0, 0x0d, 0, end, end),
			Body(0x41, 42, end),
			Body(0x41, 0, 0x11, 1, 0, end))))
	k := &tank{slice: 1 << 40}
	mod := start(t, mustRewrite(t, wasm), k, wazero.NewRuntimeConfigCompiler())
	ctx := context.Background()
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	refer := mod.ExportedFunction("refer")
	if _, err := refer.Call(ctx, 1); err != nil {
		t.Fatal(err)
	}
	before := heap()
	if _, err := refer.Call(ctx, 1_000_000); err != nil {
		t.Fatal(err)
	}
	if after := heap(); after > before+1<<20 {
		t.Errorf("a million references took %d bytes", after-before)
	}
	if got, err := mod.ExportedFunction("call").Call(ctx); err != nil || got[0] != 42 {
		t.Errorf("the function that was referred to answers %v, %v", got, err)
	}
	runtime.KeepAlive(mod)
}
