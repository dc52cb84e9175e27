package sandbox

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"
)

// written is what runtimes have written when a program of theirs gave up. Go: 1.26.8 as wasip1; Rust: 1.95.
var written = []struct{ name, stderr, headline string }{
	{"nothing", "", ""},
	{"lines of a log", "starting\n2026/11/29 14:55:24 cannot connect\n", ""},
	{"Go: index, with a line before", `starting
panic: runtime error: index out of range [252] with length 0

goroutine 1 [running]:
main.main()
	github.com/berth-host/berth/zz/main.go:33 +0x93
`, "panic: runtime error: index out of range [252] with length 0 (zz/main.go:33)"},
	{"Go: nil pointer", `panic: runtime error: invalid memory address or nil pointer dereference
[signal 0xb code=0x0 addr=0x0 pc=0x0]

goroutine 1 [running]:
example.com/shop/rules.(*Rule).Apply(...)
	/home/me/shop/rules/rule.go:8
main.handle(0x1410000)
	/home/me/shop/main.go:12 +0x1b
`, "panic: runtime error: invalid memory address or nil pointer dereference (rules/rule.go:8)"},
	{"Go: an error of two lines", "panic: code 7\n\tsecond line\n\ngoroutine 1 [running]:\nmain.main()\n\tgithub.com/berth-host/berth/zz/main.go:37 +0x91",
		"panic: code 7 second line (zz/main.go:37)"},
	{"Go: within a panic", `panic: first [recovered]
	panic: again first

goroutine 1 [running]:
main.main.func1()
	github.com/berth-host/berth/zz/main.go:41 +0x5
panic({0x11600, 0x355c8})
	runtime/panic.go:860 +0x1c
main.main()
	github.com/berth-host/berth/zz/main.go:42 +0x7a
`, "panic: again first (zz/main.go:41)"},
	{"Go: the same panic again", "panic: first [recovered, repanicked]\n\ngoroutine 1 [running]:\nmain.main.func2()\n\tx/zz/main.go:44 +0x3\n", "panic: first (zz/main.go:44)"},
	{"Go: deadlock", `fatal error: all goroutines are asleep - deadlock!

goroutine 1 [chan receive]:
main.main()
	github.com/berth-host/berth/zz/main.go:48 +0x36
`, "fatal error: all goroutines are asleep - deadlock! (zz/main.go:48)"},
	{"Go: in the standard library", `panic: strings: negative Repeat count

goroutine 1 [running]:
strings.Repeat({0x2beb0, 0x1}, 0xffffffffffffffff)
	strings/strings.go:628 +0xbc
main.main()
	github.com/berth-host/berth/zz/main.go:52 +0x46
`, "panic: strings: negative Repeat count (zz/main.go:52)"},
	{"Go: in the SDK", `panic: field /data: the pointer is not one

goroutine 1 [running]:
github.com/berth-host/berth/abi/go.(*Event).Raw(0x1414000, {0x1, 0x2})
	github.com/berth-host/berth/abi/go/event.go:66 +0x10
github.com/shop/orders.Handle(0x1414000)
	github.com/shop/orders/handle.go:9 +0x46
github.com/berth-host/berth/abi/go.Run(0x2)
	github.com/berth-host/berth/abi/go/run.go:40 +0x46
main.main()
	github.com/shop/cmd/main.go:5 +0x46
`, "panic: field /data: the pointer is not one (orders/handle.go:9)"},
	{"Go: only the standard library", "panic: boom\n\ngoroutine 7 [running]:\ntime.goFunc(0x1)\n\ttime/sleep.go:177 +0x1\n\n", "panic: boom (time/sleep.go:177)"},
	{"Go: bracketed text", "panic: first [recovered by nobody\n", "panic: first [recovered by nobody"},
	{"TinyGo", "panic: runtime error: nil pointer dereference\n", "panic: runtime error: nil pointer dereference"},
	{"Windows line ends", "panic: boom\r\n\r\ngoroutine 1 [running]:\r\nmain.main()\r\n\tx/a/main.go:3 +0x1\r\n", "panic: boom (a/main.go:3)"},
	{"Rust", "thread 'main' panicked at src/lib.rs:5:9:\nindex out of bounds: the len is 3 but the index is 7\nnote: run with `RUST_BACKTRACE=1` environment variable to display a backtrace\n",
		"panic: index out of bounds: the len is 3 but the index is 7 (src/lib.rs:5:9)"},
	{"Rust: thread number, several lines, stack", "\nthread 'main' (4294) panicked at p.rs:5:14:\nassertion `left == right` failed: numbers differ\n  left: 1\n right: 2\nstack backtrace:\n   0: __rustc::rust_begin_unwind\n             at /rustc/59807616e1fa/library/std/src/panicking.rs:689:5\n   3: p::main\n",
		"panic: assertion `left == right` failed: numbers differ left: 1 right: 2 (p.rs:5:14)"},
	{"Rust before 1.73", "thread 'main' panicked at 'no ledger', src/main.rs:3:67\nnote: run with `RUST_BACKTRACE=1`\n", "panic: no ledger (src/main.rs:3:67)"},
	{"Rust: two panics", "thread 'w' panicked at p.rs:6:67:\nin the thread\n\nthread 'main' panicked at p.rs:6:105:\ncalled `Result::unwrap()` on an `Err` value: Any { .. }\n",
		"panic: called `Result::unwrap()` on an `Err` value: Any { .. } (p.rs:6:105)"},
	{"Zig", "thread 1 panic: index out of bounds: index 3, len 2\nsrc/main.zig:5:9: 0x1f2 in handle (main)\n    list[3]\n", "panic: index out of bounds: index 3, len 2 (src/main.zig:5:9)"},
	{"AssemblyScript", "abort: no ledger in assembly/index.ts(12:3)\n", "abort: no ledger in assembly/index.ts(12:3)"},
	{"C with musl", "reading\nAssertion failed: total > 0 (handler.c: handle: 12)\n", "Assertion failed: total > 0 (handler.c: handle: 12)"},
	{"C with glibc", "a: a.c:2: main: Assertion `c>5 && \"more\"' failed.\n", "a: a.c:2: main: Assertion `c>5 && \"more\"' failed."},
	{"C++", "libc++abi: terminating due to uncaught exception of type std::runtime_error: boom\n", "libc++abi: terminating due to uncaught exception of type std::runtime_error: boom"},
	{"C++ with libstdc++", "terminate called after throwing an instance of 'std::runtime_error'\n  what():  boom\n", "terminate called after throwing an instance of 'std::runtime_error': boom"},
	{"Python", "Traceback (most recent call last):\n  File \"handler.py\", line 3, in <module>\n    total = order[\"total\"]\nKeyError: 'total'\n", "KeyError: 'total' (handler.py:3)"},
	{"JavaScript", "Error while running JS: Uncaught TypeError: boom\n    at handle (handler.js:3:7)\n    at <anonymous> (handler.js:9)\n", "Error while running JS: Uncaught TypeError: boom (handler.js:3:7)"},
	{"JavaScript: a frame without a name", "TypeError: boom\n    at handler.js:1:36\n", "TypeError: boom (handler.js:1:36)"},
	{"Swift", "main/main.swift:3: Fatal error: Index out of range\n", "main/main.swift:3: Fatal error: Index out of range"},
	{"the last of several counts", "panic: old\n\npanic: new\n", "panic: new"},
	{"cut within a stack", "panic: boom\n\ngoroutine 1 [running]:\nmain.main()\n", "panic: boom"},
	{"a word within a line is none", "I do not panic: all is well\nan assertion failed: no\n", ""},
}

func TestCrashOf(t *testing.T) {
	for _, tt := range written {
		if got, _ := crashOf(tt.stderr); got != tt.headline {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.headline)
		}
	}
}

func TestExplain(t *testing.T) {
	const trap = "wasm error: unreachable\nwasm stack trace:\n\t.run()"
	for _, tt := range []struct{ name, cause, written, want string }{
		{"nothing written", trap, "", trap},
		{"a trap after plain lines", trap, "starting\ncannot open the ledger\n",
			"wasm error: unreachable: cannot open the ledger\nwasm stack trace:\n\t.run()\nstarting\ncannot open the ledger\n"},
		{"a trap after a panic", trap, "thread 'main' panicked at src/lib.rs:5:9:\nno ledger",
			"panic: no ledger (src/lib.rs:5:9)\n" + trap + "\nthread 'main' panicked at src/lib.rs:5:9:\nno ledger"},
		{"an exit after a plain line", "it exited with code 1", "2026/11/29 14:55:24 cannot connect",
			"it exited with code 1: 2026/11/29 14:55:24 cannot connect\n2026/11/29 14:55:24 cannot connect"},
		{"an exit after a panic", "it exited with code 2", "panic: boom", "panic: boom\nit exited with code 2\npanic: boom"},
	} {
		if got := explain(tt.cause, tt.written); got != tt.want {
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

// A stack that is longer than what is kept must not displace the panic before it.
func TestTailKeepsTheCrashBeforeALongStack(t *testing.T) {
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
			for rest := tt.stderr; rest != ""; {
				n := min(step, len(rest))
				if got, err := kept.Write([]byte(rest[:n])); got != n || err != nil {
					t.Fatalf("%s: Write answered %d, %v", tt.name, got, err)
				}
				rest = rest[n:]
			}
			text := kept.text()
			if got, _ := crashOf(text); got != tt.want {
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
		t.Errorf("a write at the quota answered %d, %v", n, err)
	}
	if _, err := kept.Write([]byte{1}); err == nil {
		t.Error("a write over the quota was taken")
	}
	kept.reset()
	if got := kept.text(); got != "" {
		t.Errorf("after reset it has %q", got)
	}
}

func FuzzCrashOf(f *testing.F) {
	for _, w := range written {
		f.Add(w.stderr)
	}
	f.Fuzz(func(t *testing.T, stderr string) {
		headline, at := crashOf(stderr)
		if strings.ContainsAny(headline, "\n") {
			t.Errorf("several lines: %q", headline)
		}
		if at < 0 || at > len(stderr) || at > 0 && stderr[at-1] != '\n' {
			t.Errorf("it begins at %d of %q", at, stderr)
		}
		if headline != "" {
			if again, _ := crashOf(stderr[at:]); again != headline {
				t.Errorf("from its beginning on it is %q, was %q", again, headline)
			}
		}
		message := explain("it exited with code 2", strings.ToValidUTF8(stderr, ""))
		if first, _, _ := strings.Cut(message, "\n"); strings.TrimSpace(first) == "" || !utf8.ValidString(message) {
			t.Errorf("the message begins with %q", first)
		}
	})
}
