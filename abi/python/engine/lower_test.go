package main

import (
	"bytes"
	"os"
	"testing"
)

// engineOf returns the checked-in engine. It is rebuilt with the interpreter that README.md
// names; these tests need neither.
func engineOf(t *testing.T) []byte {
	t.Helper()
	engine, err := os.ReadFile("../engine.wasm")
	if err != nil {
		t.Fatal(err)
	}
	return engine
}

// body makes the code of a function without locals.
func body(ops ...byte) []byte { return append([]byte{0}, ops...) }

func TestLowering(t *testing.T) {
	// Function 0 throws, 1 does nothing, 2 is the one under test; it has the type 0, which
	// yields an i32. The globals thrown and value are 8 and 9.
	const thrower, harmless = 0, 1
	test := []byte{opGlobalGet, 8, opBrIf}
	tests := []struct {
		name     string
		in, want []byte
	}{
		{"a call that cannot throw",
			body(opCall, harmless, opI32Const, 1, opEnd),
			body(opCall, harmless, opI32Const, 1, opEnd)},
		{"a call that can, outside of try_table, returns zero",
			body(opCall, thrower, opI32Const, 1, opEnd),
			body(join([]byte{opBlock, blockEmpty, opCall, thrower}, test, []byte{0, opI32Const, 1, opReturn, opEnd, opI32Const, 0, opEnd})...)},
		{"throw",
			body(opI32Const, 7, opThrow, 0, opEnd),
			body(opBlock, blockEmpty, opI32Const, 7, opGlobalSet, 9, opI32Const, 1, opGlobalSet, 8, opBr, 0,
				opReturn, opEnd, opI32Const, 0, opEnd)},
		{"labels count the block around a function that throws",
			body(opBlock, blockEmpty, opCall, thrower, opI32Const, 1, opBr, 1, opEnd, opI32Const, 2, opEnd),
			body(join([]byte{opBlock, blockEmpty, opBlock, blockEmpty, opCall, thrower}, test,
				[]byte{1, opI32Const, 1, opBr, 2, opEnd, opI32Const, 2, opReturn, opEnd, opI32Const, 0, opEnd})...)},
		{"try_table branches with the value to the label of its clause",
			body(opBlock, typeI32, opTryTable, blockEmpty, 1, catchTag, 0, 0, opCall, thrower, opBr, 0, opEnd, opI32Const, 3, opEnd, opEnd),
			body(join([]byte{opBlock, blockEmpty, opBlock, typeI32,
				opBlock, blockEmpty, opBlock, blockEmpty, opCall, thrower}, test,
				[]byte{0, opBr, 1, opBr, 1, opEnd,
					opI32Const, 0, opGlobalSet, 8, opGlobalGet, 9, opBr, 1, opEnd,
					opI32Const, 3, opEnd, opReturn, opEnd, opI32Const, 0, opEnd})...)},
		{"throw_ref in the code after a try_table leaves the function",
			body(opBlock, typeExnRef, opTryTable, blockEmpty, 1, catchAllRef, 0, opCall, thrower, opEnd,
				opI32Const, 3, opReturn, opEnd, opThrowRef, opEnd),
			body(join([]byte{opBlock, blockEmpty, opBlock, typeI32,
				opBlock, blockEmpty, opBlock, blockEmpty, opCall, thrower}, test,
				[]byte{0, opBr, 1, opEnd,
					opI32Const, 0, opGlobalSet, 8, opGlobalGet, 9, opBr, 1, opEnd,
					opI32Const, 3, opReturn, opEnd,
					opGlobalSet, 9, opI32Const, 1, opGlobalSet, 8, opBr, 0,
					opReturn, opEnd, opI32Const, 0, opEnd})...)},
		{"a try_table without clauses is a block",
			body(opTryTable, blockEmpty, 0, opCall, thrower, opEnd, opI32Const, 3, opEnd),
			body(join([]byte{opBlock, blockEmpty, opBlock, blockEmpty, opCall, thrower}, test,
				[]byte{1, opEnd, opI32Const, 3, opReturn, opEnd, opI32Const, 0, opEnd})...)},
		{"locals that refer to exceptions",
			[]byte{1, 2, typeExnRef, opI32Const, 0, opEnd},
			[]byte{1, 2, typeI32, opI32Const, 0, opEnd}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bodies := [][]byte{body(opI32Const, 7, opThrow, 0, opEnd), body(opEnd), tt.in}
			throws, err := throwers(0, bodies)
			if err != nil {
				t.Fatal(err)
			}
			l := &lowering{types: []function{{"", "\x7f"}}, throws: throws, newIndex: []uint32{0, 1, 2}, thrown: 8, value: 9,
				typeOf: func(int) uint32 { return 0 }}
			got, err := l.body(2, tt.in)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, tt.want) {
				t.Errorf("got  %x\nwant %x", got, tt.want)
			}
		})
	}
}

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func TestLoweringRefuses(t *testing.T) {
	tests := []struct {
		name string
		in   []byte
	}{
		{"an unknown instruction", body(0x06, blockEmpty, opEnd, opEnd)},
		{"a body that ends early", body(opBlock, blockEmpty, opEnd)},
		{"instructions after the end", body(opEnd, opEnd)},
		{"a call of a function that is not there", body(opCall, 9, opEnd)},
		{"try_table with parameters", body(opTryTable, 0x80, 0x01, 0, opEnd, opEnd)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			throws, err := throwers(0, [][]byte{tt.in})
			if err != nil {
				return
			}
			l := &lowering{types: []function{{"", ""}}, throws: throws, newIndex: []uint32{0}, typeOf: func(int) uint32 { return 0 }}
			if got, err := l.body(0, tt.in); err == nil {
				t.Errorf("got %x, want an error", got)
			}
		})
	}
}

// TestEngineHasNoExceptions reads each instruction of the engine.
func TestEngineHasNoExceptions(t *testing.T) {
	m, err := parse(engineOf(t))
	if err != nil {
		t.Fatal(err)
	}
	if len(m.bodies) < 1000 {
		t.Fatalf("got %d functions, want the interpreter's", len(m.bodies))
	}
	for _, i := range m.imports {
		if i.module != "berth_v1" && i.module != "wasi_snapshot_preview1" {
			t.Errorf("the engine imports %s.%s", i.module, i.name)
		}
	}
	for i, b := range m.bodies {
		r := &reader{b: b}
		skipLocals(r)
		for len(r.b) > 0 && r.err == nil {
			if in := next(r); in.op == opThrow || in.op == opThrowRef || in.op == opTryTable {
				t.Fatalf("function %d has the instruction %#02x", i, in.op)
			}
		}
		if r.err != nil {
			t.Fatalf("function %d: %v", i, r.err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("\x00asm\x01\x00\x00\x00"))
	f.Add([]byte("\x00asm\x01\x00\x00\x00\x01\x05\x01\x60\x00\x01\x7f\x03\x02\x01\x00\x0a\x06\x01\x04\x00\x41\x00\x0b"))
	f.Fuzz(func(t *testing.T, wasm []byte) {
		if _, err := build(wasm); err == nil {
			t.Error("a module that does not have the interpreter's imports was taken")
		}
	})
}
