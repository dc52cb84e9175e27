package source

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"

	"github.com/berth-host/berth/host/sandbox/meter"
	"github.com/berth-host/berth/host/sandbox/wasmbin"
	. "github.com/berth-host/berth/host/sandbox/wasmbin/wasmtest"
)

const testdata = "../../../testdata/lines"

func readGuest(t testing.TB, name string) []byte {
	t.Helper()
	wasm, err := os.ReadFile(filepath.Join(testdata, name))
	if err != nil {
		t.Fatal(err)
	}
	return wasm
}

// simple is a module of one function with n instructions of one byte before an unreachable,
// and custom sections. It returns the offset of the unreachable in the module.
func simple(n int, customs ...[]byte) (wasm []byte, trap int) {
	const end = 0x0b
	code := B(bytes.Repeat([]byte{0x01}, n), 0x00, end)
	wasm = Module(Section(1, Vec(FuncType("", ""))), Section(3, Vec(U(0))), Section(7, Vec(Export("run", 0, 0))), Section(10, Vec(Body(code))))
	trap = bytes.Index(wasm, B(bytes.Repeat([]byte{0x01}, n), 0x00, end)) + n
	return B(wasm, B(parts(customs)...)), trap
}

func parts(customs [][]byte) []any {
	parts := make([]any, len(customs))
	for i, c := range customs {
		parts[i] = c
	}
	return parts
}

// trapOffset is the offset of the one unreachable of a module in the metered code.
func trapOffset(t testing.TB, wasm []byte) uint64 {
	t.Helper()
	out, _, err := meter.Rewrite(wasm, meter.Config{})
	if err != nil {
		t.Fatal(err)
	}
	sections, err := wasmbin.NewSections(out)
	if err != nil {
		t.Fatal(err)
	}
	for {
		id, code, ok, err := sections.Next()
		if err != nil || !ok {
			t.Fatal("no code", err)
		}
		if id != wasmbin.SectionCode {
			continue
		}
		start := code.Pos()
		n, _ := code.U32()
		for range n {
			size, _ := code.U32()
			body, _ := code.Sub(size)
			_, _ = body.Locals(nil)
			for body.Left() > 0 {
				var in wasmbin.Instr
				if err := body.Instr(&in); err != nil {
					t.Fatal(err)
				}
				if in.Op == wasmbin.OpUnreachable {
					return uint64(in.At - start)
				}
			}
		}
		t.Fatal("no unreachable")
	}
}

// encodeVLQ is the inverse of vlq.
func encodeVLQ(v int) (text string) {
	const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	u := v << 1
	if v < 0 {
		u = -v<<1 | 1
	}
	for {
		d := u & 31
		if u >>= 5; u > 0 {
			d |= 32
		}
		text += string(digits[d])
		if u == 0 {
			return text
		}
	}
}

func mappings(segments ...[]int) string {
	var parts []string
	for _, s := range segments {
		part := ""
		for _, v := range s {
			part += encodeVLQ(v)
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, ",")
}

func TestVLQ(t *testing.T) {
	for _, v := range []int{0, 1, -1, 15, 16, -16, 1000, -1000, 1 << 30, -1 << 30} {
		text := encodeVLQ(v)
		if got, size := vlq(text + "A"); got != int64(v) || size != len(text) {
			t.Errorf("%d: %d, %d bytes of %q", v, got, size, text)
		}
	}
	for _, text := range []string{"", "g", "!", "ggggggggggA", "g!"} {
		if got, size := vlq(text); size != 0 {
			t.Errorf("%q: %d, %d", text, got, size)
		}
	}
}

func TestSourceMaps(t *testing.T) {
	_, trap := simple(40)
	whole := func(mappings string) string {
		return fmt.Sprintf(`{"version":3,"sources":["assembly/index.ts","~lib/rt.ts"],"names":[],"mappings":%q}`, mappings)
	}
	right := mappings([]int{trap - 30, 1, 3, 3}, []int{28, -1, 37, 1}, []int{9, 0, 1, 0}) // the second is 2 before the trap
	const want = "assembly/index.ts:41"
	for _, tt := range []struct {
		name, section, text, want string
	}{
		{"in its own section", meter.SourceMap, whole(right), want},
		{"as a URL", meter.SourceMapURL, string(Name("data:application/json;base64," + base64.StdEncoding.EncodeToString([]byte(whole(right))))), want},
		{"a file's URL", meter.SourceMapURL, string(Name("handler.wasm.map")), ""},
		{"another encoding", meter.SourceMapURL, string(Name("data:application/json,{}")), "error"},
		{"not base64", meter.SourceMapURL, string(Name("data:;base64,!")), "error"},
		{"a cut URL", meter.SourceMapURL, "\x09x", "error"},
		{"no JSON", meter.SourceMap, whole(right)[:50], "error"},
		{"another version", meter.SourceMap, `{"version":2,"mappings":"AAAA"}`, "error"},
		{"sections", meter.SourceMap, `{"version":3,"sections":[]}`, "error"},
		{"nothing mapped", meter.SourceMap, whole(""), ""},
		{"a segment without a source", meter.SourceMap, whole(mappings([]int{trap - 2})), ""},
		{"only before the function", meter.SourceMap, whole(mappings([]int{3, 0, 5, 1})), ""},
		{"only behind", meter.SourceMap, whole(mappings([]int{trap + 1, 0, 5, 1})), ""},
		{"no such source", meter.SourceMap, whole(mappings([]int{trap - 1, 7, 5, 1})), ""},
		{"cut after the segment", meter.SourceMap, whole(right[:len(right)-3] + "!"), want},
		{"malformed before it", meter.SourceMap, whole("!" + right), "error"},
		{"six numbers", meter.SourceMap, whole("AAAAAAA"), "error"},
		{"a second line", meter.SourceMap, whole(right + ";" + mappings([]int{trap, 0, -20, 0})), want},
		{"a segment without a source behind it", meter.SourceMap, whole(mappings([]int{trap - 9, 0, 5, 1}, []int{5})), "assembly/index.ts"},
		{"functions", meter.SourceMap, `{"version":3,"sources":["a/b.ts"],"mappings":"` + mappings([]int{trap, 0, 6, 0}) +
			`","x_berth_functions":[[["outer",1,20],["inner",5,9],["other",8,9]],[]]}`, "a/b/inner a/b.ts:7"},
		{"no functions of the source", meter.SourceMap, `{"version":3,"sources":["a/b.ts"],"mappings":"` + mappings([]int{trap, 0, 6, 0}) +
			`","x_berth_functions":[]}`, "a/b.ts:7"},
		{"functions of another form", meter.SourceMap, `{"version":3,"sources":["a/b.ts"],"mappings":"` + mappings([]int{trap, 0, 6, 0}) +
			`","x_berth_functions":[[["f"],{"x":1},[1,2,3]]]}`, "error"},
		{"a root", meter.SourceMap, `{"version":3,"sourceRoot":"src/","sources":["a.ts"],"mappings":"` + mappings([]int{trap, 0, 6, 0}) + `"}`, "a.ts:7"},
		{"a hostile name", meter.SourceMap, `{"version":3,"sources":["a\u001b[2J\n.ts"],"mappings":"` + mappings([]int{trap, 0, 6, 0}) + `"}`, "a?[2J?.ts:7"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			wasm, _ := simple(40, Custom(tt.section, tt.text))
			found, err := Resolve(wasm, []uint64{trapOffset(t, wasm)})
			if tt.want == "error" {
				if err == nil {
					t.Errorf("no error: %v", found)
				}
				return
			}
			got := ""
			if err == nil && len(found[0]) > 0 {
				got = strings.TrimSpace(found[0][0].Function + " " + found[0][0].Location())
			}
			if err != nil || got != tt.want {
				t.Errorf("got %q, %v; want %q", got, err, tt.want)
			}
		})
	}
}

func TestDemangle(t *testing.T) {
	for name, want := range map[string]string{
		"explode":                                 "explode",
		"assembly/index/explode":                  "assembly/index/explode",
		"_ZN4shop4CartIlE7explodeEPKc":            "shop::Cart<long>::explode",
		"_ZN7handler7explode17h0123456789abcdefE": "handler::explode",
		"_RNvC7handler7explode":                   "handler::explode",
		"_RNvNtCs1234_7handler5inner7explode":     "handler::inner::explode",
		"_Zbroken":                                "_Zbroken",
		"a\nb\x1b":                                "a?b?",
		"main.(*Cart).explode":                    "main.(*Cart).explode",
	} {
		if got := Demangle(name); got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
	if got := Demangle("_Z" + strings.Repeat("N", 5000)); len(got) > maxFunction+4 {
		t.Errorf("%d bytes", len(got))
	}
}

func FuzzDemangle(f *testing.F) {
	for _, name := range []string{"_ZN4shop4CartIlE7explodeEPKc", "_RNvC7handler7explode", "_ZNSt6vectorIiSaIiEE9push_backEOi", "_Z1fIJiiiEEvDpT_"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if len(name) <= 48 { // the time is exponential for names with parameter packs in each other
			checkText(t, Demangle(name), maxFunction+4)
		}
	})
}

// checkText checks that a text can be shown in one line.
func checkText(t *testing.T, text string, limit int) {
	t.Helper()
	if len(text) > limit {
		t.Errorf("%d bytes", len(text))
	}
	if i := strings.IndexFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }); i >= 0 {
		t.Errorf("not printable at %d: %q", i, text)
	}
}

func TestFileNames(t *testing.T) {
	for _, tt := range []struct{ name, dir, want string }{
		{"/project/src/lib.rs", "/project", "src/lib.rs"},
		{"/project/src/lib.rs", "/project/", "src/lib.rs"},
		{"/projects/lib.rs", "/project", "/projects/lib.rs"},
		{"./handler.c", ".", "handler.c"},
		{"handler.c", "", "handler.c"},
		{"/handler.c", "/", "handler.c"},
		{`C:\shop\main.c`, `C:\shop`, "main.c"},
		{"", "/project", ""},
		{"/" + strings.Repeat("long/", 60) + "a.c", "", "…" + (strings.Repeat("long/", 60) + "a.c")[303-200:]},
	} {
		if got := fileName(tt.name, tt.dir); got != tt.want {
			t.Errorf("%q in %q: got %q, want %q", tt.name, tt.dir, got, tt.want)
		}
	}
}

// FuzzDWARF: any debug information is read or refused, without a panic that Resolve would
// have to recover.
func FuzzDWARF(f *testing.F) {
	for _, name := range []string{"c-2.wasm", "c-3.wasm", "c-4.wasm", "c-5.wasm", "cpp.wasm"} {
		sections, err := customSections(readGuest(f, name))
		if err != nil {
			f.Fatal(err)
		}
		extra := sections[".debug_ranges"]
		if len(extra) == 0 {
			extra = sections[".debug_rnglists"]
		}
		f.Add(sections[".debug_info"], sections[".debug_abbrev"], sections[".debug_line"], sections[".debug_str"], extra,
			sections[".debug_addr"], sections[".debug_str_offsets"], uint32(100))
	}
	f.Fuzz(func(t *testing.T, info, abbrev, line, str, ranges, addr, offsets []byte, pc uint32) {
		sections := map[string][]byte{".debug_info": info, ".debug_abbrev": abbrev, ".debug_line": line, ".debug_str": str, ".debug_line_str": str,
			".debug_ranges": ranges, ".debug_rnglists": ranges, ".debug_addr": addr, ".debug_str_offsets": offsets}
		origins := []meter.Origin{{Known: true, Offset: int(pc)}, {}, {Known: true, Offset: int(pc / 2)}}
		found := make([][]Frame, len(origins))
		func() {
			defer func() { _ = recover() }() // debug/dwarf panics on malformed input here and there; Resolve recovers
			_ = resolveDWARF(sections, origins, found, strings.Clone)
		}()
		if found[1] != nil {
			t.Error("frames of unknown code")
		}
		for _, frames := range found {
			if len(frames) > maxInlined+1 {
				t.Errorf("%d frames", len(frames))
			}
			for _, frame := range frames {
				checkText(t, frame.Clean().String(), maxFunction+maxFile+40)
			}
		}
	})
}

func FuzzSourceMap(f *testing.F) {
	f.Add([]byte(`{"version":3,"sources":["a.ts"],"mappings":"AAAA,CACA;AAAA"}`))
	f.Add([]byte(`{"version":3,"sources":["a.ts"],"sourceRoot":"x","mappings":"gggggggggA"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		origins := []meter.Origin{{Known: true, Offset: 1 << 10}, {Known: true, Body: 3, Offset: 7}}
		found := make([][]Frame, len(origins))
		_ = resolveMap(map[string][]byte{meter.SourceMap: text}, origins, found)
		for _, frames := range found {
			for _, frame := range frames {
				checkText(t, frame.Clean().String(), maxFunction+maxFile+40)
			}
		}
	})
}
