package crash

import (
	"strings"
	"testing"
)

// written has the output of crashed programs. Go: 1.26.8 as wasip1; Rust: 1.95.
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
	{"Rust without a standard library", "panicked at src/lib.rs:41:5:\nthe stock is -3\n", "panic: the stock is -3 (src/lib.rs:41:5)"},
	{"Zig with one thread", "panic: the stock is -3\nhandler.zig:41:5: 0x1f2 in explode (handler)\n", "panic: the stock is -3 (handler.zig:41:5)"},
	{"Zig", "thread 1 panic: index out of bounds: index 3, len 2\nsrc/main.zig:5:9: 0x1f2 in handle (main)\n    list[3]\n", "panic: index out of bounds: index 3, len 2 (src/main.zig:5:9)"},
	{"AssemblyScript", "abort: no ledger in assembly/index.ts(12:3)\n", "abort: no ledger (assembly/index.ts:12:3)"},
	{"AssemblyScript: without a location", "abort: no ledger in the order\n", "abort: no ledger in the order"},
	{"C with musl", "reading\nAssertion failed: total > 0 (handler.c: handle: 12)\n", "Assertion failed: total > 0 (handler.c:12)"},
	{"Java without memory", "at shop.Handler.handle()\n\tat berth.Berth.run(Berth.java:20)\nOut of memory\n", "Out of memory"},
	{"C with another assert", "Assertion failed: total > 0\n", "Assertion failed: total > 0"},
	{"C with glibc", "a: a.c:2: main: Assertion `c>5 && \"more\"' failed.\n", "a: a.c:2: main: Assertion `c>5 && \"more\"' failed."},
	{"C++", "libc++abi: terminating due to uncaught exception of type std::runtime_error: boom\n", "libc++abi: terminating due to uncaught exception of type std::runtime_error: boom"},
	{"C++ with libstdc++", "terminate called after throwing an instance of 'std::runtime_error'\n  what():  boom\n", "terminate called after throwing an instance of 'std::runtime_error': boom"},
	{"Python", "Traceback (most recent call last):\n  File \"handler.py\", line 3, in <module>\n    total = order[\"total\"]\nKeyError: 'total'\n", "KeyError: 'total' (handler.py:3)"},
	{"JavaScript", "Error while running JS: Uncaught TypeError: boom\n    at handle (handler.js:3:7)\n    at <anonymous> (handler.js:9)\n", "Error while running JS: Uncaught TypeError: boom (handler.js:3:7)"},
	{"JavaScript: a frame without a name", "TypeError: boom\n    at handler.js:1:36\n", "TypeError: boom (handler.js:1:36)"},
	{"JavaScript: a native frame first", "SyntaxError: boom\n    at JSON.parse (native)\n    at handle (handler.ts:41:7)\n", "SyntaxError: boom (handler.ts:41:7)"},
	{"JavaScript: native frames only", "SyntaxError: boom\n    at JSON.parse (native)\n", "SyntaxError: boom (native)"},
	{"Java", "java.lang.IllegalStateException: the stock is -3\n\tat java.util.Objects.check(Objects.java:7)\n\tat shop.Handler.explode(Handler.java:41)\n", "java.lang.IllegalStateException: the stock is -3 (Handler.java:41)"},
	{"Java: main", "Exception in thread \"main\" java.lang.RuntimeException: no\n\tat Handler.main(Handler.java:4)\n", "java.lang.RuntimeException: no (Handler.java:4)"},
	{"Python: MicroPython", "Traceback (most recent call last):\n  File \"handler.py\", line 3, in handle\n  File \"handler.py\", line 41, in explode\nValueError: the stock is -3\n", "ValueError: the stock is -3 (handler.py:41)"},
	{"Swift", "main/main.swift:3: Fatal error: Index out of range\n", "main/main.swift:3: Fatal error: Index out of range"},
	{"the last of several counts", "panic: old\n\npanic: new\n", "panic: new"},
	{"cut within a stack", "panic: boom\n\ngoroutine 1 [running]:\nmain.main()\n", "panic: boom"},
	{"a word within a line is none", "I do not panic: all is well\nan assertion failed: no\n", ""},
}

func TestFind(t *testing.T) {
	for _, tt := range written {
		if got, _ := Find(tt.stderr); got != tt.headline {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.headline)
		}
	}
}

func FuzzFind(f *testing.F) {
	for _, w := range written {
		f.Add(w.stderr)
	}
	f.Fuzz(func(t *testing.T, stderr string) {
		headline, start := Find(stderr)
		if strings.ContainsAny(headline, "\n") {
			t.Errorf("several lines: %q", headline)
		}
		if start < 0 || start > len(stderr) || start > 0 && stderr[start-1] != '\n' {
			t.Errorf("it starts at %d of %q", start, stderr)
		}
		if headline != "" {
			if again, _ := Find(stderr[start:]); again != headline {
				t.Errorf("from its start on it is %q, was %q", again, headline)
			}
		}
	})
}
