package prescan_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/berth-host/berth/host/sandbox/prescan"
	"github.com/berth-host/berth/host/sandbox/wasmbin"
	. "github.com/berth-host/berth/host/sandbox/wasmbin/wasmtest"
)

// whole is a module of two types, an import of the second, and two functions of the
// first, of which the second has the given code, with the given element section.
func whole(elements []byte, code ...any) []byte {
	return Module(
		Section(1, Vec(FuncType("\x7f\x7f", "\x7f\x7e"), FuncType("", ""))),
		Section(2, Vec(Import("m", "f", 0, 1))),
		Section(3, Vec(U(1), U(0))),
		Section(4, Vec(B(0x70, 0, 9))),
		elements,
		Section(10, Vec(Body(end), Body(B(code...), end))))
}

// TestIndices: the last index there is passes, and the next is refused at its place.
func TestIndices(t *testing.T) {
	none := Section(9, Vec())
	element := func(parts ...any) []byte { return Section(9, Vec(B(parts...))) }
	types, imports := Section(1, Vec(FuncType("", ""), FuncType("", ""))), Section(2, Vec(Import("m", "f", 0, 1)))
	for _, tt := range []struct {
		name   string
		module func(i int) []byte
		last   int
		want   string // the error for the next
	}{
		{"the type of an import", func(i int) []byte { return Module(types, Section(2, Vec(Import("m", "f", 0, i)))) }, 1,
			"unknown type index (import section, byte 25)"},
		{"the type of a function", func(i int) []byte { return Module(types, Section(3, Vec(U(i))), Section(10, Vec(Body(end)))) }, 1,
			"unknown type index (function section, byte 20)"},
		{"an exported function", func(i int) []byte {
			return Module(types, imports, Section(3, Vec(U(1), U(0))), Section(7, Vec(Export("x", 0, i))), Section(10, Vec(Body(end), Body(end))))
		}, 2, "unknown function index (export section, byte 37)"},
		{"an exported memory, which the engine checks", func(i int) []byte { return Module(Section(7, Vec(Export("x", 2, 9)))) }, -1, ""},
		{"a called function", func(i int) []byte { return whole(none, 0x10, i) }, 2, "unknown function index (code section, function 2, byte 52)"},
		{"a function's reference", func(i int) []byte { return whole(none, 0xd2, i, 0x1a) }, 2, "unknown function index (code section, function 2, byte 52)"},
		{"an indirect call's type", func(i int) []byte { return whole(none, 0x41, 0, 0x11, i, 0) }, 1, "unknown type index (code section, function 2, byte 54)"},
		{"a block's type", func(i int) []byte { return whole(none, 0x02, i, end) }, 1, "unknown type index (code section, function 2, byte 52)"},
		{"a loop's type", func(i int) []byte { return whole(none, 0x03, i, end) }, 1, "unknown type index (code section, function 2, byte 52)"},
		{"an if's type", func(i int) []byte { return whole(none, 0x04, i, end) }, 1, "unknown type index (code section, function 2, byte 52)"},
		{"an active element", func(i int) []byte { return whole(element(0, 0x41, 0, end, Vec(U(0), U(i)))) }, 2, "unknown function index (element section, byte 50)"},
		{"a passive element", func(i int) []byte { return whole(element(1, 0, Vec(U(0), U(i)))) }, 2, "unknown function index (element section, byte 48)"},
		{"an element of a table", func(i int) []byte { return whole(element(2, 0, 0x41, 0, end, 0, Vec(U(0), U(i)))) }, 2, "unknown function index (element section, byte 52)"},
		{"a declared element", func(i int) []byte { return whole(element(3, 0, Vec(U(0), U(i)))) }, 2, "unknown function index (element section, byte 48)"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := prescan.Scan(tt.module(max(tt.last, 0)), prescan.Limits{}); err != nil {
				t.Errorf("the last: %v", err)
			}
			if tt.want == "" {
				return
			}
			_, err := prescan.Scan(tt.module(tt.last+1), prescan.Limits{})
			var e *prescan.Error
			if !errors.As(err, &e) || err.Error() != tt.want || e.Limit != "" || e.Feature != "" {
				t.Errorf("the next: got %v; want %s", err, tt.want)
			}
		})
	}
}

// TestSegments: all kinds of segments, and what is wrong with them.
func TestSegments(t *testing.T) {
	offset := B(0x41, 0, end)
	for _, tt := range []struct {
		name, want string
		section    []byte
		elements   int
		segments   int
		bytes      int
	}{
		{"active", "", Section(9, Vec(B(0, offset, Vec(U(0))))), 1, 0, 0},
		{"passive", "", Section(9, Vec(B(1, 0, Vec(U(0), U(0))))), 2, 0, 0},
		{"of a table", "", Section(9, Vec(B(2, 0, offset, 0, Vec(U(0))))), 1, 0, 0},
		{"declared", "", Section(9, Vec(B(3, 0, Vec(U(0))))), 1, 0, 0},
		{"active expressions", "", Section(9, Vec(B(4, offset, Vec(B(0xd2, 0, end))))), 1, 0, 0},
		{"passive expressions", "", Section(9, Vec(B(5, 0x70, Vec(B(0xd2, 0, end), B(0xd0, 0x70, end))))), 2, 0, 0},
		{"expressions of a table", "", Section(9, Vec(B(6, 0, offset, 0x70, Vec(B(0xd2, 0, end))))), 1, 0, 0},
		{"declared expressions", "", Section(9, Vec(B(7, 0x6f, Vec(B(0xd0, 0x6f, end))))), 1, 0, 0},
		{"an eighth kind", "unknown kind of element segment (element section, byte 21)", Section(9, Vec(B(8, 0, 0))), 0, 0, 0},
		{"an unfinished segment", "unexpected end (element section, byte 23)", Section(9, Vec(B(2, 0x80))), 0, 0, 0},
		{"no expression", "not a constant expression (element section, byte 22)", Section(9, Vec(B(0, 0x01, end, 0))), 0, 0, 0},
		{"expressions that are none", "not a constant expression (element section, byte 24)", Section(9, Vec(B(5, 0x70, Vec(B(0x01, end))))), 0, 0, 0},
		{"data", "", Section(11, Vec(B(0, offset, Name("ab")))), 0, 1, 2},
		{"passive data", "", Section(11, Vec(B(1, Name("ab")), B(1, Name("c")))), 0, 2, 3},
		{"data of the memory", "", Section(11, Vec(B(2, 0, offset, Name("ab")))), 0, 1, 2},
		{"data of another memory", "multiple memories is not supported (data section, byte 21)", Section(11, Vec(B(2, 1, offset, 0))), 0, 0, 0},
		{"a third kind of data", "unknown kind of data segment (data section, byte 21)", Section(11, Vec(B(3, 0))), 0, 0, 0},
		{"data without an offset", "not a constant expression (data section, byte 22)", Section(11, Vec(B(0, 0x01, end, 0))), 0, 0, 0},
		{"data that breaks off", "3 bytes of data declared, but only 2 bytes remain (data section, byte 22)", Section(11, Vec(B(1, 3, "ab"))), 0, 0, 0},
		{"data left over", "1 bytes left over at the end of the section (data section, byte 24)", Section(11, Vec(B(1, 1, "ab"))), 0, 0, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			parts := [][]byte{Section(1, Vec(FuncType("", ""))), Section(3, Vec(U(0))), tt.section, Section(10, Vec(Body(end)))}
			if tt.section[0] == 11 {
				parts[2], parts[3] = parts[3], parts[2]
			}
			r, err := prescan.Scan(Module(parts...), prescan.Limits{})
			if tt.want != "" {
				want := tt.want
				if tt.section[0] == 11 { // behind the code
					want = moved(want, 6)
				}
				if err == nil || err.Error() != want {
					t.Errorf("got %v; want %s", err, want)
				}
				return
			}
			if err != nil || r.Elements != tt.elements || r.DataSegments != tt.segments || r.DataBytes != tt.bytes {
				t.Errorf("%v, %+v", err, r)
			}
		})
	}
}

// TestCutSegmentsAreRefused: a segment of any kind that ends before its end is refused.
func TestCutSegmentsAreRefused(t *testing.T) {
	offset := B(0x41, 0, end)
	before := B(Section(1, Vec(FuncType("", ""))), Section(3, Vec(U(0))))
	behind := Section(10, Vec(Body(end)))
	for _, segment := range [][]byte{
		B(0, offset, Vec(U(0))), B(1, 0, Vec(U(0))), B(2, 0, offset, 0, Vec(U(0))), B(3, 0, Vec(U(0))), B(4, offset, Vec(B(0xd2, 0, end))),
		B(5, 0x70, Vec(B(0xd2, 0, end))), B(6, 0, offset, 0x70, Vec(B(0xd2, 0, end))), B(7, 0x70, Vec(B(0xd0, 0x70, end))),
	} {
		if _, err := prescan.Scan(Module(before, Section(9, Vec(segment)), behind), prescan.Limits{}); err != nil {
			t.Errorf("%x: %v", segment, err)
		}
		for cut := range segment {
			if _, err := prescan.Scan(Module(before, Section(9, Vec(segment[:cut])), behind), prescan.Limits{}); err == nil {
				t.Errorf("%x: accepted", segment[:cut])
			}
		}
	}
	for _, segment := range [][]byte{B(0, offset, Name("ab")), B(1, Name("ab")), B(2, 0, offset, Name("ab"))} {
		for cut := range segment {
			if _, err := prescan.Scan(Module(Section(11, Vec(segment[:cut]))), prescan.Limits{}); err == nil {
				t.Errorf("data %x: accepted", segment[:cut])
			}
		}
	}
}

// moved adds to the offset that an error ends with, of two digits.
func moved(text string, by int) string {
	at := len(text) - 3
	n := int(text[at]-'0')*10 + int(text[at+1]-'0') + by
	return text[:at] + string(rune('0'+n/10)) + string(rune('0'+n%10)) + ")"
}

// TestSectionContents: references to other sections, and trailing bytes.
func TestSectionContents(t *testing.T) {
	types := Section(1, Vec(FuncType("", "")))
	for _, tt := range []struct {
		name, want string
		wasm       []byte
	}{
		{"a start function", "", Module(types, Section(3, Vec(U(0))), Section(8, 0), Section(10, Vec(Body(end))))},
		{"a start function and more", "1 bytes left over at the end of the section (start section, byte 21)", Module(types, Section(3, Vec(U(0))), Section(8, 0, 0), Section(10, Vec(Body(end))))},
		{"no start function", "unexpected end (start section, byte 16)", Module(types, Section(8))},
		{"types left over", "1 bytes left over at the end of the section (type section, byte 14)", Module(Section(1, Vec(FuncType("", "")), 0))},
		{"fewer bodies", "2 functions declared, but 1 bodies (code section, byte 25)", Module(types, Section(3, Vec(U(0), U(0))), Section(10, Vec(Body(end))))},
		{"more bodies", "0 functions declared, but 1 bodies (code section, byte 20)", Module(types, Section(10, Vec(Body(end))))},
		{"as many data segments", "", Module(Section(12, 1), Section(11, Vec(B(1, 0))))},
		{"fewer data segments", "the data count section declares another number of segments (data section, byte 16)", Module(Section(12, 2), Section(11, Vec(B(1, 0))))},
		{"more data segments", "the data count section declares another number of segments (data section, byte 16)", Module(Section(12, 0), Section(11, Vec(B(1, 0))))},
		{"no data segments, as declared", "", Module(Section(12, 0))},
		{"data segments that were not declared", "", Module(Section(11, Vec(B(1, 0))))},
		{"no data count", "unexpected end (data count section, byte 10)", Module(Section(12))},
		{"a body that is too short for its size", "a length of 3 is more than the 2 bytes that remain (code section, function 0, byte 22)",
			Module(types, Section(3, Vec(U(0))), Section(10, Vec(B(3, 0, end))))},
		{"a body without its end", "unexpected end (code section, function 0, byte 24)", Module(types, Section(3, Vec(U(0))), Section(10, Vec(Body(1))))},
		{"a body without locals", "unexpected end (code section, function 1, byte 26)", Module(types, Section(3, Vec(U(0), U(0))), Section(10, Vec(Body(end), B(0, end, end))))},
		{"an end too many", "1 bytes left over at the end of the function body (code section, function 0, byte 24)", Module(types, Section(3, Vec(U(0))), Section(10, Vec(Body(end, end))))},
	} {
		_, err := prescan.Scan(tt.wasm, prescan.Limits{})
		if (err == nil) != (tt.want == "") || err != nil && err.Error() != tt.want {
			t.Errorf("%s: got %v; want %s", tt.name, err, tt.want)
		}
	}
}

// TestMultiValueBlocks: blocks, loops and ifs of any type pass, and each is counted.
func TestMultiValueBlocks(t *testing.T) {
	wasm := Module(
		Section(1, Vec(FuncType("", ""), FuncType("\x7f\x7f", "\x7f\x7e\x7d"))),
		Section(3, Vec(U(0))),
		Section(10, Vec(Body(0x00, 0x02, 1, 0x00, end, 0x00, 0x03, 1, 0x02, 1, 0x03, 0x81, 0, 0x00, end, end, end, 0x00, 0x04, 1, 0x00, 0x05, 0x00, end, 0x00, end))))
	r, err := prescan.Scan(wasm, prescan.Limits{})
	if err != nil || r.MaxControls != 5 || r.DeepestNest != 3 || r.DeepestLoops != 2 || r.MaxParams != 3 {
		t.Errorf("%v, %+v", err, r)
	}
}

// TestLargest: the largest of each is that of any function, not of the last.
func TestLargest(t *testing.T) {
	large := BodyLocals(Vec(B(5, 0x7f)), 0x03, 0x40, 0x03, 0x40, 0x41, 0, 0x0e, Vec(U(0), U(0), U(0)), 0, end, end, end)
	wasm := Module(Section(1, Vec(FuncType("\x7f\x7f\x7f", ""), FuncType("", "\x7f"))), Section(3, Vec(U(0), U(0), U(0))),
		Section(10, Vec(Body(0x02, 0x40, end, end), large, Body(end))))
	r, err := prescan.Scan(wasm, prescan.Limits{})
	want := prescan.Report{Bytes: len(wasm), Types: 2, Functions: 3, CodeBytes: 5 + 18 + 2, LargestBody: 18, MaxLocals: 5, MaxControls: 2,
		DeepestLoops: 2, DeepestNest: 2, LargestTable: 4, MaxParams: 3}
	if err != nil || !reflect.DeepEqual(r, want) {
		t.Errorf("%v\n got %+v\nwant %+v", err, r, want)
	}
}

// TestReportKinds: imports and exports with their kinds and types.
func TestReportKinds(t *testing.T) {
	wasm := Module(
		Section(1, Vec(FuncType("\x7f\x7e\x7d\x7c\x7b\x70\x6f", ""), FuncType("", "\x7f\x7e"))),
		Section(2, Vec(Import("m", "f", 0, 0), Import("m", "g", 0, 1))),
		Section(3, Vec(U(1))), Section(4, Vec(B(0x6f, 1, 2, 3))), Section(5, Vec(B(0, 3))), Section(6, Vec(B(0x7e, 0, 0x42, 0, end))),
		Section(7, Vec(Export("f", 0, 0), Export("h", 0, 2), Export("t", 1, 0), Export("m", 2, 0), Export("g", 3, 0))),
		Section(10, Vec(Body(0x00, end))))
	r, err := prescan.Scan(wasm, prescan.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	first := prescan.FuncType{Params: strings.Fields("i32 i64 f32 f64 v128 funcref externref"), Results: []string{}}
	second := prescan.FuncType{Params: []string{}, Results: []string{"i32", "i64"}}
	if want := []prescan.Import{{Module: "m", Name: "f", Kind: "func", Type: first}, {Module: "m", Name: "g", Kind: "func", Type: second}}; !reflect.DeepEqual(r.Imports, want) {
		t.Errorf("imports: %+v", r.Imports)
	}
	if want := []prescan.Export{{Name: "f", Kind: "func", Type: first}, {Name: "h", Kind: "func", Type: second}, {Name: "t", Kind: "table"},
		{Name: "m", Kind: "memory"}, {Name: "g", Kind: "global"}}; !reflect.DeepEqual(r.Exports, want) {
		t.Errorf("exports: %+v", r.Exports)
	}
	if got := second.String(); got != "() -> (i32, i64)" || second.Equal(first) || !second.Equal(r.Imports[1].Type) {
		t.Errorf("the type is %s", got)
	}
	if r.MemoryMin != 3 || r.HasMemoryMax || r.MemoryMax != 0 || !reflect.DeepEqual(r.Tables, []uint32{2}) {
		t.Errorf("memory and table: %+v", r)
	}
	if kind := wasmbin.KindName(9); kind != "unknown" {
		t.Error(kind)
	}
}
