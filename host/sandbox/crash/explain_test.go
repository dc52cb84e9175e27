package crash_test

import (
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
		if got := crash.Explain(tt.cause, "shop.c:7", tt.written); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
	for _, tt := range []struct{ written, want string }{
		{"no total", "no total"},
		{"reading\nno total", "no total\nreading\nno total"},
		{"reading\npanic: no total\n\ngoroutine 1 [running]:\nmain.main()\n\tx/a/main.go:3 +0x1",
			"panic: no total (a/main.go:3)\nreading\npanic: no total\n\ngoroutine 1 [running]:\nmain.main()\n\tx/a/main.go:3 +0x1"},
	} {
		if got := crash.ExplainExit(tt.written); got != tt.want {
			t.Errorf("exit: got %q, want %q", got, tt.want)
		}
	}
}

func FuzzExplain(f *testing.F) {
	f.Add("starting\npanic: boom\n\ngoroutine 1 [running]:\nmain.main()\n\tx/a/main.go:3 +0x1")
	f.Add("2026/11/29 14:55:24 cannot connect\n")
	f.Fuzz(func(t *testing.T, stderr string) {
		message := crash.Explain("it exited with code 2", "", strings.ToValidUTF8(stderr, ""))
		if first, _, _ := strings.Cut(message, "\n"); strings.TrimSpace(first) == "" || !utf8.ValidString(message) {
			t.Errorf("the message starts with %q", first)
		}
	})
}
