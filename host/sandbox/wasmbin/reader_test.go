package wasmbin

import (
	"encoding/binary"
	"testing"

	"pgregory.net/rapid"
)

func TestIntegers(t *testing.T) {
	u32 := func(r *Reader) (int64, error) { v, err := r.U32(); return int64(v), err }
	s32 := func(r *Reader) (int64, error) { v, err := r.S32(); return int64(v), err }
	s33 := func(r *Reader) (int64, error) { return r.S33() }
	s64 := func(r *Reader) (int64, error) { return r.S64() }
	for _, tt := range []struct {
		name string
		read func(*Reader) (int64, error)
		in   string
		want int64
		ok   bool
	}{
		{"u32 zero", u32, "\x00", 0, true},
		{"u32 padded", u32, "\x80\x80\x80\x80\x00", 0, true},
		{"u32 max", u32, "\xff\xff\xff\xff\x0f", 1<<32 - 1, true},
		{"u32 stray bits", u32, "\xff\xff\xff\xff\x1f", 0, false},
		{"u32 six bytes", u32, "\x80\x80\x80\x80\x80\x00", 0, false},
		{"u32 cut short", u32, "\x80", 0, false},
		{"u32 empty", u32, "", 0, false},
		{"s32 minus one", s32, "\x7f", -1, true},
		{"s32 min", s32, "\x80\x80\x80\x80\x78", -1 << 31, true},
		{"s32 max", s32, "\xff\xff\xff\xff\x07", 1<<31 - 1, true},
		{"s32 over max", s32, "\xff\xff\xff\xff\x0f", 0, false},
		{"s32 under min", s32, "\x80\x80\x80\x80\x70", 0, false},
		{"s32 minus one padded", s32, "\xff\xff\xff\xff\x7f", -1, true},
		{"s32 six bytes", s32, "\xff\xff\xff\xff\xff\x7f", 0, false},
		{"s33 max", s33, "\xff\xff\xff\xff\x0f", 1<<32 - 1, true},
		{"s33 over max", s33, "\xff\xff\xff\xff\x1f", 0, false},
		{"s33 void", s33, "\x40", -64, true},
		{"s64 min", s64, "\x80\x80\x80\x80\x80\x80\x80\x80\x80\x7f", -1 << 63, true},
		{"s64 max", s64, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00", 1<<63 - 1, true},
		{"s64 stray bits", s64, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 0, false},
		{"s64 eleven bytes", s64, "\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00", 0, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := NewReader([]byte(tt.in))
			got, err := tt.read(&r)
			if (err == nil) != tt.ok || err == nil && got != tt.want {
				t.Fatalf("got %d, %v; want %d, ok %v", got, err, tt.want, tt.ok)
			}
		})
	}
}

func TestIntegersRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.Int64().Draw(t, "s")
		r := NewReader(AppendS64(nil, s))
		if got, err := r.S64(); err != nil || got != s {
			t.Fatalf("S64: got %d, %v; want %d", got, err, s)
		}
		w := int32(s)
		r = NewReader(AppendS64(nil, int64(w)))
		if got, err := r.S32(); err != nil || got != w {
			t.Fatalf("S32: got %d, %v; want %d", got, err, w)
		}
		u := uint32(s)
		r = NewReader(binary.AppendUvarint(nil, uint64(u)))
		if got, err := r.U32(); err != nil || got != u {
			t.Fatalf("U32: got %d, %v; want %d", got, err, u)
		}
	})
}

func TestCountIsBoundedByTheBytesThatRemain(t *testing.T) {
	r := NewReader([]byte("\xff\xff\xff\xff\x0f\x00"))
	if n, err := r.Count("imports", 4); err == nil {
		t.Fatalf("got %d; want an error", n)
	}
}

// TestIndexes: the indexes and constants of instructions.
func TestIndexes(t *testing.T) {
	for _, tt := range []struct {
		code string
		want uint32
	}{
		{"\x41\x07", 7},
		{"\x41\x7f", 1<<32 - 1},
		{"\x41\x80\x80\x80\x80\x78", 1 << 31},
		{"\x21\x85\x01", 133},
		{"\x0c\x03", 3},
		{"\x10\x09", 9},
	} {
		r := NewReader([]byte(tt.code))
		var in Instr
		if err := r.Instr(&in); err != nil || in.Index != tt.want || r.Left() != 0 {
			t.Errorf("%q: got %d, %v, %d left; want %d", tt.code, in.Index, err, r.Left(), tt.want)
		}
	}
}
