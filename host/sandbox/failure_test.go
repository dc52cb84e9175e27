package sandbox

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/berth-host/berth/host/sandbox/crash"
)

func TestExplain(t *testing.T) {
	const trap = "unreachable at pay (shop.c:7)\n\tat pay (shop.c:7)\n\tat run"
	for _, tt := range []struct{ name, cause, written, want string }{
		{"nothing written", trap, "", trap},
		{"a trap after plain lines", trap, "starting\ncannot open the ledger\n",
			"unreachable at pay (shop.c:7): cannot open the ledger\n\tat pay (shop.c:7)\n\tat run\nstarting\ncannot open the ledger\n"},
		{"a trap after a panic without a location", trap, "panic: no ledger", "panic: no ledger (shop.c:7)\n" + trap + "\npanic: no ledger"},
		{"a trap after a panic", trap, "thread 'main' panicked at src/lib.rs:5:9:\nno ledger",
			"panic: no ledger (src/lib.rs:5:9)\n" + trap + "\nthread 'main' panicked at src/lib.rs:5:9:\nno ledger"},
		{"an exit after a plain line", "it exited with code 1", "2026/11/29 14:55:24 cannot connect",
			"it exited with code 1: 2026/11/29 14:55:24 cannot connect\n2026/11/29 14:55:24 cannot connect"},
		{"an exit after a panic", "it exited with code 2", "panic: boom", "panic: boom (shop.c:7)\nit exited with code 2\npanic: boom"},
	} {
		if got := explain(tt.cause, "shop.c:7", tt.written); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
	for _, tt := range []struct{ written, want string }{
		{"no total", "no total"},
		{"reading\nno total", "no total\nreading\nno total"},
		{"reading\npanic: no total\n\ngoroutine 1 [running]:\nmain.main()\n\tx/a/main.go:3 +0x1",
			"panic: no total (a/main.go:3)\nreading\npanic: no total\n\ngoroutine 1 [running]:\nmain.main()\n\tx/a/main.go:3 +0x1"},
	} {
		if got := explainExit(tt.written); got != tt.want {
			t.Errorf("exit: got %q, want %q", got, tt.want)
		}
	}
}

// TestLongStackDoesNotDisplaceCrash: a stack beyond maxTail does not displace the panic
// before it.
func TestLongStackDoesNotDisplaceCrash(t *testing.T) {
	frames := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "example.com/shop.f%d(0x1, 0x2)\n\texample.com/shop/deep.go:%d +0x1\n", i, i+1)
		}
		return b.String()
	}
	const panicked = "panic: deep\n\ngoroutine 1 [running]:\n"
	const headline = "panic: deep (shop/deep.go:1)"
	for _, tt := range []struct {
		name, stderr, want string
	}{
		{"short", panicked + frames(3), headline},
		{"long", panicked + frames(1000), headline},
		{"much before it", strings.Repeat("a line\n", 20_000) + panicked + frames(1000), headline},
		{"an older one does not count", "panic: old\n\n" + strings.Repeat("a line\n", 3000) + panicked + frames(1000), headline},
		{"the end is plain, after a crash that was survived", "panic: old\n\n" + strings.Repeat("a line\n", 3000), "panic: old"},
		{"no crash", strings.Repeat("a line\n", 3000), ""},
	} {
		for _, step := range []int{1, 7, 4096, len(tt.stderr)} {
			var kept tail
			for left := tt.stderr; left != ""; {
				n := min(step, len(left))
				if got, err := kept.Write([]byte(left[:n])); got != n || err != nil {
					t.Fatalf("%s: Write returned %d, %v", tt.name, got, err)
				}
				left = left[n:]
			}
			text := kept.text()
			if got, _ := crash.Find(text); got != tt.want {
				t.Errorf("%s, %d bytes at a time: got %q, want %q", tt.name, step, got, tt.want)
			}
			if len(text) > maxTail+maxHead+8 {
				t.Errorf("%s: %d bytes are kept", tt.name, len(text))
			}
			if end := tt.stderr[max(0, len(tt.stderr)-maxTail):]; !strings.HasSuffix(text, strings.TrimSpace(end)) {
				t.Errorf("%s: the end is lost", tt.name)
			}
		}
	}
	var kept tail
	if n, err := kept.Write(make([]byte, maxOutput)); n != maxOutput || err != nil {
		t.Errorf("a write at the quota returned %d, %v", n, err)
	}
	if _, err := kept.Write([]byte{1}); err == nil {
		t.Error("a write over the quota was accepted")
	}
	kept.reset()
	if got := kept.text(); got != "" {
		t.Errorf("after reset it has %q", got)
	}
}

func FuzzExplain(f *testing.F) {
	f.Add("starting\npanic: boom\n\ngoroutine 1 [running]:\nmain.main()\n\tx/a/main.go:3 +0x1")
	f.Add("2026/11/29 14:55:24 cannot connect\n")
	f.Fuzz(func(t *testing.T, stderr string) {
		message := explain("it exited with code 2", "", strings.ToValidUTF8(stderr, ""))
		if first, _, _ := strings.Cut(message, "\n"); strings.TrimSpace(first) == "" || !utf8.ValidString(message) {
			t.Errorf("the message starts with %q", first)
		}
	})
}
