package meter

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"

	"github.com/berth-host/berth/host/sandbox/prescan"
	"github.com/berth-host/berth/host/sandbox/wasmbin"
	. "github.com/berth-host/berth/host/sandbox/wasmbin/wasmtest"
)

// escaping is a module whose code wasmbin could read in two ways: as a v128.const with
// an overlong opcode (fd 8c 00 and 16 bytes), and as the engine reads it, a shift
// (fd 8c), an unreachable that is jumped over (00), and the 16 bytes as code.
func escaping(hidden ...any) []byte {
	code := append(B(hidden...), bytes.Repeat([]byte{0x01}, 16)...)[:16]
	return Func("", "", Vec(),
		0x02, 0x40, 0x41, 1, 0x0d, 0, // block, br_if to its end
		0xfd, 0x0c, make([]byte, 16), 0x41, 0, // the operands of the shift
		0xfd, 0x8c, 0x00, code,
		0x1a, 0x1a, 0x1a, end, end)
}

// TestCodeReadInTwoWaysIsRefused: two modules that had been charged for other code
// than the engine ran.
func TestCodeReadInTwoWaysIsRefused(t *testing.T) {
	const want = "the opcode behind 0xfd is encoded in more bytes than it needs"
	for name, wasm := range map[string][]byte{
		"a loop without a charge": escaping(end, 0x03, 0x40, 0x0c, 0, end, 0x02, 0x40, 0x00),
		"the counter written":     escaping(end, 0x42, 0xff, 0xff, 0xff, 0xff, 0xff, 0x3f, 0x24, 0, 0x02, 0x40, 0x00),
	} {
		var scanned *prescan.Error
		if _, err := prescan.Scan(wasm, prescan.Limits{}); !errors.As(err, &scanned) || scanned.Reason != want {
			t.Errorf("%s: the scan says %v", name, err)
		}
		var rewritten *Error
		if _, _, err := Rewrite(wasm, Config{}); !errors.As(err, &rewritten) || rewritten.Reason != want {
			t.Errorf("%s: the rewriter says %v", name, err)
		}
	}
}

// padded is a LEB128 integer in at least the given number of bytes.
func padded(v, size int) []byte {
	b := U(v)
	for len(b) < size {
		b[len(b)-1] |= 0x80
		b = append(b, 0)
	}
	return b
}

// encoding makes modules whose integers have at least size bytes.
type encoding struct{ size int }

func (e encoding) n(v int) []byte { return padded(v, e.size) }

func (e encoding) section(id byte, content ...any) []byte {
	b := B(content...)
	return B(id, e.n(len(b)), b)
}

func (e encoding) body(parts ...any) []byte {
	b := B(parts...)
	return B(e.n(len(b)), b)
}

// everything is a valid module with all sections, all kinds of segments, and every kind
// of instruction that the rewriter changes or adds to.
func (e encoding) everything() []byte {
	n, sized := e.n, e.section
	i32 := func(v int) []byte { return B(0x41, n(v)) }
	three := B(i32(0), i32(0), i32(0))
	control := e.body(n(1), n(2), 0x7f, // two locals
		0x02, n(0), 0x0c, n(0), end,
		0x03, 0x40, i32(0), 0x0d, n(0), end, // a repeat
		0x02, 0x40, 0x03, n(0), i32(0), 0x04, 0x40, 0x0c, n(1), 0x05, 0x0c, n(2), end, end, end,
		0x03, 0x40, 0x02, 0x40, 0x02, 0x40, 0x20, n(1), 0x0e, n(1), n(0), n(1), end, i32(1), 0x21, n(1), 0x0c, n(1), end, end, // a jump
		0x02, 0x40, 0x03, 0x40, i32(0), 0x0e, n(2), n(0), n(1), n(2), end, end, end)
	bulk := e.body(n(0),
		three, 0xfc, 0x08, n(0), 0, three, 0xfc, 0x0a, 0, 0, three, 0xfc, 0x0b, 0,
		three, 0xfc, 0x0c, n(1), n(0), three, 0xfc, 0x0e, n(0), n(0), i32(0), 0xd0, 0x70, i32(0), 0xfc, 0x11, n(0),
		0xd0, 0x6f, i32(0), 0xfc, 0x0f, n(1), 0x1a, 0xfc, 0x10, n(1), 0x1a, 0xfc, 0x09, n(1), 0xfc, 0x0d, n(1),
		i32(0), 0x40, 0, 0x1a, 0x3f, 0, 0x1a, end)
	values := e.body(n(0),
		i32(0), 0x11, n(0), n(0), i32(0), 0x28, n(1), n(3), 0x1a,
		0xd2, n(1), 0x1a, 0x23, n(0), 0x1a, 0x42, n(9), 0x1a, 0x43, 1, 2, 3, 4, 0x1a, 0x44, 1, 2, 3, 4, 5, 6, 7, 8, 0x1a,
		three, 0x1c, n(1), 0x7f, 0x1a, i32(0), 0xfd, 0x07, n(0), n(1), 0xfd, 0x16, 3, 0x1a,
		i32(0), 0xfd, 0x0c, "0123456789abcdef", 0xfd, 0x54, n(0), n(1), 5, 0x1a,
		0x10, n(0), 0x10, n(1), 0x10, n(4), end)
	wide := e.body(n(0), 0x00, end)
	offset := B(i32(0), end)
	fn := func(i int) []byte { return B(0xd2, n(i), end) }
	return Module(
		sized(1, n(3), 0x60, n(0), n(0), 0x60, n(13), strings.Repeat("\x7f", 13), n(2), 0x7f, 0x7e, 0x60, n(1), 0x7b, n(1), 0x6f),
		sized(2, n(1), n(1), "e", n(1), "f", 0, n(0)),
		sized(3, n(5), n(0), n(0), n(0), n(0), n(1)),
		sized(4, n(2), 0x70, 1, n(9), n(20), 0x6f, 0, n(2)),
		sized(5, n(1), 1, n(1), n(2)),
		sized(6, n(3), 0x7f, 0, i32(5), end, 0x70, 1, fn(2), 0x7b, 0, 0xfd, 0x0c, "0123456789abcdef", end),
		sized(7, n(5), n(1), "x", 0, n(1), n(1), "t", 1, n(1), n(1), "m", 2, n(0), n(1), "g", 3, n(1), n(1), "w", 0, n(5)),
		sized(8, n(4)),
		sized(9, n(8), n(0), offset, n(2), n(1), n(4), n(1), 0, n(1), n(2), n(2), n(0), offset, 0, n(1), n(3), n(3), 0, n(1), n(1),
			n(4), offset, n(1), fn(1), n(5), 0x70, n(2), fn(1), B(0xd0, 0x70, end), n(6), n(1), offset, 0x6f, n(1), 0xd0, 0x6f, end, n(7), 0x70, n(1), fn(0)),
		sized(12, n(3)),
		sized(10, n(5), control, bulk, values, e.body(n(0), end), wide),
		sized(11, n(3), n(2), n(0), offset, n(1), "d", n(1), n(2), "de", n(0), offset, n(3), "def"),
		sized(0, n(7), "berth.x", "kept"), sized(0, n(4), "name", 0, n(5+e.size), n(5), "guest", 1, n(2+3*e.size), n(1), n(2), n(2), "fn"))
}

// importing is a valid module that imports one of each kind.
func (e encoding) importing() []byte {
	n, sized := e.n, e.section
	return Module(
		sized(1, n(1), 0x60, n(0), n(0)),
		sized(2, n(4), n(1), "e", n(1), "f", 0, n(0), n(1), "e", n(1), "t", 1, 0x70, 1, n(1), n(2),
			n(1), "e", n(1), "m", 2, 0, n(1), n(1), "e", n(1), "g", 3, 0x7e, 1),
		sized(3, n(2), n(0), n(0)),
		sized(7, n(1), n(1), "x", 0, n(1)),
		sized(10, n(2), e.body(n(0), 0x23, n(0), 0x24, n(0), 0x10, n(2), 0x10, n(0), end), e.body(n(0), end)))
}

// TestOutputIsCanonical: each integer of a module may be encoded in more bytes than it
// needs, and the output is that of the module with none that is.
func TestOutputIsCanonical(t *testing.T) {
	for name, module := range map[string]func(encoding) []byte{"everything": encoding.everything, "imports": encoding.importing} {
		want := mustRewrite(t, module(encoding{1}))
		r := newRuntime(t, wazero.NewRuntimeConfigCompiler())
		if _, err := r.CompileModule(context.Background(), want); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for size := 2; size <= 5; size++ {
			if got := mustRewrite(t, module(encoding{size})); !bytes.Equal(got, want) {
				t.Errorf("%s: integers of %d bytes:\n%x\nshortest:\n%x", name, size, got, want)
			}
		}
	}
	if out := mustRewrite(t, encoding{1}.everything()); !bytes.Contains(out, []byte("\x0c\x07berth.xkept")) {
		t.Error("the custom section is missing")
	}
}

// TestReportOfAllSections: the counts of a module that has one of each, in literal numbers.
func TestReportOfAllSections(t *testing.T) {
	for _, tt := range []struct {
		wasm []byte
		want Report
	}{
		{encoding{1}.everything(), Report{Functions: 5, Helpers: 6, Entries: 5, Loops: 4, Jumps: 1, Bulk: 8, MaxCharge: 585, StackCalls: 1, RefillIndex: 1, GlobalIndex: 3}},
		{encoding{1}.importing(), Report{Functions: 2, Helpers: 1, Entries: 1, Folded: 1, MaxCharge: 57, RefillIndex: 1, GlobalIndex: 1}},
	} {
		_, rep, err := Rewrite(tt.wasm, Config{})
		rep.BytesIn, rep.BytesOut, rep.MaxFrame = 0, 0, 0
		if err != nil || rep != tt.want {
			t.Errorf("%v\n got %+v\nwant %+v", err, rep, tt.want)
		}
	}
}

// TestCutSectionsAreRefused: a section that ends anywhere before its end is refused, with
// an error that says where.
func TestCutSectionsAreRefused(t *testing.T) {
	for name, wasm := range map[string][]byte{"everything": encoding{1}.everything(), "imports": encoding{1}.importing()} {
		sections, err := wasmbin.NewSections(wasm)
		if err != nil {
			t.Fatal(err)
		}
		before := wasm[:8]
		for {
			id, r, ok, err := sections.Next()
			if err != nil {
				t.Fatal(err)
			}
			if !ok {
				break
			}
			content, to := r.Slice(r.Pos(), r.Pos()+r.Left()), r.Pos()+r.Left()
			for cut := range len(content) {
				if id == wasmbin.SectionCustom {
					break // any bytes will do
				}
				_, _, err := Rewrite(B(before, Section(id, content[:cut]), wasm[to:]), Config{})
				var e *Error
				if !errors.As(err, &e) || e.Section != wasmbin.SectionName(id) && e.Section != "code" || e.Offset < len(before) {
					t.Errorf("%s: %s section cut to %d bytes: got %v", name, wasmbin.SectionName(id), cut, err)
				}
			}
			before = wasm[:to]
		}
	}
}
