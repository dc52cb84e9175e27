package meter

import (
	"bytes"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"

	"github.com/berth-host/berth/host/sandbox/wasmbin"
	. "github.com/berth-host/berth/host/sandbox/wasmbin/wasmtest"
)

// work is n instructions that weigh 1 each, and as many that weigh nothing.
func work(n int) []byte { return bytes.Repeat(B(0x20, 0, 0x1a), n) }

// calling is a module whose exported function has one i32 and some code, followed by
// other functions of that type that nothing exports.
func calling(code []byte, others ...[]byte) []byte {
	indices, bodies := [][]byte{U(0)}, [][]byte{Body(code, end)}
	for _, o := range others {
		indices, bodies = append(indices, U(0)), append(bodies, Body(o, end))
	}
	return Module(Section(1, Vec(FuncType("\x7f", ""))), Section(3, Vec(indices...)), Section(5, Vec(B(0, 1))),
		Section(7, Vec(Export("f", 0, 0))), Section(10, Vec(bodies...)))
}

// inTable is calling with the functions in a table, of which the elements are a part.
func inTable(code []byte, exported bool, elements []byte, others ...[]byte) []byte {
	indices, bodies := [][]byte{U(0)}, [][]byte{Body(code, end)}
	for _, o := range others {
		indices, bodies = append(indices, U(0)), append(bodies, Body(o, end))
	}
	exports := [][]byte{Export("f", 0, 0)}
	if exported {
		exports = append(exports, Export("t", wasmbin.KindTable, 0))
	}
	return Module(Section(1, Vec(FuncType("\x7f", ""))), Section(3, Vec(indices...)), Section(4, Vec(B(0x70, 0, 9))),
		Section(7, Vec(exports...)), Section(9, elements), Section(10, Vec(bodies...)))
}

// TestReport: the charges of modules, in literal numbers.
func TestReport(t *testing.T) {
	direct := func(fn int) []byte { return B(0x20, 0, 0x10, fn) }
	indirect := B(0x20, 0, 0x41, 0, 0x11, 0, 0)
	elements := func(fns ...int) []byte {
		var list [][]byte
		for _, fn := range fns {
			list = append(list, U(fn))
		}
		return Vec(B(0, 0x41, 0, end, Vec(list...)))
	}
	loop := func(code ...any) []byte { return B(0x03, 0x40, B(code...), end) }
	for _, tt := range []struct {
		name string
		wasm []byte
		want Report // but for sizes and indices
		fuel int64  // of a call of f(0)
	}{
		{"nothing", calling(nil), Report{Functions: 1, Helpers: 1, Entries: 1, MaxCharge: 2}, 2},
		{"a leaf that costs 32 is folded", calling(direct(1), work(30)), Report{Functions: 2, Helpers: 1, Entries: 1, Folded: 1, MaxCharge: 38}, 2 + 1 + 3 + 32},
		{"a leaf that costs 33 is not", calling(direct(1), work(31)), Report{Functions: 2, Helpers: 1, Entries: 2, MaxCharge: 33}, 2 + 1 + 3 + 33},
		{"a function that calls is no leaf", calling(direct(1), direct(2), nil), Report{Functions: 3, Helpers: 1, Entries: 2, Folded: 1, MaxCharge: 8}, 6 + 8},
		{"a function with a loop is no leaf", calling(direct(1), loop()), Report{Functions: 2, Helpers: 1, Entries: 1, Loops: 1, Merged: 1, MaxCharge: 6}, 6 + 3},
		{"a function with a fill is no leaf", calling(direct(1), B(0x41, 0, 0x41, 0, 0x41, 0, 0xfc, 11, 0)),
			Report{Functions: 2, Helpers: 2, Entries: 2, Bulk: 1, MaxCharge: 69}, 6 + 69},
		{"an exported leaf pays for itself", calling(nil), Report{Functions: 1, Helpers: 1, Entries: 1, MaxCharge: 2}, 2},
		{"a started leaf pays for itself", Module(Section(1, Vec(FuncType("", ""))), Section(3, Vec(U(0), U(0))), Section(7, Vec(Export("f", 0, 0))),
			Section(8, 1), Section(10, Vec(Body(0x10, 1, end), Body(end)))), Report{Functions: 2, Helpers: 1, Entries: 2, MaxCharge: 5}, 2 + 2 + 3 + 2},
		{"a leaf in a table is paid for by indirect calls", inTable(indirect, false, elements(1), work(5)),
			Report{Functions: 2, Helpers: 1, Entries: 1, Folded: 1, MaxCharge: 2 + 2 + 8 + 7}, 2 + 2 + 8 + 7},
		{"the dearest of them", inTable(indirect, false, elements(1, 2), nil, work(9)),
			Report{Functions: 3, Helpers: 1, Entries: 1, Folded: 2, MaxCharge: 2 + 2 + 8 + 11}, 2 + 2 + 8 + 11},
		{"a leaf in no table is not", inTable(indirect, false, elements(1), nil, work(9)),
			Report{Functions: 3, Helpers: 1, Entries: 1, Folded: 2, MaxCharge: 2 + 2 + 8 + 2}, 2 + 2 + 8 + 2},
		{"a leaf in an exported table pays for itself", inTable(indirect, true, elements(1), work(5)),
			Report{Functions: 2, Helpers: 1, Entries: 2, MaxCharge: 12, StackCalls: 1}, 12 + 7},
		{"a leaf that is referred to", inTable(B(indirect, 0xd2, 1, 0x1a), false, Vec(B(0, 0x41, 0, end, Vec(U(1))), B(3, 0, Vec(U(1)))), work(5)),
			Report{Functions: 2, Helpers: 1, Entries: 1, Folded: 1, MaxCharge: 12 + 7 + 1}, 12 + 7 + 1},
		{"an entry of 8 merges with its loop", calling(B(work(6), loop(work(4)))), Report{Functions: 1, Helpers: 1, Loops: 1, Merged: 1, MaxCharge: 8 + 5}, 8 + 5},
		{"an entry of 9 is looked at by its loop", calling(B(work(7), loop(work(4)))), Report{Functions: 1, Helpers: 1, Entries: 1, Loops: 1, Merged: 1, MaxCharge: 9}, 9 + 5},
		{"an entry that can trap does not merge", calling(B(0x20, 0, 0x28, 0, 0, 0x1a, loop(work(4)))), Report{Functions: 1, Helpers: 1, Entries: 1, Loops: 1, Merged: 1, MaxCharge: 5}, 4 + 5},
		{"an entry that branches does not", calling(B(0x20, 0, 0x04, 0x40, end, loop(work(4)))), Report{Functions: 1, Helpers: 1, Entries: 1, Loops: 1, MaxCharge: 5}, 4 + 5},
		{"a loop in a loop", calling(loop(work(2), loop(work(3)))), Report{Functions: 1, Helpers: 1, Loops: 2, Merged: 1, MaxCharge: 2 + 3}, 2 + 3 + 4},
		{"a loop that cannot be reached", calling(B(0x00, loop(work(3)))), Report{Functions: 1, Helpers: 1, Entries: 1, MaxCharge: 2}, -1},
		{"a branch out of two loops costs as at the outer's head", calling(B(0x02, 0x40, work(7), loop(work(2), loop(work(3), 0x0c, 2)), end, work(4))),
			Report{Functions: 1, Helpers: 1, Entries: 1, Loops: 2, Merged: 1, MaxCharge: 13}, 2 + 7 + 4 + 3 + 5},
		{"memory.grow", calling(B(0x41, 0, 0x40, 0, 0x1a)), Report{Functions: 1, Helpers: 2, Entries: 1, Bulk: 1, MaxCharge: 195}, 195},
		{"two of a kind need one helper", calling(B(0x41, 0, 0x40, 0, 0x40, 0, 0x1a)), Report{Functions: 1, Helpers: 2, Entries: 1, Bulk: 2, MaxCharge: 387}, 387 + 131072}, // the second grows by the 1 page that there was,
		{"an else that is dearer", calling(B(0x20, 0, 0x04, 0x40, work(1), 0x05, work(6), end)), Report{Functions: 1, Helpers: 1, Entries: 1, MaxCharge: 10}, 10},
		{"an if that is not entered", calling(B(0x20, 0, 0x04, 0x40, work(6), end)), Report{Functions: 1, Helpers: 1, Entries: 1, MaxCharge: 10}, 10},
		{"an if that does not end is not paid for behind it", calling(B(0x20, 0, 0x04, 0x40, work(9), 0x0f, end, work(2))), Report{Functions: 1, Helpers: 1, Entries: 1, MaxCharge: 13}, 13},
		{"arms that both return", calling(B(0x20, 0, 0x04, 0x40, 0x0f, 0x05, 0x0f, end, work(20))), Report{Functions: 1, Helpers: 1, Entries: 1, MaxCharge: 4}, 4},
		{"the dearest target of a switch", calling(B(0x02, 0x40, 0x02, 0x40, 0x20, 0, 0x0e, 1, 0, 1, end, work(5), end, work(2))), Report{Functions: 1, Helpers: 1, Entries: 1, MaxCharge: 12}, 12},
	} {
		t.Run(tt.name, func(t *testing.T) {
			out, rep, err := Rewrite(tt.wasm, Config{})
			if err != nil {
				t.Fatal(err)
			}
			if rep.BytesIn != len(tt.wasm) || rep.BytesOut != len(out) {
				t.Errorf("sizes: %+v", rep)
			}
			rep.BytesIn, rep.BytesOut, rep.RefillIndex, rep.GlobalIndex, rep.MaxFrame = 0, 0, 0, 0, 0
			if rep != tt.want {
				t.Errorf("got %+v\nwant %+v", rep, tt.want)
			}
			k := &tank{slice: 1 << 30}
			mod := start(t, out, k, wazero.NewRuntimeConfigCompiler())
			if _, err := call(t, mod, make([]uint64, len(mod.ExportedFunction("f").Definition().ParamTypes()))...); (err != nil) != (tt.fuel < 0) {
				t.Fatal(err)
			}
			if got := k.used(mod); tt.fuel >= 0 && got != tt.fuel {
				t.Errorf("%d fuel; want %d", got, tt.fuel)
			}
		})
	}
}

// TestHostCall: a call of an import costs what it takes to leave the code, and the
// functions behind the imports are called by their moved indices.
func TestHostCall(t *testing.T) {
	wasm := Module(Section(1, Vec(FuncType("", ""))), Section(2, Vec(Import("env", "a", 0, 0), Import("env", "b", 0, 0))), Section(3, Vec(U(0), U(0))),
		Section(6, Vec(B(0x7f, 1, 0x41, 0, end))), Section(10, Vec(Body(0x10, 0, 0x10, 1, 0x10, 3, 0x10, 2, end), Body(end))))
	out, rep, err := Rewrite(wasm, Config{})
	if err != nil || rep.MaxCharge != 2+48+48+(3+2)+3 || rep.RefillIndex != 2 || rep.GlobalIndex != 1 || rep.Folded != 1 {
		t.Fatalf("%v, %+v", err, rep)
	}
	if !bytes.Contains(out, B(0x10, 0, 0x10, 1, 0x10, 4, 0x10, 3, 0x05)) {
		t.Errorf("%x", out)
	}
}

// TestNestingLimit: as deep as the limit, and one deeper.
func TestNestingLimit(t *testing.T) {
	nest := func(n int) []byte {
		return calling(B(bytes.Repeat(B(0x02, 0x40), n), bytes.Repeat(B(end), n)))
	}
	if _, _, err := Rewrite(nest(3), Config{MaxNesting: 3}); err != nil {
		t.Error(err)
	}
	if _, _, err := Rewrite(nest(4), Config{MaxNesting: 3}); err == nil || !strings.HasPrefix(err.Error(), "blocks nest too deep (code section, byte ") {
		t.Error(err)
	}
	if DefaultMaxNesting != 8192 {
		t.Error(DefaultMaxNesting)
	}
}

// TestRepeatedArguments: an entry calls its function anew with its arguments if it has 12
// at most and one result; else the refill is in place.
func TestRepeatedArguments(t *testing.T) {
	for _, tt := range []struct {
		params, results string
		again           bool
	}{
		{strings.Repeat("\x7f", 12), "", true},
		{strings.Repeat("\x7f", 13), "", false},
		{"", "\x7f", true},
		{"", "\x7f\x7e", false},
		{"\x7b\x7d", "\x7c", true},
	} {
		wasm := Module(Section(1, Vec(FuncType(tt.params, tt.results))), Section(3, Vec(U(0))), Section(7, Vec(Export("f", 0, 0))), Section(10, Vec(Body(0x00, end))))
		out := mustRewrite(t, wasm)
		arguments := []byte{}
		for i := range len(tt.params) {
			arguments = append(arguments, 0x20, byte(i))
		}
		if got := bytes.Contains(out, B(arguments, 0x10, 1, end)); got != tt.again {
			t.Errorf("%x -> %x: called anew: %v\n%x", tt.params, tt.results, got, out)
		}
	}
}
