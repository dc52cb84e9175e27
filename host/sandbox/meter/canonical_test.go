package meter

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/berth-host/berth/host/sandbox/prescan"
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

// TestOutputIsCanonical: each integer of a module may be encoded in more bytes than it
// needs, and the output is that of the module with none that is.
func TestOutputIsCanonical(t *testing.T) {
	module := func(size int) []byte {
		n := func(v int) []byte { return padded(v, size) }
		sized := func(id byte, content ...any) []byte {
			b := B(content...)
			return B(id, n(len(b)), b)
		}
		body := B(n(1), n(2), 0x7f, // two locals
			0x02, n(0), 0x0c, n(0), end,
			0x41, n(0), 0x0e, n(1), n(0), n(0), end)
		code := B(n(0),
			0x41, n(0), 0x41, n(0), 0x41, n(0), 0xfc, 0x08, n(0), 0,
			0x41, n(0), 0x41, n(0), 0x41, n(0), 0xfc, 0x0c, n(1), n(0),
			0x41, n(0), 0x11, n(0), n(0),
			0x41, n(0), 0x28, n(1), n(3), 0x1a,
			0xd2, n(1), 0x1a, 0x23, n(0), 0x1a, 0x42, n(9), 0x1a,
			0x41, n(0), 0x41, n(0), 0x41, n(0), 0x1c, n(1), 0x7f, 0x1a,
			0x41, n(0), 0xfd, 0x07, n(0), n(1), 0xfd, 0x16, 3, 0x1a,
			0x10, n(0), end)
		return Module(
			sized(1, n(1), 0x60, n(0), n(0)),
			sized(2, n(1), n(1), "e", n(1), "f", 0, n(0)),
			sized(3, n(2), n(0), n(0)),
			sized(4, n(1), 0x70, 1, n(1), n(2)),
			sized(5, n(1), 1, n(1), n(2)),
			sized(6, n(1), 0x7f, 0, 0x41, n(5), end),
			sized(7, n(1), n(1), "x", 0, n(1)),
			sized(8, n(1)),
			sized(9, n(2), n(0), 0x41, n(0), end, n(1), n(2), n(5), 0x70, n(1), 0xd2, n(1), end),
			sized(12, n(1)),
			sized(10, n(2), n(len(body)), body, n(len(code)), code),
			sized(11, n(1), n(2), n(0), 0x41, n(0), end, n(1), "d"),
			sized(0, n(7), "berth.x", "kept"))
	}
	want := mustRewrite(t, module(1))
	for size := 2; size <= 5; size++ {
		if got := mustRewrite(t, module(size)); !bytes.Equal(got, want) {
			t.Errorf("integers of %d bytes:\n%x\nshortest:\n%x", size, got, want)
		}
	}
	if !strings.Contains(string(want), "\x07berth.xkept") {
		t.Error("the custom section is missing")
	}
}
