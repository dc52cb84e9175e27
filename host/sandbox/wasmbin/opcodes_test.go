package wasmbin

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

// The opcodes of the core specification 2.0, as its index of instructions has them, a
// line for each 16: the immediates of each. "." is no instruction, "0" nothing.
const (
	plainMap = `
0 0 b b b 0 . . . . . 0 i i t 0
i I . . . . . . . . 0 0 s . . .
i i i i i i i . m m m m m m m m
m m m m m m m m m m m m m m m M
M c C f F 0 0 0 0 0 0 0 0 0 0 0
0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0
0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0
0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0
0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0
0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0
0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0
0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0
0 0 0 0 0 . . . . . . . . . . .
r 0 i . . . . . . . . . . . . .
. . . . . . . . . . . . . . . .
. . . . . . . . . . . . . . . .`
	bulkMap = `
0 0 0 0 0 0 0 0 x i X M I i I i
i i . . . . . . . . . . . . . .`
	vectorMap = `
m m m m m m m m m m m m V V 0 0
0 0 0 0 0 l l l l l l l l l l l
l l l 0 0 0 0 0 0 0 0 0 0 0 0 0
0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0
0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0
0 0 0 0 L L L L L L L L m m 0 0
0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0
0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0
0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0
0 0 0 0 0 0 0 0 0 0 . 0 0 0 0 0
0 0 . 0 0 . . 0 0 0 0 0 0 0 0 .
. 0 . . . 0 0 0 0 0 0 . 0 0 0 0
0 0 . 0 0 . . 0 0 0 0 0 0 0 0 .
. 0 . . . 0 0 0 0 0 0 0 0 0 0 0
0 0 . 0 0 0 0 0 0 0 0 0 0 0 . 0
0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0`
)

// behind are immediates of each kind, and what is decoded from them.
var behind = map[string]struct {
	code string
	want Instr
}{
	"0": {"", Instr{}},
	"i": {"\x85\x01", Instr{Index: 133}},
	"I": {"\x85\x01\xff\xff\xff\xff\x0f", Instr{Index: 133, Index2: 1<<32 - 1}},
	"x": {"\x85\x01\x00", Instr{Index: 133}},
	"X": {"\x00\x00", Instr{}},
	"M": {"\x00", Instr{}},
	"m": {"\x02\x88\x27", Instr{Align: 2, Offset: 5000}},
	"L": {"\x03\x88\x27\x0f", Instr{Align: 3, Offset: 5000, Lane: 15}},
	"l": {"\x0f", Instr{Lane: 15}},
	"b": {"\x85\x01", Instr{HasType: true, Index: 133}},
	"t": {"\x02\x85\x01\x07\x03", Instr{Count: 3}},
	"s": {"\x01\x7b", Instr{Type: V128}},
	"r": {"\x6f", Instr{Type: ExternRef}},
	"c": {"\x80\x7f", Instr{Index: 1<<32 - 128}},
	"C": {"\x80\x7f", Instr{Bits: 1<<64 - 128}},
	"f": {"\x01\x02\x03\x84", Instr{Bits: 0x84030201}},
	"F": {"\x01\x02\x03\x04\x05\x06\x07\x88", Instr{Bits: 0x8807060504030201}},
	"V": {"\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x90", Instr{Bits: 0x0807060504030201, High: 0x900f0e0d0c0b0a09}},
}

// TestOpcodes decodes every defined and every undefined opcode.
func TestOpcodes(t *testing.T) {
	for _, plane := range []struct {
		prefix string
		base   Op
		table  string
		count  int // of opcodes in the table
	}{{"", 0, plainMap, 256}, {"\xfc", 0xfc00, bulkMap, 32}, {"\xfd", 0xfd00, vectorMap, 256}} {
		kinds := strings.Fields(plane.table)
		if len(kinds) != plane.count {
			t.Fatalf("%x: %d opcodes", plane.prefix, len(kinds))
		}
		for i, kind := range kinds {
			if plane.prefix == "" && i >= 0xfc && i <= 0xfd {
				continue
			}
			opcode := plane.prefix + string(AppendU32(nil, uint32(i)))
			if plane.prefix == "" {
				opcode = string([]byte{byte(i)})
			}
			t.Run(fmt.Sprintf("%x", opcode), func(t *testing.T) {
				if kind == "." {
					refusesOpcode(t, opcode)
					return
				}
				decodes(t, opcode, plane.base|Op(i), kind)
			})
		}
	}
}

// refusesOpcode expects an error at the opcode, with any bytes behind it.
func refusesOpcode(t *testing.T, opcode string) {
	r := NewReader([]byte("\x01" + opcode + strings.Repeat("\x00", 32)))
	var in Instr
	if err := r.Instr(&in); err != nil {
		t.Fatal(err)
	}
	var e *Error
	if err := r.Instr(&in); !errors.As(err, &e) || e.Offset != 1 || e.Reason == "" {
		t.Errorf("got %v", err)
	}
}

// decodes expects an opcode to be decoded with exactly its immediates, at any offset in
// a module, and to be refused if it is cut at any byte.
func decodes(t *testing.T, opcode string, op Op, kind string) {
	sample := behind[kind]
	want := sample.want
	want.At, want.Op = 2, op
	code := "\x01\x01" + opcode + sample.code
	r := NewReader([]byte(code + "\x0b"))
	var in Instr
	for range 3 {
		if err := r.Instr(&in); err != nil {
			t.Fatal(err)
		}
	}
	if r.Pos() != len(code) {
		t.Errorf("%x: %d bytes read of %d", code, r.Pos(), len(code))
	}
	if got := string(AppendInstr([]byte{9}, &in)); got != "\x09"+code[2:] {
		t.Errorf("%x is encoded as %x", code[2:], got[1:])
	}
	labels := in.Labels
	in.Labels = Reader{}
	if !reflect.DeepEqual(in, want) {
		t.Errorf("got %+v; want %+v", in, want)
	}
	if kind == "t" {
		for _, want := range []uint32{133, 7, 3} {
			if got, err := labels.U32(); err != nil || got != want {
				t.Errorf("label %d, %v; want %d", got, err, want)
			}
		}
		if labels.Left() != 0 {
			t.Errorf("%d bytes behind the labels", labels.Left())
		}
	}
	for cut := 3; cut < len(code); cut++ {
		r := NewReader([]byte(code[:cut]))
		_ = r.Skip(2)
		var e *Error
		if err := r.Instr(&in); !errors.As(err, &e) {
			t.Errorf("%x: got %v", code[:cut], err)
		}
	}
}

// TestRefusedCode: each error of an instruction, its place and the proposal it names.
func TestRefusedCode(t *testing.T) {
	for _, tt := range []struct {
		code    string
		offset  int
		reason  string
		feature string
	}{
		{"", 0, "unexpected end", ""},
		{"\x06\x40", 0, "exception handling is not supported", "exception handling"},
		{"\x07", 0, "exception handling is not supported", "exception handling"},
		{"\x08\x00", 0, "exception handling is not supported", "exception handling"},
		{"\x09", 0, "exception handling is not supported", "exception handling"},
		{"\x0a", 0, "exception handling is not supported", "exception handling"},
		{"\x18\x00", 0, "exception handling is not supported", "exception handling"},
		{"\x19", 0, "exception handling is not supported", "exception handling"},
		{"\x1f\x40", 0, "exception handling is not supported", "exception handling"},
		{"\x12\x00", 0, "tail calls is not supported", "tail calls"},
		{"\x13\x00\x00", 0, "tail calls is not supported", "tail calls"},
		{"\x14\x00", 0, "typed function references is not supported", "typed function references"},
		{"\x15\x00", 0, "typed function references is not supported", "typed function references"},
		{"\xd4", 0, "typed function references is not supported", "typed function references"},
		{"\xd5\x00", 0, "typed function references is not supported", "typed function references"},
		{"\xd6\x00", 0, "typed function references is not supported", "typed function references"},
		{"\xd3", 0, "garbage collection (GC) is not supported", "garbage collection (GC)"},
		{"\xfb\x00", 0, "garbage collection (GC) is not supported", "garbage collection (GC)"},
		{"\xfe\x03\x00", 0, "threads (atomic instructions) is not supported", "threads (atomic instructions)"},
		{"\x27", 0, "unknown opcode 0x27", ""},
		{"\x16", 0, "unknown opcode 0x16", ""},
		{"\xc5", 0, "unknown opcode 0xc5", ""},
		{"\xff", 0, "unknown opcode 0xff", ""},
		{"\xfc\x12", 0, "unknown opcode behind 0xfc", ""},
		{"\xfc\x13", 0, "wide arithmetic is not supported", "wide arithmetic"},
		{"\xfc\x16", 0, "wide arithmetic is not supported", "wide arithmetic"},
		{"\xfc\x17", 0, "unknown opcode behind 0xfc", ""},
		{"\xfc\xff\x01", 0, "unknown opcode behind 0xfc", ""},
		{"\xfc\x80\x02", 0, "unknown opcode behind 0xfc", ""},
		{"\xfc\x88\x02", 0, "unknown opcode behind 0xfc", ""}, // 8 in its lower byte
		{"\xfc\xff\xff\xff\xff\x1f", 1, "integer over 32 bits", ""},
		{"\xfc", 1, "unexpected end", ""},
		{"\xfd\x80\x02", 0, "relaxed SIMD is not supported", "relaxed SIMD"},
		{"\xfd\xff\x03", 0, "relaxed SIMD is not supported", "relaxed SIMD"},
		{"\xfd\x80\x04", 0, "unknown opcode behind 0xfd", ""},
		{"\xfd\x9a\x01", 0, "unknown opcode behind 0xfd", ""},
		{"\xfd", 1, "unexpected end", ""},
		{"\x3f\x01", 1, "multiple memories is not supported", "multiple memories"},
		{"\x40\x01", 1, "multiple memories is not supported", "multiple memories"},
		{"\x40\x80\x00", 1, "multiple memories is not supported", "multiple memories"},
		{"\xfc\x08\x00\x01", 3, "multiple memories is not supported", "multiple memories"},
		{"\xfc\x0a\x01\x00", 2, "multiple memories is not supported", "multiple memories"},
		{"\xfc\x0a\x00\x01", 3, "multiple memories is not supported", "multiple memories"},
		{"\xfc\x0b\x01", 2, "multiple memories is not supported", "multiple memories"},
		{"\x28\x40\x00", 1, "multiple memories is not supported", "multiple memories"},
		{"\x28\x7f\x00", 1, "multiple memories is not supported", "multiple memories"},
		{"\x3e\x80\x01\x00", 1, "malformed alignment", ""},
		{"\x28\xc0\x01\x00", 1, "malformed alignment", ""},
		{"\xfd\x00\x40\x00", 2, "multiple memories is not supported", "multiple memories"},
		{"\xfd\x54\x40\x00\x00", 2, "multiple memories is not supported", "multiple memories"},
		{"\x1c\x00", 0, "select with other than one type", ""},
		{"\x1c\x02\x7f\x7f", 0, "select with other than one type", ""},
		{"\x1c\x02\x7f", 1, "2 types of select declared, but only 1 bytes remain", ""},
		{"\x1c\x01\x40", 2, "unknown value type", ""},
		{"\xd0\x7f", 1, "i32 is not a reference type", ""},
		{"\xd0\x71", 1, "garbage collection (GC) is not supported", "garbage collection (GC)"},
		{"\x02\x41", 1, "unknown value type", ""},
		{"\x02\x64", 1, "typed function references is not supported", "typed function references"},
		{"\x02\xff\x7f", 1, "malformed block type", ""}, // i32, in two bytes
		{"\x02\xc0\x7f", 1, "malformed block type", ""},
		{"\x02\xbf\x7f", 1, "malformed block type", ""},
		{"\x02\x80\x80\x80\x80\x70", 1, "malformed block type", ""},
		{"\x02\x80\x80\x80\x80\x10", 1, "integer over 33 bits", ""},
		{"\x0e\x02\x00\x00", 2, "br_table without a default label", ""},
		{"\x0e\x03\x00\x00", 1, "3 labels of br_table declared, but only 2 bytes remain", ""},
		{"\x0e\x01\x80\x00", 4, "unexpected end", ""},
	} {
		r := NewReader([]byte(tt.code))
		var in Instr
		var e *Error
		err := r.Instr(&in)
		if !errors.As(err, &e) || e.Reason != tt.reason || e.Feature != tt.feature || e.Offset != tt.offset {
			t.Errorf("%x: got %+v; want %q at %d", tt.code, e, tt.reason, tt.offset)
		}
	}
}

// TestBlockTypes: all encodings of one byte, and the ends of the others.
func TestBlockTypes(t *testing.T) {
	for b := range 256 {
		_, simple := map[int]bool{0x40: true, I32: true, I64: true, F32: true, F64: true, V128: true, FuncRef: true, ExternRef: true}[b]
		r := NewReader([]byte{0x02, byte(b)})
		var in Instr
		switch err := r.Instr(&in); {
		case simple && (err != nil || in.HasType || in.Type != byte(b) || in.Index != 0 || r.Left() != 0):
			t.Errorf("%#x: %+v, %v", b, in, err)
		case b < 0x40 && (err != nil || !in.HasType || in.Index != uint32(b) || in.Type != 0 || r.Left() != 0):
			t.Errorf("%#x: %+v, %v", b, in, err)
		case !simple && b >= 0x40 && err == nil:
			t.Errorf("%#x: %+v is accepted", b, in)
		}
	}
	for code, index := range map[string]uint32{"\xc0\x00": 64, "\xff\xff\xff\xff\x0f": 1<<32 - 1, "\x80\x80\x80\x80\x08": 1 << 31, "\x80\x00": 0} {
		for _, op := range []string{"\x02", "\x03", "\x04"} {
			r := NewReader([]byte(op + code))
			var in Instr
			if err := r.Instr(&in); err != nil || !in.HasType || in.Index != index || r.Left() != 0 {
				t.Errorf("%x: %+v, %v", code, in, err)
			}
		}
	}
}

// TestMemArgs: alignments up to 63, and offsets of 32 bits.
func TestMemArgs(t *testing.T) {
	for _, tt := range []struct {
		code   string
		align  byte
		offset uint32
	}{{"\x00\x00", 0, 0}, {"\x3f\x7f", 63, 127}, {"\x82\x80\x00\xff\xff\xff\xff\x0f", 2, 1<<32 - 1}} {
		for _, op := range []string{"\x28", "\x3e", "\xfd\x00", "\xfd\x0b", "\xfd\x5c", "\xfd\x5d"} {
			r := NewReader([]byte(op + tt.code))
			var in Instr
			if err := r.Instr(&in); err != nil || in.Align != tt.align || in.Offset != tt.offset || r.Left() != 0 {
				t.Errorf("%x: %+v, %v", op+tt.code, in, err)
			}
		}
	}
}

// TestConstExpr: the instructions of a constant expression, and its end.
func TestConstExpr(t *testing.T) {
	for code, want := range map[string]string{
		"\x41\x00\x0b":                             "",
		"\x42\x00\x0b":                             "",
		"\x43\x00\x00\x00\x00\x0b":                 "",
		"\x44\x00\x00\x00\x00\x00\x00\x00\x00\x0b": "",
		"\xfd\x0c0123456789abcdef\x0b":             "",
		"\xd0\x70\x0b":                             "",
		"\xd2\x00\x0b":                             "",
		"\x23\x00\x0b":                             "",
		"\x41\x00\x41\x00\x0b":                     "", // the engine refuses it
		"\x0b":                                     "",
		"\x41\x00":                                 "at byte 2: unexpected end",
		"\x41\x00\x6a\x0b":                         "at byte 2: extended constant expressions is not supported",
		"\x6b\x0b":                                 "at byte 0: extended constant expressions is not supported",
		"\x6c\x0b":                                 "at byte 0: extended constant expressions is not supported",
		"\x7c\x0b":                                 "at byte 0: extended constant expressions is not supported",
		"\x7d\x0b":                                 "at byte 0: extended constant expressions is not supported",
		"\x7e\x0b":                                 "at byte 0: extended constant expressions is not supported",
		"\x7b\x0b":                                 "at byte 0: not a constant expression",
		"\x7f\x0b":                                 "at byte 0: not a constant expression",
		"\x69\x0b":                                 "at byte 0: not a constant expression",
		"\x6d\x0b":                                 "at byte 0: not a constant expression",
		"\x10\x00\x0b":                             "at byte 0: not a constant expression",
		"\x20\x00\x0b":                             "at byte 0: not a constant expression",
		"\x01\x0b":                                 "at byte 0: not a constant expression",
	} {
		r := NewReader([]byte(code + "\x41"))
		err := r.ConstExpr()
		if want == "at byte 2: unexpected end" {
			r = NewReader([]byte(code))
			err = r.ConstExpr()
		}
		if want == "" && (err != nil || r.Left() != 1) || want != "" && (err == nil || err.Error() != want) {
			t.Errorf("%x: got %v, %d left; want %q", code, err, r.Left(), want)
		}
	}
}

// TestLocals: groups, their sum, and its bound.
func TestLocals(t *testing.T) {
	type group struct {
		n       uint32
		valType byte
	}
	var got []group
	r := NewReader([]byte("\x03\x02\x7f\x00\x7b\x81\x00\x6f\x0b"))
	n, err := r.Locals(func(n uint32, valType byte) { got = append(got, group{n, valType}) })
	if want := []group{{2, I32}, {0, V128}, {1, ExternRef}}; err != nil || n != 3 || r.Left() != 1 || !reflect.DeepEqual(got, want) {
		t.Errorf("%d, %v, %+v, %d left", n, err, got, r.Left())
	}
	for code, want := range map[string]string{
		"\x00":                                 "",
		"":                                     "at byte 0: unexpected end",
		"\x01\x01":                             "at byte 0: 1 groups of locals declared, but only 1 bytes remain",
		"\x01\x80\x80\x80\x80\x04\x7f":         "", // 2^30
		"\x01\x81\x80\x80\x80\x04\x7f":         "at byte 6: more than 2^30 locals",
		"\x02\xff\xff\xff\xff\x03\x7f\x01\x7f": "",
		"\x02\xff\xff\xff\xff\x03\x7f\x02\x7f": "at byte 8: more than 2^30 locals",
		"\x01\x01\x40":                         "at byte 2: unknown value type",
		"\x01\x80\x80":                         "at byte 3: unexpected end",
		"\x02\xff\xff\xff\xff\x0f\x7f\xff\xff\xff\xff\x0f\x7f": "at byte 6: more than 2^30 locals",
	} {
		r := NewReader([]byte(code))
		if _, err := r.Locals(nil); (err == nil) != (want == "") || err != nil && err.Error() != want {
			t.Errorf("%x: got %v; want %q", code, err, want)
		}
	}
}

// TestOpcodeNumbers holds each named opcode to the number that the specification gives it
// (WebAssembly 2.0, section 5.4).
func TestOpcodeNumbers(t *testing.T) {
	for _, tt := range []struct {
		name string
		op   Op
		want uint16
	}{
		{"unreachable", OpUnreachable, 0x00}, {"nop", OpNop, 0x01}, {"block", OpBlock, 0x02},
		{"loop", OpLoop, 0x03}, {"if", OpIf, 0x04}, {"else", OpElse, 0x05}, {"end", OpEnd, 0x0b},
		{"br", OpBr, 0x0c}, {"br_if", OpBrIf, 0x0d}, {"br_table", OpBrTable, 0x0e},
		{"return", OpReturn, 0x0f}, {"call", OpCall, 0x10}, {"call_indirect", OpCallIndirect, 0x11},
		{"drop", OpDrop, 0x1a}, {"select", OpSelect, 0x1b}, {"select t", OpSelectT, 0x1c},
		{"local.get", OpLocalGet, 0x20}, {"local.set", OpLocalSet, 0x21}, {"local.tee", OpLocalTee, 0x22},
		{"global.get", OpGlobalGet, 0x23}, {"global.set", OpGlobalSet, 0x24},
		{"table.get", OpTableGet, 0x25}, {"table.set", OpTableSet, 0x26},
		{"i32.load", OpI32Load, 0x28}, {"i64.store32", OpI64Store32, 0x3e},
		{"memory.size", OpMemorySize, 0x3f}, {"memory.grow", OpMemoryGrow, 0x40},
		{"i32.const", OpI32Const, 0x41}, {"i64.const", OpI64Const, 0x42},
		{"f32.const", OpF32Const, 0x43}, {"f64.const", OpF64Const, 0x44},
		{"ref.null", OpRefNull, 0xd0}, {"ref.is_null", OpRefIsNull, 0xd1}, {"ref.func", OpRefFunc, 0xd2},
		{"memory.init", OpMemoryInit, 0xfc08}, {"data.drop", OpDataDrop, 0xfc09},
		{"memory.copy", OpMemoryCopy, 0xfc0a}, {"memory.fill", OpMemoryFill, 0xfc0b},
		{"table.init", OpTableInit, 0xfc0c}, {"elem.drop", OpElemDrop, 0xfc0d},
		{"table.copy", OpTableCopy, 0xfc0e}, {"table.grow", OpTableGrow, 0xfc0f},
		{"table.size", OpTableSize, 0xfc10}, {"table.fill", OpTableFill, 0xfc11},
		{"v128.const", OpV128Const, 0xfd0c},
	} {
		if uint16(tt.op) != tt.want {
			t.Errorf("%s is %#x, want %#x", tt.name, uint16(tt.op), tt.want)
		}
	}
}
