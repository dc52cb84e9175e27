package wasmbin

import (
	"bytes"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// drawInstr draws an instruction and an encoding of it whose integers are sometimes
// longer than needed.
func drawInstr(t *rapid.T) (in Instr, canonical, encoded []byte) {
	var ops []Op
	for b := range 256 {
		for _, op := range []Op{Op(b), 0xfc00 | Op(b), 0xfd00 | Op(b)} {
			if op.immediates() != immRefused {
				ops = append(ops, op)
			}
		}
	}
	in.Op = rapid.SampledFrom(ops).Draw(t, "op")
	u32 := func() uint32 {
		return rapid.OneOf(rapid.Uint32(), rapid.Uint32Range(0, 300)).Draw(t, "index")
	}
	valType := func() byte {
		return rapid.SampledFrom([]byte{I32, I64, F32, F64, V128, FuncRef, ExternRef}).Draw(t, "type")
	}
	emit := func(b ...byte) { canonical, encoded = append(canonical, b...), append(encoded, b...) }
	leb := func(b []byte, fill byte, limit int) { // the same integer in more bytes
		canonical = append(canonical, b...)
		if more := rapid.IntRange(0, limit-len(b)).Draw(t, "more"); more > 0 {
			b = slices.Clone(b)
			b[len(b)-1] |= 0x80
			b = append(b, bytes.Repeat([]byte{0x80 | fill}, more-1)...)
			b = append(b, fill)
		}
		encoded = append(encoded, b...)
	}
	unsigned := func(v uint32) { leb(AppendU32(nil, v), 0, 5) }
	signed := func(v int64, limit int) { leb(AppendS64(nil, v), byte(v>>63)&0x7f, limit) }
	if prefix := in.Op >> 8; prefix != 0 {
		emit(byte(prefix))
		emit(AppendU32(nil, uint32(in.Op&0xff))...)
	} else {
		emit(byte(in.Op))
	}
	memArg := func() {
		in.Align, in.Offset = rapid.ByteRange(0, 63).Draw(t, "align"), u32()
		unsigned(uint32(in.Align))
		unsigned(in.Offset)
	}
	lane := func() {
		in.Lane = rapid.Byte().Draw(t, "lane")
		emit(in.Lane)
	}
	switch in.Op.immediates() {
	case immIndex, immIndexMemory:
		in.Index = u32()
		unsigned(in.Index)
		if in.Op == OpMemoryInit {
			emit(0)
		}
	case immIndexes:
		in.Index, in.Index2 = u32(), u32()
		unsigned(in.Index)
		unsigned(in.Index2)
	case immMemory:
		emit(0)
	case immMemories:
		emit(0, 0)
	case immMemArg:
		memArg()
	case immMemArgLane:
		memArg()
		lane()
	case immLane:
		lane()
	case immBlockType:
		if in.HasType = rapid.Bool().Draw(t, "indexed"); in.HasType {
			in.Index = u32()
			signed(int64(in.Index), 5)
		} else {
			in.Type = rapid.SampledFrom([]byte{BlockVoid, valType()}).Draw(t, "type")
			emit(in.Type)
		}
	case immLabels:
		in.Count = rapid.Uint32Range(1, 5).Draw(t, "labels")
		unsigned(in.Count - 1)
		var labels []byte
		for range in.Count {
			before := len(encoded)
			unsigned(u32())
			labels = append(labels, encoded[before:]...)
		}
		in.Labels = NewReader(labels)
	case immSelect:
		in.Type = valType()
		unsigned(1)
		emit(in.Type)
	case immRefType:
		in.Type = rapid.SampledFrom([]byte{FuncRef, ExternRef}).Draw(t, "type")
		emit(in.Type)
	case immI32:
		v := rapid.Int32().Draw(t, "value")
		in.Index = uint32(v)
		signed(int64(v), 5)
	case immI64:
		v := rapid.Int64().Draw(t, "value")
		in.Bits = uint64(v)
		signed(v, 10)
	case imm32:
		in.Bits = uint64(rapid.Uint32().Draw(t, "bits"))
		for i := range 4 {
			emit(byte(in.Bits >> (8 * i)))
		}
	case imm64:
		in.Bits = rapid.Uint64().Draw(t, "bits")
		for i := range 8 {
			emit(byte(in.Bits >> (8 * i)))
		}
	case imm128:
		in.Bits, in.High = rapid.Uint64().Draw(t, "low"), rapid.Uint64().Draw(t, "high")
		for i := range 16 {
			emit(byte([]uint64{in.Bits, in.High}[i/8] >> (8 * (i % 8))))
		}
	}
	return in, canonical, encoded
}

// same compares all but the labels, which are as they were encoded.
func same(a, b Instr) bool {
	a.Labels, b.Labels = Reader{}, Reader{}
	return reflect.DeepEqual(a, b)
}

// TestInstrRoundTrip: every encoding of an instruction decodes to the same fields, and
// these are encoded in as few bytes as possible.
func TestInstrRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want, canonical, encoded := drawInstr(t)
		for _, code := range [][]byte{encoded, canonical} {
			r := NewReader(append(slices.Clone(code), 0xff)) // it must stop before
			var got Instr
			if err := r.Instr(&got); err != nil || r.Left() != 1 {
				t.Fatalf("%x: %v, %d bytes left over", code, err, r.Left()-1)
			}
			if out := AppendInstr(nil, &got); !bytes.Equal(out, canonical) {
				t.Fatalf("%x becomes %x; want %x", code, out, canonical)
			}
			if !same(got, want) {
				t.Fatalf("%x: got %+v; want %+v", code, got, want)
			}
		}
	})
}

// TestOverlongOpcodesAreRefused: the engine always reads one byte behind 0xfd as the
// opcode, so an opcode has one encoding.
func TestOverlongOpcodesAreRefused(t *testing.T) {
	const behind = "is encoded in more bytes than it needs"
	for _, prefix := range []byte{0xfc, 0xfd} {
		for sub := range 256 {
			op := Op(prefix)<<8 | Op(sub)
			if op.immediates() == immRefused {
				continue
			}
			code := AppendU32([]byte{prefix}, uint32(sub))
			for more := 1; len(code)+more <= 6; more++ {
				long := slices.Clone(code)
				long[len(long)-1] |= 0x80
				long = append(append(long, bytes.Repeat([]byte{0x80}, more-1)...), make([]byte, 33)...)
				r := NewReader(long)
				var in Instr
				var e *Error
				if err := r.Instr(&in); !errors.As(err, &e) || e.Offset != 0 || !strings.HasSuffix(e.Reason, behind) {
					t.Errorf("%x: got %v", long[:len(code)+more], err)
				}
			}
		}
	}
}

// FuzzInstr: a decoded instruction is encoded to bytes that decode the same, and
// encoding it again changes nothing.
func FuzzInstr(f *testing.F) {
	for _, code := range []string{"\x00", "\x02\x40", "\x03\x85\x00", "\x0e\x02\x80\x00\x01\x02", "\x11\x01\x80\x00", "\x1c\x81\x00\x7f",
		"\x28\x82\x00\x80\x80\x00", "\x41\xff\x7f", "\x42\x80\x80\x00", "\x43\x00\x00\xc0\x7f", "\xfc\x08\x80\x00\x00",
		"\xfd\x0c0123456789abcdef", "\xfd\x8c\x000123456789abcdef", "\xfd\x57\x00\x00\x01", "\xfd\x8c\x01"} {
		f.Add([]byte(code))
	}
	f.Fuzz(func(t *testing.T, code []byte) {
		r := NewReader(code)
		var in, again Instr
		if r.Instr(&in) != nil {
			return
		}
		out := AppendInstr(nil, &in)
		if len(out) > r.Pos() {
			t.Fatalf("%x becomes %x, which is longer", code[:r.Pos()], out)
		}
		s := NewReader(out)
		if err := s.Instr(&again); err != nil || s.Left() != 0 {
			t.Fatalf("%x becomes %x: %v, %d bytes left over", code[:r.Pos()], out, err, s.Left())
		}
		if second := AppendInstr(nil, &again); !bytes.Equal(second, out) {
			t.Fatalf("%x becomes %x, and that %x", code[:r.Pos()], out, second)
		}
		if !same(again, in) {
			t.Fatalf("%x: %+v becomes %+v", code[:r.Pos()], in, again)
		}
	})
}
