package sandbox_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/sandbox"
	"github.com/berth-host/berth/host/sandbox/source"
	"github.com/berth-host/berth/host/sandbox/vet"
	. "github.com/berth-host/berth/host/sandbox/wasmbin/wasmtest"
	"github.com/berth-host/berth/host/spec"
)

func linesGuest(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "..", "testdata", "lines", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// mark returns the location of a mark in a source, as file:line.
func mark(t testing.TB, file, name string) string {
	t.Helper()
	for i, line := range strings.Split(string(linesGuest(t, file)), "\n") {
		if strings.HasSuffix(line, "// MARK "+name) {
			return fmt.Sprintf("%s:%d", filepath.Base(file), i+1)
		}
	}
	t.Fatalf("%s has no mark %s", file, name)
	return ""
}

// fail returns the message of an attempt that fails in a way.
func fail(t testing.TB, wasm []byte, way string) string {
	t.Helper()
	_, q := start(t, load(t, wasm), sandbox.PoolConfig{Limits: spec.Limits{Timeout: testTimeout}})
	q.push(attempt(t, 1, `{"way":"`+way+`"}`))
	o := q.await(t).outcome
	if o.Verdict != event.Failed {
		t.Fatalf("%s: %q", way, o.Class)
	}
	return o.Message
}

// TestFailuresHaveSourceLines: the error of a failure has the function and the line of the
// source, of compilers that write DWARF of any version.
func TestFailuresHaveSourceLines(t *testing.T) {
	for _, tt := range []struct{ way, want string }{
		{"trap", "unreachable at explode (MARK)\n\tat explode (MARK)\n\tat run (CALLER)"},
		{"divide", "integer divide by zero at divide (MARK)\n\tat divide (MARK)\n\tat run ("},
		{"memory", "out of bounds memory access at outside (MARK)\n\tat outside (MARK)\n\tat run ("},
		{"indirect", " at indirect (MARK)\n\tat indirect (MARK)\n\tat run ("},
		{"inlined", "unreachable at check (MARK)\n\tat check (MARK)\n\tat sell (CALLER)\n\tat run ("},
		{"descend", "(limits.stack)\n\tat descend (MARK)\n\tat descend (MARK)\n\tat descend (MARK)\n"},
		{"bounds", "is not inside the memory\n\tat run (MARK)"},
	} {
		for _, version := range []string{"2", "3", "4", "5"} {
			if version != "4" && tt.way != "trap" && tt.way != "inlined" {
				continue
			}
			t.Run(tt.way+"/DWARF "+version, func(t *testing.T) {
				caller := map[string]string{"inlined": "inlining"}[tt.way]
				if caller == "" {
					caller = "caller"
				}
				wanted := tt.want
				if version == "2" { // it does not know where a function was inlined
					wanted = strings.Replace(wanted, "sell (CALLER)", "sell", 1)
				}
				want := strings.NewReplacer("MARK", mark(t, "explode.c", tt.way), "CALLER", mark(t, "explode.c", caller)).Replace(wanted)
				if got := fail(t, linesGuest(t, "c-"+version+".wasm"), tt.way); !strings.Contains(got, want) {
					t.Errorf("got  %s\nwant %s", got, want)
				}
			})
		}
	}
}

// TestFailuresHaveLinesOfSourceMaps: guests in AssemblyScript, whose errors come as a call of
// env.abort with the location, and whose traps have lines by the source map.
func TestFailuresHaveLinesOfSourceMaps(t *testing.T) {
	trap, caller, thrown := mark(t, "explode.ts", "trap"), mark(t, "explode.ts", "caller"), mark(t, "explode.ts", "throw")
	for _, guest := range []string{"ts.wasm", "ts-url.wasm"} {
		want := "unreachable at explode/explode (" + trap + ")\n\tat explode/explode (" + trap + ")\n\tat explode/run (" + caller + ")"
		if got := fail(t, linesGuest(t, guest), "trap"); got != want {
			t.Errorf("%s: got  %s\nwant %s", guest, got, want)
		}
		want = "abort: the stock is -3 (" + thrown + ":5)\n\tat explode/sell (" + thrown + ")\n\tat explode/run ("
		if got := fail(t, linesGuest(t, guest), "throw"); !strings.HasPrefix(got, want) {
			t.Errorf("%s: got  %s\nwant %s", guest, got, want)
		}
	}
}

// TestNamesWithoutDebugInformation: the stack of a guest without DWARF has names, demangled.
func TestNamesWithoutDebugInformation(t *testing.T) {
	if got, want := fail(t, linesGuest(t, "c-none.wasm"), "trap"), "unreachable at explode\n\tat explode\n\tat run"; got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
	where := mark(t, "explode.cpp", "trap")
	want := "unreachable at shop::Cart<long>::explode (" + where + ")\n\tat shop::Cart<long>::explode (" + where + ")\n\tat run ("
	if got := fail(t, linesGuest(t, "cpp.wasm"), ""); !strings.HasPrefix(got, want) {
		t.Errorf("got %s\nwant %s", got, want)
	}
}

// refusing is a Vetter whose source lines are never found.
type refusing struct{ sandbox.Vetter }

func (refusing) Lines(context.Context, vet.Original, source.Query) (source.Answer, error) {
	return source.Answer{}, fault.New(fault.Unavailable, "no")
}

// TestUnresolvedStackIsPlain: if the lines are not found, the error has the names.
func TestUnresolvedStackIsPlain(t *testing.T) {
	vetter, err := vet.New(vet.Config{CacheDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	engine, err := sandbox.New(sandbox.Config{Vetter: refusing{vetter}})
	if err != nil {
		t.Fatal(err)
	}
	m, err := engine.Load(t.Context(), spec.NewArtifact(linesGuest(t, "c-4.wasm")), sandbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close(context.Background()) })
	_, q := start(t, m, sandbox.PoolConfig{Limits: spec.Limits{Concurrency: 1}})
	q.push(attempt(t, 1, `{"way":"trap"}`))
	if got, want := q.await(t).outcome.Message, "unreachable at explode\n\tat explode\n\tat run"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestLinesOfEntries: the child refuses a module that is not the one that was vetted, and
// one that is gone.
func TestLinesOfEntries(t *testing.T) {
	vetter, err := vet.New(vet.Config{CacheDir: t.TempDir(), CPU: time.Minute, Wall: 2 * time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	verdict, err := vetter.Vet(t.Context(), spec.NewArtifact(linesGuest(t, "c-4.wasm")))
	if err != nil {
		t.Fatal(err)
	}
	original := verdict.Original()
	if !verdict.Report.Traceable {
		t.Fatal("not traceable")
	}
	q := source.Query{Offsets: []uint64{1, 300}, Names: []string{"_ZN4shop1fEv"}}
	a, err := vetter.Lines(t.Context(), original, q)
	if err != nil || len(a.Frames) != 2 || a.Frames[0] != nil || len(a.Names) != 1 || a.Names[0] != "shop::f" {
		t.Errorf("%v, %v", a, err)
	}
	path := filepath.Join(original.Dir, "original.wasm")
	if err := os.WriteFile(path, linesGuest(t, "c-5.wasm"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := vetter.Lines(t.Context(), original, q); fault.CodeOf(err) != fault.Unavailable || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("another module: %v", err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, err := vetter.Lines(t.Context(), original, q); fault.CodeOf(err) != fault.Unavailable || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("gone: %v", err)
	}
	if a, err := vetter.Lines(t.Context(), original, source.Query{Names: q.Names}); err != nil || a.Names[0] != "shop::f" {
		t.Errorf("only names: %v, %v", a, err)
	}
	plain, err := vetter.Vet(t.Context(), spec.NewArtifact(linesGuest(t, "c-none.wasm")))
	if plain.Report.Traceable || err != nil {
		t.Errorf("without debug information: %v, %v", plain.Report.Traceable, err)
	}
}

// TestHostileDWARFDelaysNothing: debug information that takes forever to read does not keep
// an attempt beyond the limit.
func TestHostileDWARFDelaysNothing(t *testing.T) {
	vetter, err := vet.New(vet.Config{CacheDir: t.TempDir(), CPU: time.Minute, Wall: 2 * time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	engine, err := sandbox.New(sandbox.Config{Vetter: vetter, LinesWait: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	wasm := B(linesGuest(t, "c-none.wasm"), endlessDWARF())
	m, err := engine.Load(t.Context(), spec.NewArtifact(wasm), sandbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close(context.Background()) })
	_, q := start(t, m, sandbox.PoolConfig{Limits: spec.Limits{Concurrency: 1, Timeout: testTimeout}})
	for i := range 20 {
		q.push(attempt(t, i+1, `{"way":"trap"}`))
		if got, want := q.await(t).outcome.Message, "unreachable at explode\n\tat explode\n\tat run"; got != want {
			t.Fatalf("got %q, want %q", got, want)
		}
	}
}

// endlessDWARF is DWARF with many functions that each have a long list of ranges: to look
// through it takes the product of both.
func endlessDWARF() []byte {
	const functions, ranges = 200_000, 200_000
	abbrev := B(1, 0x11, 1, 0x10, 0x17, 0x11, 0x01, 0x12, 0x06, 0, 0, // a unit with children: stmt_list, low_pc, high_pc
		2, 0x2e, 0, 0x55, 0x17, 0, 0, 0) // a function: ranges
	entries := B(1, four(0), four(1), four(0xfffffff0))
	for range functions {
		entries = append(entries, 2, 0, 0, 0, 0)
	}
	entries = append(entries, 0)
	unit := B(4, 0, four(0), 4, entries)
	var list []byte
	for range ranges {
		list = append(list, 1, 0, 0, 0, 2, 0, 0, 0)
	}
	list = append(list, make([]byte, 8)...)
	return B(Custom(".debug_abbrev", abbrev), Custom(".debug_info", B(four(len(unit)), unit)), Custom(".debug_ranges", list),
		Custom(".debug_line", "x"))
}

// four is a number in four bytes.
func four(v int) []byte { return []byte{byte(v), byte(v >> 8), byte(v >> 16), byte(v >> 24)} }
