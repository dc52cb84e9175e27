package stack

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/berth-host/berth/host/spec"
)

// shown is a stack as text, with the top frame marked.
func shown(frames []spec.Frame) string {
	top := Top(frames)
	var list []string
	for i := range frames {
		f := &frames[i]
		text := f.Function
		if f.File != "" {
			text += fmt.Sprintf("(%s:%d)", f.File, f.Line)
		}
		if f == top {
			text = "*" + text
		}
		list = append(list, text)
	}
	return strings.Join(list, " ")
}

// messages are those of failed attempts as the host stores them.
var messages = []struct{ name, message, want string }{
	{"nothing", "", ""},
	{"a reason without a stack", "the order has no customer", ""},
	{"C: a trap", "unreachable at explode (explode.c:12)\n\tat explode (explode.c:12)\n\tat run (explode.c:40)", "*explode(explode.c:12) run(explode.c:40)"},
	{"C: no debug information", "unreachable at explode\n\tat explode\n\tat $6", "*explode $6"},
	{"C: a failed assertion", "Assertion failed: total > 0 (handler.c:12)\nunreachable at handle\n\tat handle\n\tat run\nAssertion failed: total > 0 (handler.c: handle: 12)", "*handle run"},
	{"C: exits", "Assertion failed: total > 0 (handler.c:12)\nit exited with code 1\nAssertion failed: total > 0 (handler.c: handle: 12)", "*(handler.c:12)"},
	{"C++", "unreachable at shop::Cart<long>::explode (explode.cpp:7)\n\tat shop::Cart<long>::explode (explode.cpp:7)\n\tat std::__1::f\n\tat (anonymous namespace)::g", "*shop::Cart<long>::explode(explode.cpp:7) std::__1::f (anonymous namespace)::g"},
	{"Rust", "panic: the stock is -3 (src/lib.rs:41:5)\nunreachable at handler::explode (src/lib.rs:41)\n\tat handler::explode (src/lib.rs:41)\n\tat core::ops::function::FnOnce::call_once (/rustc/1/library/core/src/ops/function.rs:250)\n\tat handler::handle (src/lib.rs:12)\nthread 'main' panicked at src/lib.rs:41:5:\nthe stock is -3",
		"*handler::explode(src/lib.rs:41) core::ops::function::FnOnce::call_once(/rustc/1/library/core/src/ops/function.rs:250) handler::handle(src/lib.rs:12)"},
	{"Rust: a backtrace", "panic: boom (p.rs:5:14)\nit exited with code 101\nthread 'main' panicked at p.rs:5:14:\nboom\nstack backtrace:\n   0: __rustc::rust_begin_unwind\n             at /rustc/5980/library/std/src/panicking.rs:689:5\n   3: p::main\n             at ./p.rs:5:14\n   4: x\nnote: some",
		"__rustc::rust_begin_unwind(/rustc/5980/library/std/src/panicking.rs:689) *p::main(./p.rs:5) x"},
	{"Go", "panic: no ledger (hello/main.go:12)\nit exited with code 2\npanic: no ledger\n\ngoroutine 1 [running]:\nstrings.Repeat({0x2beb0, 0x1}, 0xff)\n\tstrings/strings.go:628 +0xbc\nexample.com/hello/rules.(*Rule).Apply(...)\n\texample.com/hello/rules/rule.go:8\nmain.main()\n\texample.com/hello/main.go:12 +0x93\ncreated by main.start in goroutine 1\n\texample.com/hello/main.go:9 +0x1\n",
		"strings.Repeat(strings/strings.go:628) *example.com/hello/rules.(*Rule).Apply(example.com/hello/rules/rule.go:8) main.main(example.com/hello/main.go:12) main.start(example.com/hello/main.go:9)"},
	{"Go: in the SDK, signal, Windows", "panic: nil (orders/handle.go:9)\r\nit exited with code 2\r\npanic: nil\r\n[signal 0xb code=0x0]\r\n\r\ngoroutine 1 [running]:\r\ngithub.com/berth-host/berth/abi/go.(*Event).Raw(0x1, {0x1})\r\n\tgithub.com/berth-host/berth/abi/go/event.go:66 +0x1\r\norders.Handle(0x1)\r\n\t/home/me/orders/handle.go:9 +0x4\r\n",
		"github.com/berth-host/berth/abi/go.(*Event).Raw(github.com/berth-host/berth/abi/go/event.go:66) *orders.Handle(/home/me/orders/handle.go:9)"},
	{"TinyGo", "panic: runtime error: nil pointer dereference\nunreachable at runtime.runtimePanic\n\tat runtime.runtimePanic\n\tat main.handle\npanic: runtime error: nil pointer dereference", "runtime.runtimePanic *main.handle"},
	{"Zig", "panic: index out of bounds: index 3, len 2 (src/main.zig:5:9)\nit exited with code 1\nthread 1 panic: index out of bounds: index 3, len 2\n/usr/lib/zig/lib/std/debug.zig:1:2: 0x1 in panic (main)\nsrc/main.zig:5:9: 0x1f2 in handle (main)\n    list[3]\n        ^\nsrc/main.zig:20:1: 0x3 in run (main)\n",
		"panic(/usr/lib/zig/lib/std/debug.zig:1) *handle(src/main.zig:5) run(src/main.zig:20)"},
	{"Python", "KeyError: 'total' (handler.py:3)\nunreachable at mp_raise\n\tat mp_raise\n\tat mp_execute_bytecode\nTraceback (most recent call last):\n  File \"berth.py\", line 340, in _run\n  File \"handler.py\", line 9, in handle\n    check(order)\n  File \"handler.py\", line 3, in check\n    total = order[\"total\"]\nKeyError: 'total'",
		"*check(handler.py:3) handle(handler.py:9) _run(berth.py:340)"},
	{"Python: the standard library", "ValueError: x (handler.py:3)\nit exited with code 1\nTraceback (most recent call last):\n  File \"handler.py\", line 3, in <module>\n    json.loads(x)\n  File \"/lib/python3.14/json/decoder.py\", line 345, in decode\nValueError: x",
		"decode(/lib/python3.14/json/decoder.py:345) *<module>(handler.py:3)"},
	{"Python: during another error", "B: two (h.py:4)\nit exited with code 1\nTraceback (most recent call last):\n  File \"h.py\", line 2, in f\nA: one\n\nDuring handling of the above exception, another exception occurred:\n\nTraceback (most recent call last):\n  File \"h.py\", line 4, in f\nB: two", "*f(h.py:4)"},
	{"JavaScript", "Uncaught TypeError: boom (handler.js:3:7)\nit exited with code 1\nUncaught TypeError: boom\n    at JSON.parse (native)\n    at async handle (handler.js:3:7)\n    at handler.js:9:1\n    at <anonymous> (handler.js:10)",
		"JSON.parse *handle(handler.js:3) (handler.js:9) <anonymous>(handler.js:10)"},
	{"Java", "java.lang.IllegalStateException: the stock is -3 (Handler.java:41)\nunreachable at teavm_throw\n\tat teavm_throw\nException in thread \"main\" java.lang.IllegalStateException: the stock is -3\n\tat java.util.Objects.check(Objects.java:7)\n\tat shop.Handler.explode(Handler.java:41)\n\tat shop.Handler.handle()\n\tat x.Y.z(Unknown Source)\n\tat berth.Berth.run(Berth.java:20)",
		"java.util.Objects.check(Objects.java:7) *shop.Handler.explode(Handler.java:41) shop.Handler.handle x.Y.z berth.Berth.run(Berth.java:20)"},
	{"AssemblyScript", "abort: the stock is -3 (explode.ts:30:5)\n\tat explode/sell (explode.ts:30)\n\tat explode/run (explode.ts)", "*explode/sell(explode.ts:30) explode/run(explode.ts:0)"},
	{"Swift", "main/main.swift:3: Fatal error: Index out of range\nunreachable at $s4main6handle\n\tat $s4main6handle\n\tat main (main.swift:9)", "*$s4main6handle main(main.swift:9)"},
	{"a stack of another error", "it ran longer than 5s (limits.timeout)\nTraceback (most recent call last):\n  File \"h.py\", line 2, in f\nA: one\nstill at work", ""},
	{"a logged stack in the place of the host's", "it ran longer than 5s (limits.timeout)\nError: slow\n    at f (h.js:1:2)", ""},
	{"a host's frame with a function as a type", "unreachable at f\n\tat debug.FullPanic((function 'defaultPanic')).integerOverflow\n\tat f", "debug.FullPanic((function 'defaultPanic')).integerOverflow *f"},
	{"only runtime", "stopped\n\tat abort\n\tat exit", "abort exit"},
	{"control characters", "x\n\tat a\x1b[31mb (c\x00d.c:3)", "*a?[31mb(c?d.c:3)"},
	{"cut within a traceback", "A (h.py:1)\nx\nTraceback (most recent call last):\n  File \"h.py\", line", "*(h.py:1)"},
}

func TestParse(t *testing.T) {
	for _, tt := range messages {
		if got := shown(Parse(tt.message)); got != tt.want {
			t.Errorf("%s:\n got %s\nwant %s", tt.name, got, tt.want)
		}
	}
}

// Of a deep stack the innermost frames are returned, in every form.
func TestDeepStacksAreBounded(t *testing.T) {
	var host, python, golang strings.Builder
	host.WriteString("x")
	python.WriteString("E: x (h.py:1)\ny\nTraceback (most recent call last):\n")
	golang.WriteString("panic: x (a/m.go:1)\ny\npanic: x\n\ngoroutine 1 [running]:\n")
	const n = 100
	for i := range n {
		fmt.Fprintf(&host, "\n\tat f%d (a.c:%d)", i, i+1)
		fmt.Fprintf(&python, "  File \"h.py\", line %d, in f%d\n", n-i, n-1-i)
		fmt.Fprintf(&golang, "main.f%d()\n\ta/m.go:%d +0x1\n", i, i+1)
	}
	python.WriteString("E: x\n")
	for _, message := range []string{host.String(), python.String(), golang.String()} {
		frames := Parse(message)
		if len(frames) != MaxFrames {
			t.Fatalf("%d frames", len(frames))
		}
		for i, f := range frames {
			if !strings.HasSuffix(f.Function, fmt.Sprintf("f%d", i)) || f.Line != i+1 {
				t.Errorf("frame %d is %+v", i, f)
			}
		}
	}
}

func TestLocation(t *testing.T) {
	for headline, want := range map[string]string{
		"panic: x (a/b.go:12)":          "a/b.go 12",
		"abort: x (a.ts:5:9)":           "a.ts 5",
		"x at f (a.c:3)":                "a.c 3",
		"x (in f a.c:3)":                "a.c 3",
		"x (a.c:0)":                     " 0",
		"x (a.c:-1)":                    " 0",
		"x (:3)":                        " 0",
		"x (a.c)":                       " 0",
		"x":                             " 0",
		"SyntaxError: boom (native)":    " 0",
		"panic: f()":                    " 0",
		"x (explode, handler.c:21)":     "handler.c 21",
		"x (x:y)":                       " 0",
		"a) (b":                         " 0",
		")":                             " 0",
		"":                              " 0",
		"(a.c:99999999999999999999999)": " 0",
	} {
		if file, line := Location(headline); fmt.Sprint(file, " ", line) != want {
			t.Errorf("%s: got %s %d, want %s", headline, file, line, want)
		}
	}
}

func TestNormalise(t *testing.T) {
	for _, tt := range []struct{ headline, want string }{
		{"", ""},
		{"the order has no customer", "the order has no customer"},
		{"panic: index out of range [252] with length 0 (zz/main.go:33)", "panic: index out of range [<n>] with length <n>"},
		{"the stock is -3", "the stock is <n>"},
		{"order ord_12ab is unknown\nmore", "order ord_<n> is unknown"},
		{"order C-1042 is 0x7f of 1.5 or 1,500 bytes", "order C-<n> is <n> of <n> or <n> bytes"},
		{"took 850ms, not 1.5s", "took <n>, not <n>"},
		{"at 2026-11-29T14:55:24.123Z for 10.0.0.1:80", "at <n> for <n>"},
		{"event f47ac10b-58cc-4372-a567-0e02b2c3d479 and abcdefab-cdef-abcd-efab-cdefabcdefab", "event <n> and abcdefab-cdef-abcd-efab-cdefabcdefab"},
		{"event abcdefab-cdef-4bcd-efab-cdefabcdefab-", "event abcdefab-cdef-<n>-efab-cdefabcdefab-"},
		{"event abcdefab-cdef-4bcd-efab-cdefabcdefab", "event <n>"},
		{"KeyError: 'total' (handler.py:3)", "KeyError: '…'"},
		{`cannot read "a b" of "c`, `cannot read "…" of "c`},
		{"it can't be the customer's", "it can't be the customer's"},
		{"assertion `left == right` failed: left: 1", "assertion `left == right` failed: left: <n>"},
		{"größe 12 € fehlt", "größe <n> € fehlt"},
		{"  blank before", "blank before"},
		{"x_1_y_2_z", "x_<n>_z"},
	} {
		if got := Normalise(tt.headline); got != tt.want {
			t.Errorf("%q: got %q, want %q", tt.headline, got, tt.want)
		}
	}
}

// Failures that differ in their values only have one headline.
func TestValuesDoNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		value := func() string {
			return rapid.OneOf(rapid.StringMatching(`-?[0-9]{1,12}(\.[0-9]{1,4})?`), rapid.StringMatching(`[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}`),
				rapid.StringMatching(`0x[0-9a-f]{1,16}`), rapid.StringMatching(`[0-9][a-z0-9]{0,20}`)).Draw(t, "value")
		}
		quote := rapid.StringMatching(`[^'\n]{0,20}`)
		headline := func() string {
			return fmt.Sprintf("order %s of '%s' failed with %s (h.py:%d)", value(), quote.Draw(t, "quoted"), value(), rapid.IntRange(1, 999).Draw(t, "line"))
		}
		if a, b := headline(), headline(); Normalise(a) != Normalise(b) {
			t.Fatalf("%q and %q differ: %q and %q", a, b, Normalise(a), Normalise(b))
		}
	})
}

func FuzzStack(f *testing.F) {
	for _, m := range messages {
		f.Add(m.message)
	}
	f.Fuzz(func(t *testing.T, message string) {
		frames := Parse(message)
		if len(frames) > MaxFrames {
			t.Fatalf("%d frames", len(frames))
		}
		for _, fr := range frames {
			if fr == (spec.Frame{}) || fr.Line < 0 || len(fr.Function) > maxFunction+len("…") || len(fr.File) > maxFile+len("…") ||
				strings.ContainsFunc(fr.Function+fr.File, func(r rune) bool { return r < ' ' || r == utf8.RuneError }) {
				t.Fatalf("the frame %+v", fr)
			}
		}
		if top := Top(frames); top != nil && !slices.Contains(frames, *top) {
			t.Fatalf("the top frame %+v is not in the stack", top)
		}
		once := Normalise(message)
		if len(once) > MaxNormal+len("…") || strings.ContainsAny(once, "0123456789\n") {
			t.Fatalf("normalised to %q", once)
		}
		if again := Normalise(once); again != once {
			t.Fatalf("%q becomes %q", once, again)
		}
	})
}
