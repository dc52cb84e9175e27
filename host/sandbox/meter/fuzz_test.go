package meter

import (
	"bytes"
	"context"
	"errors"
	"runtime/metrics"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"pgregory.net/rapid"

	"github.com/berth-host/berth/host/sandbox/prescan"
	"github.com/berth-host/berth/host/sandbox/wasmbin"
	. "github.com/berth-host/berth/host/sandbox/wasmbin/wasmtest"
)

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
	got := allocated(func() { Rewrite(wasm, Config{}) })
	if limit := uint64(32*len(wasm) + 4<<20); got > limit {
		t.Errorf("%d bytes allocated for a module of %d", got, len(wasm))
	}
}

func TestAllocationIsBounded(t *testing.T) {
	types := Section(1, Vec(FuncType("", "")))
	wide := Section(1, Vec(FuncType(strings.Repeat("\x7e", 1000), "\x7e")))
	many := func(n int, entry []byte) []byte { return B(U(n), bytes.Repeat(entry, n)) }
	for name, wasm := range map[string][]byte{
		"nothing":         Module(),
		"types":           Module(Section(1, many(100000, FuncType("", "")))),
		"functions":       Module(types, Section(3, many(100000, U(0))), Section(10, many(100000, Body(end)))),
		"wide functions":  Module(wide, Section(3, many(100000, U(0))), Section(10, many(100000, Body(0x00, end)))),
		"loops":           Module(types, Section(3, Vec(U(0))), Section(10, Vec(Body(strings.Repeat("\x03\x40\x0b", 300000), end)))),
		"a nest of loops": Module(types, Section(3, Vec(U(0))), Section(10, Vec(Body(strings.Repeat("\x03\x40", 8000), strings.Repeat("\x0b", 8001))))),
		"br_table in them": Module(types, Section(3, Vec(U(0))), Section(10, Vec(Body(strings.Repeat("\x03\x40", 8000),
			strings.Repeat("\x41\x00\x0e\x01\x00\x00", 30000), strings.Repeat("\x0b", 8001))))),
		"fills":  Func("\x7f", "", Vec(), bytes.Repeat(B(0x20, 0, 0x20, 0, 0x20, 0, 0xfc, 11, 0), 100000), end),
		"labels": Func("\x7f", "", Vec(), 0x03, 0x40, 0x20, 0, 0x0e, U(1000000), make([]byte, 1000001), end, end),
		"calls":  Module(types, Section(3, many(200, U(0))), Section(10, B(U(200), bytes.Repeat(Body(bytes.Repeat(B(0x10, 127), 5000), end), 200)))),
		"names":  Module(Custom("name", 1, U(200005), U(100000), make([]byte, 200002))),
		"custom": Module(bytes.Repeat(Custom("berth.x"), 100000)),
	} {
		t.Run(name, func(t *testing.T) { checkBounds(t, wasm) })
	}
	for name, wasm := range guests(t) {
		t.Run(name, func(t *testing.T) { checkBounds(t, wasm) })
	}
}

// withoutCustom removes the custom sections, most of which the rewriter drops, too:
// they have no effect, and the engine refuses some and runs out of memory for others.
// It returns false for bytes that are not sections.
func withoutCustom(wasm []byte) ([]byte, bool) {
	sections, err := wasmbin.NewSections(wasm)
	if err != nil {
		return nil, false
	}
	out := bytes.Clone(wasm[:8])
	for {
		id, body, ok, err := sections.Next()
		if err != nil || !ok {
			return out, err == nil
		}
		if id != wasmbin.SectionCustom {
			out = append(wasmbin.AppendU32(append(out, id), uint32(body.Left())), body.Slice(body.Pos(), body.Pos()+body.Left())...)
		}
	}
}

// FuzzRewrite: any bytes are refused with a typed error or rewritten into a module
// that the engine accepts exactly if it accepts the original without its custom sections.
func FuzzRewrite(f *testing.F) {
	for _, wasm := range guests(f) {
		f.Add(wasm)
	}
	for i := range 20 {
		f.Add(rapid.Custom(generate).Example(i))
	}
	f.Add([]byte("\x00asm\x01\x00\x00\x00\x02\x04\xff\xff\xff\x7f"))
	f.Add(Module(Custom("name", "\x02\x08\x01\x02\x05first"))) // names of locals that break off
	ctx := context.Background()
	engine := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigInterpreter().WithCoreFeatures(api.CoreFeaturesV2))
	f.Cleanup(func() { engine.Close(ctx) })
	accepts := func(wasm []byte) (err error) {
		defer func() { // the engine panics on some invalid modules
			if p := recover(); p != nil {
				err = errors.New("panic")
			}
		}()
		m, err := engine.CompileModule(ctx, wasm)
		if err == nil {
			err = m.Close(ctx)
		}
		return err
	}
	f.Fuzz(func(t *testing.T, wasm []byte) {
		checkBounds(t, wasm)
		original := bytes.Clone(wasm)
		out, _, err := Rewrite(wasm, Config{})
		if !bytes.Equal(wasm, original) {
			t.Fatal("the input was modified")
		}
		_, refused := prescan.Scan(wasm, prescan.Limits{})
		plain, ok := withoutCustom(wasm)
		if err != nil {
			var e *Error
			if !errors.As(err, &e) || e.Reason == "" || e.Section == "" || e.Offset < 0 || e.Offset > len(wasm) {
				t.Fatalf("%#v", err)
			}
			if ok && refused == nil && len(wasm) < 1<<16 && accepts(plain) == nil && !strings.Contains(err.Error(), "reserves") {
				t.Fatalf("the engine accepts a module that the rewriter refuses: %v", err)
			}
			return
		}
		if refused != nil || len(wasm) > 1<<16 {
			return
		}
		if !ok {
			t.Fatal("the output has no sections")
		}
		want, got := accepts(plain), accepts(out)
		if (want == nil) != (got == nil) {
			t.Fatalf("the engine says of the original: %v\nof the rewritten: %v", want, got)
		}
	})
}
