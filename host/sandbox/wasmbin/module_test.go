package wasmbin

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// reads runs a reading over bytes: it must take all but one, or fail with want.
func reads(t *testing.T, code, want string, read func(r *Reader) error) {
	t.Helper()
	r := NewReader([]byte("\xaa" + code + "\xbb"))
	_ = r.Skip(1)
	r.end--
	err := read(&r)
	if want == "" && (err != nil || r.Left() != 0) {
		t.Errorf("%x: %v, %d left", code, err, r.Left())
	}
	if want != "" && (err == nil || err.Error() != want) {
		t.Errorf("%x: got %v; want %s", code, err, want)
	}
}

func TestHeader(t *testing.T) {
	for _, tt := range []struct{ in, want, feature string }{
		{"\x00asm\x01\x00\x00\x00", "", ""},
		{"", "at byte 0: not a WebAssembly module: it does not begin with \\0asm", ""},
		{"\x00asm\x01\x00\x00", "at byte 0: not a WebAssembly module: it does not begin with \\0asm", ""},
		{"\x00asM\x01\x00\x00\x00", "at byte 0: not a WebAssembly module: it does not begin with \\0asm", ""},
		{"\x00asm\x02\x00\x00\x00", "at byte 4: unknown version of WebAssembly", ""},
		{"\x00asm\x01\x01\x00\x00", "at byte 4: unknown version of WebAssembly", ""},
		{"\x00asm\x01\x00\x02\x00", "at byte 4: unknown version of WebAssembly", ""},
		{"\x00asm\x01\x00\x01\x01", "at byte 4: unknown version of WebAssembly", ""},
		{"\x00asm\x0d\x00\x01\x00", "at byte 4: " + ComponentHint, "the component model"},
		{"\x00asm\x0e\x00\x01\x00", "at byte 4: " + ComponentHint, "the component model"},
	} {
		_, err := NewSections([]byte(tt.in))
		var e *Error
		if errors.As(err, &e); (err == nil) != (tt.want == "") || e != nil && (e.Error() != tt.want || e.Feature != tt.feature) {
			t.Errorf("%x: got %v; want %q", tt.in, err, tt.want)
		}
	}
}

// walked is the ids and contents of a module's sections, and the error at the end.
func walked(t *testing.T, body string) (string, error) {
	t.Helper()
	s, err := NewSections([]byte("\x00asm\x01\x00\x00\x00" + body))
	if err != nil {
		t.Fatal(err)
	}
	text := ""
	for {
		id, r, ok, err := s.Next()
		if err != nil || !ok {
			return strings.TrimSpace(text), err
		}
		text += fmt.Sprintf("%d:%s ", id, r.Slice(r.Pos(), r.Pos()+r.Left()))
	}
}

// TestSections: the order of the specification, custom sections anywhere, sizes.
func TestSections(t *testing.T) {
	all := ""
	for _, id := range []byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 10, 11} {
		all += "\x00\x01c" + string([]byte{id}) + "\x01x"
	}
	for _, tt := range []struct{ in, want, err string }{
		{"", "", ""},
		{all, "0:c 1:x 0:c 2:x 0:c 3:x 0:c 4:x 0:c 5:x 0:c 6:x 0:c 7:x 0:c 8:x 0:c 9:x 0:c 12:x 0:c 10:x 0:c 11:x", ""},
		{"\x01\x82\x80\x00ab\x00\x00", "1:ab 0:", ""},
		{"\x01\x00\x01\x00", "1:", "at byte 10: the type section is out of order or repeated"},
		{"\x0c\x00\x09\x00", "12:", "at byte 10: the element section is out of order or repeated"},
		{"\x0a\x00\x0c\x00", "10:", "at byte 10: the data count section is out of order or repeated"},
		{"\x0c\x00\x0c\x00", "12:", "at byte 10: the data count section is out of order or repeated"},
		{"\x0b\x00\x0a\x00", "11:", "at byte 10: the code section is out of order or repeated"},
		{"\x0b\x00\x0c\x00", "11:", "at byte 10: the data count section is out of order or repeated"},
		{"\x0d\x00", "", "at byte 8: exception handling is not supported"},
		{"\x0e\x00", "", "at byte 8: unknown section id 14"},
		{"\xff\x00", "", "at byte 8: unknown section id 255"},
		{"\x01", "", "at byte 9: unexpected end"},
		{"\x01\x02a", "", "at byte 10: a length of 2 is more than the 1 bytes that remain"},
		{"\x01\xff\xff\xff\xff\x0fa", "", "at byte 14: a length of 4294967295 is more than the 1 bytes that remain"},
	} {
		got, err := walked(t, tt.in)
		if got != tt.want || (err == nil) != (tt.err == "") || err != nil && err.Error() != tt.err {
			t.Errorf("%x: got %s, %v; want %s, %s", tt.in, got, err, tt.want, tt.err)
		}
	}
}

func TestDisplayNames(t *testing.T) {
	for id, want := range []string{"custom", "type", "import", "function", "table", "memory", "global", "export", "start", "element", "code", "data", "data count", "unknown"} {
		if got := SectionName(byte(id)); got != want {
			t.Errorf("section %d: %s; want %s", id, got, want)
		}
	}
	for kind, want := range []string{"func", "table", "memory", "global", "unknown", "unknown"} {
		if got := KindName(byte(kind)); got != want {
			t.Errorf("kind %d: %s; want %s", kind, got, want)
		}
	}
	for b := range 256 {
		want := map[int]string{0x7f: "i32", 0x7e: "i64", 0x7d: "f32", 0x7c: "f64", 0x7b: "v128", 0x70: "funcref", 0x6f: "externref"}[b]
		if got := TypeName(byte(b)); want != "" && got != want || want == "" && got != "unknown" {
			t.Errorf("type %#x: %s; want %s", b, got, want)
		}
	}
}

// TestTypes reads every byte as a value type and as a reference type.
func TestTypes(t *testing.T) {
	features := map[string][]int{
		"typed function references": {0x63, 0x64},
		"exception handling":        {0x69, 0x74},
		"garbage collection (GC)":   {0x6a, 0x6b, 0x6c, 0x6d, 0x6e, 0x71, 0x72, 0x73},
	}
	for b := range 256 {
		want := "unknown value type"
		for feature, bytes := range features {
			if slices.Contains(bytes, b) {
				want = feature + " is not supported"
			}
		}
		ref := want
		if name := TypeName(byte(b)); name != "unknown" {
			want, ref = "", name+" is not a reference type"
		}
		if b == FuncRef || b == ExternRef {
			ref = ""
		}
		for _, tt := range []struct {
			want string
			read func(*Reader) (byte, error)
		}{{want, (*Reader).ValType}, {ref, (*Reader).RefType}} {
			text := ""
			if tt.want != "" {
				text = "at byte 1: " + tt.want
			}
			reads(t, string([]byte{byte(b)}), text, func(r *Reader) error {
				got, err := tt.read(r)
				if err == nil && got != byte(b) {
					t.Errorf("%#x is read as %#x", b, got)
				}
				return err
			})
		}
	}
}

func TestFuncTypes(t *testing.T) {
	for _, tt := range []struct{ in, params, results, want string }{
		{"\x60\x00\x00", "", "", ""},
		{"\x60\x02\x7f\x7b\x01\x6f", "\x7f\x7b", "\x6f", ""},
		{"\x60\x82\x00\x7f\x7b\x81\x80\x00\x6f", "\x7f\x7b", "\x6f", ""},
		{"", "", "", "at byte 1: unexpected end"},
		{"\x60", "", "", "at byte 2: unexpected end"},
		{"\x60\x00", "", "", "at byte 3: unexpected end"},
		{"\x60\x02\x7f", "", "", "at byte 2: 2 parameters declared, but only 1 bytes remain"},
		{"\x60\x00\x01", "", "", "at byte 3: 1 results declared, but only 0 bytes remain"},
		{"\x60\x01\x40\x00", "", "", "at byte 3: unknown value type"},
		{"\x5d\x00\x00", "", "", "at byte 1: not a function type"},
		{"\x61\x00\x00", "", "", "at byte 1: not a function type"},
		{"\x4e\x00", "", "", "at byte 1: garbage collection (GC) is not supported"},
		{"\x4f\x00", "", "", "at byte 1: garbage collection (GC) is not supported"},
		{"\x50\x00", "", "", "at byte 1: garbage collection (GC) is not supported"},
		{"\x5e\x00", "", "", "at byte 1: garbage collection (GC) is not supported"},
		{"\x5f\x00", "", "", "at byte 1: garbage collection (GC) is not supported"},
	} {
		reads(t, tt.in, tt.want, func(r *Reader) error {
			params, results, err := r.FuncType()
			if err == nil {
				if string(params) != tt.params || string(results) != tt.results {
					t.Errorf("%x: %x and %x", tt.in, params, results)
				}
				again := NewReader(AppendFuncType(nil, params, results))
				p, q, err := again.FuncType()
				if err != nil || again.Left() != 0 || !bytes.Equal(p, params) || !bytes.Equal(q, results) {
					t.Errorf("%x: encoded and decoded: %x, %x, %v", tt.in, p, q, err)
				}
			}
			return err
		})
	}
}

func TestLimits(t *testing.T) {
	const limit = 1<<32 - 1
	for _, tt := range []struct {
		in   string
		want Limits
		err  string
	}{
		{"\x00\x05", Limits{Min: 5}, ""},
		{"\x00\xff\xff\xff\xff\x0f", Limits{Min: limit}, ""},
		{"\x01\x05\x05", Limits{Min: 5, Max: 5, HasMax: true}, ""},
		{"\x01\x05\xff\xff\xff\xff\x0f", Limits{Min: 5, Max: limit, HasMax: true}, ""},
		{"\x01\x05\x04", Limits{}, "at byte 1: limits whose maximum is below their minimum"},
		{"\x02\x05", Limits{}, "at byte 1: threads (shared memory) is not supported"},
		{"\x03\x05\x06", Limits{}, "at byte 1: threads (shared memory) is not supported"},
		{"\x04\x05", Limits{}, "at byte 1: memory64 is not supported"},
		{"\x05\x05\x06", Limits{}, "at byte 1: memory64 is not supported"},
		{"\x07\x05\x06", Limits{}, "at byte 1: memory64 is not supported"},
		{"\x08\x05", Limits{}, "at byte 1: custom page sizes is not supported"},
		{"\x0f\x05", Limits{}, "at byte 1: custom page sizes is not supported"},
		{"\x10\x05", Limits{}, "at byte 1: unknown limits flag"},
		{"\x80\x05", Limits{}, "at byte 1: unknown limits flag"},
		{"", Limits{}, "at byte 1: unexpected end"},
		{"\x00", Limits{}, "at byte 2: unexpected end"},
		{"\x01\x05", Limits{}, "at byte 3: unexpected end"},
	} {
		reads(t, tt.in, tt.err, func(r *Reader) error {
			got, err := r.Limits()
			if err == nil && (got != tt.want || string(AppendLimits(nil, got)) != tt.in) {
				t.Errorf("%x: got %+v; want %+v", tt.in, got, tt.want)
			}
			return err
		})
	}
}

func TestTablesGlobalsAndKinds(t *testing.T) {
	for in, want := range map[string]string{
		"\x70\x00\x01":     "",
		"\x6f\x01\x01\x02": "",
		"\x7f\x00\x01":     "at byte 1: i32 is not a reference type",
		"\x40\x00\x70":     "at byte 1: typed function references is not supported",
		"":                 "at byte 1: unexpected end",
		"\x70\x02\x01":     "at byte 2: threads (shared memory) is not supported",
	} {
		reads(t, in, want, func(r *Reader) error {
			ref, l, err := r.Table()
			if err == nil && (ref != in[0] || l.Min != 1 || l.HasMax != (in[1] == 1)) {
				t.Errorf("%x: %#x, %+v", in, ref, l)
			}
			return err
		})
	}
	for in, want := range map[string]string{
		"\x7f\x00": "",
		"\x7b\x01": "",
		"\x7f\x02": "at byte 2: threads (shared globals) is not supported",
		"\x7f\x03": "at byte 2: threads (shared globals) is not supported",
		"\x7f\x04": "at byte 2: unknown mutability",
		"\x7f\x06": "at byte 2: unknown mutability",
		"\x7f\xff": "at byte 2: unknown mutability",
		"\x7f":     "at byte 2: unexpected end",
		"\x40\x00": "at byte 1: unknown value type",
	} {
		reads(t, in, want, func(r *Reader) error {
			val, mutable, err := r.Global()
			if err == nil && (val != in[0] || mutable != (in[1] == 1)) {
				t.Errorf("%x: %#x, %v", in, val, mutable)
			}
			return err
		})
	}
	for in, want := range map[string]string{
		"\x00": "", "\x01": "", "\x02": "", "\x03": "",
		"\x04": "at byte 1: exception handling is not supported",
		"\x05": "at byte 1: unknown kind of import or export",
		"\xff": "at byte 1: unknown kind of import or export",
		"":     "at byte 1: unexpected end",
	} {
		reads(t, in, want, func(r *Reader) error {
			kind, err := r.Kind()
			if err == nil && kind != in[0] {
				t.Errorf("%x: %d", in, kind)
			}
			return err
		})
	}
}

// TestReader: reads at the end of the input.
func TestReader(t *testing.T) {
	r := NewReader([]byte("\x00\x01\x02\x03\x04"))
	for _, err := range []error{r.Skip(-1), r.Skip(6), r.Done("it")} {
		var e *Error
		if !errors.As(err, &e) || r.Pos() != 0 {
			t.Errorf("got %v, at %d", err, r.Pos())
		}
	}
	if err := r.Skip(0); err != nil || r.Left() != 5 {
		t.Error(err, r.Left())
	}
	if _, err := r.Sub(6); err == nil || err.Error() != "at byte 0: a length of 6 is more than the 5 bytes that remain" {
		t.Error(err)
	}
	if b, err := r.Bytes(2); err != nil || string(b) != "\x00\x01" || cap(b) != 2 {
		t.Errorf("%x, %v", b, err)
	}
	sub, err := r.Sub(2)
	if err != nil || sub.Pos() != 2 || sub.Left() != 2 || r.Pos() != 4 {
		t.Errorf("%+v, %v", sub, err)
	}
	if err := sub.Skip(3); err == nil {
		t.Error("a part was left")
	}
	if err := sub.Skip(2); err != nil || sub.Done("it") != nil {
		t.Error(err)
	}
	if _, err := sub.Byte(); err == nil || err.Error() != "at byte 4: unexpected end" {
		t.Error(err)
	}
	if err := r.Done("the section"); err == nil || err.Error() != "at byte 4: 1 bytes left over at the end of the section" {
		t.Error(err)
	}
	if b, err := r.Byte(); err != nil || b != 4 {
		t.Error(b, err)
	}
	if _, err := r.Bytes(1); err == nil {
		t.Error("bytes behind the end")
	}
}

// TestCount: a vector of as many entries as fit, and of one more.
func TestCount(t *testing.T) {
	for _, tt := range []struct {
		in   string
		size int
		want uint32
		err  string
	}{
		{"\x03abc", 1, 3, ""},
		{"\x04abc", 1, 0, "at byte 0: 4 things declared, but only 3 bytes remain"},
		{"\x02abcd", 2, 2, ""},
		{"\x02abc", 2, 0, "at byte 0: 2 things declared, but only 3 bytes remain"},
		{"\x00", 9, 0, ""},
		{"\x80\x80\x80\x80\x08a", 2, 0, "at byte 0: 2147483648 things declared, but only 1 bytes remain"}, // 2^32 bytes
		{"", 1, 0, "at byte 0: unexpected end"},
	} {
		r := NewReader([]byte(tt.in))
		got, err := r.Count("things", tt.size)
		if got != tt.want || (err == nil) != (tt.err == "") || err != nil && err.Error() != tt.err {
			t.Errorf("%x: got %d, %v; want %d, %s", tt.in, got, err, tt.want, tt.err)
		}
	}
}

func TestName(t *testing.T) {
	for _, tt := range []struct{ in, want, err string }{
		{"\x00", "", ""},
		{"\x03a\xc3\xa4", "a\u00e4", ""},
		{"\x02a\xc3", "", "at byte 1: a name is not UTF-8"},
		{"\x03ab", "", "at byte 1: 3 bytes of a name declared, but only 2 bytes remain"},
		{"", "", "at byte 1: unexpected end"},
	} {
		reads(t, tt.in, tt.err, func(r *Reader) error {
			got, err := r.Name()
			if err == nil && (string(got) != tt.want || string(AppendName(nil, got)) != tt.in) {
				t.Errorf("%x: %q", tt.in, got)
			}
			return err
		})
	}
}

// TestAppendIntegers: every integer in as few bytes as it needs.
func TestAppendIntegers(t *testing.T) {
	for v, want := range map[uint32]string{0: "\x00", 127: "\x7f", 128: "\x80\x01", 16383: "\xff\x7f", 16384: "\x80\x80\x01", 1<<32 - 1: "\xff\xff\xff\xff\x0f"} {
		if got := string(AppendU32([]byte{9}, v)); got != "\x09"+want {
			t.Errorf("%d: %x", v, got)
		}
		if got := sizeU32(v); got != len(want) {
			t.Errorf("%d takes %d bytes; want %d", v, got, len(want))
		}
	}
	for v, want := range map[int64]string{0: "\x00", 63: "\x3f", 64: "\xc0\x00", -64: "\x40", -65: "\xbf\x7f", 8191: "\xff\x3f", 8192: "\x80\xc0\x00",
		1<<63 - 1: "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00", -1 << 63: "\x80\x80\x80\x80\x80\x80\x80\x80\x80\x7f"} {
		if got := string(AppendS64([]byte{9}, v)); got != "\x09"+want {
			t.Errorf("%d: %x", v, got)
		}
	}
}

// TestErrorNamesOffsetAndFeature: an error with and without a feature.
func TestErrorNamesOffsetAndFeature(t *testing.T) {
	if err := Unsupported(7, "x"); !reflect.DeepEqual(err, &Error{Offset: 7, Feature: "x", Reason: "x is not supported"}) || err.Error() != "at byte 7: x is not supported" {
		t.Errorf("%#v", err)
	}
}
