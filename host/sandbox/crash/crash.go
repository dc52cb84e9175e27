// Package crash finds the crash report that a program's runtime wrote: a panic, a failed
// assertion or an uncaught exception, with its location in the source. It knows Go, TinyGo,
// Rust, Zig, Python, JavaScript, Java, C, C++, Swift and AssemblyScript.
// Tail keeps the end of an output in which such a report is looked for.
package crash

import (
	"path"
	"strings"

	"github.com/berth-host/berth/host/event/stack"
	"github.com/berth-host/berth/host/spec"
)

// Find returns the last crash in a program's output: its headline, which is one line, and
// where its report starts. The headline is "" when there is none.
func Find(written string) (headline string, start int) {
	for end := len(written); end > 0; {
		start := strings.LastIndexByte(written[:end], '\n') + 1
		for _, match := range []func(string) string{goCrash, rustCrash, zigCrash, pythonCrash, scriptCrash, assertion} {
			if headline := match(written[start:]); headline != "" {
				return headline, start
			}
		}
		end = start - 1
	}
	return "", 0
}

// nextLine splits off the first line.
func nextLine(text string) (first, following string) {
	first, following, _ = strings.Cut(text, "\n")
	return strings.TrimRight(first, "\r"), following
}

// located appends the location, if it is known, to a text.
func located(text, location string) string {
	if location == "" {
		return text
	}
	return text + " (" + location + ")"
}

// goCrash reads a panic or fatal error of Go or TinyGo, and the first frame of
// its stack that is neither the runtime's nor the standard library's nor the SDK's:
//
//	panic: runtime error: index out of range [7] with length 3
//
//	goroutine 1 [running]:
//	main.handle(...)
//		example.com/hello/main.go:12 +0x93
func goCrash(written string) string {
	line, following := nextLine(written)
	line = strings.TrimPrefix(line, "\t") // a panic during another one
	if !strings.HasPrefix(line, "panic: ") && !strings.HasPrefix(line, "fatal error: ") {
		return ""
	}
	text, marker, more := strings.Cut(line, " [recovered")
	if more && marker != "]" && marker != ", repanicked]" {
		text = line
	}
	for strings.HasPrefix(following, "\t") { // further lines of the text are indented
		line, following = nextLine(following)
		text += " " + strings.TrimSpace(line)
	}
	_, calls, ok := strings.Cut("\n"+following, "\ngoroutine ")
	if !ok {
		return located(text, zigLocation(following))
	}
	_, calls = nextLine(calls)
	location := ""
	for calls != "" && calls[0] != '\n' {
		var function, file string
		function, calls = nextLine(calls)
		if file, calls = nextLine(calls); !strings.HasPrefix(file, "\t") {
			break
		}
		file, _, _ = strings.Cut(strings.TrimSpace(file), " +0x")
		file = path.Join(path.Base(path.Dir(file)), path.Base(file))
		if location == "" {
			location = file
		}
		owner, _, _ := strings.Cut(function, "(")
		if name, _, _ := strings.Cut(file, ":"); !stack.Runtime(spec.Frame{Function: owner, File: name}) {
			location = file
			break
		}
	}
	return located(text, location)
}

// rustCrash reads a panic of Rust:
//
//	thread 'main' panicked at src/lib.rs:5:9:     (without a standard library: panicked at …)
//	index out of bounds: the len is 3 but the index is 7
//	note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace
func rustCrash(written string) string {
	line, following := nextLine(written)
	location, ok := strings.CutPrefix(line, "panicked at ")
	if !ok {
		var thread string
		if thread, location, ok = strings.Cut(line, " panicked at "); !ok || !strings.HasPrefix(thread, "thread ") {
			return ""
		}
	}
	if before, quoted := strings.CutPrefix(location, "'"); quoted { // before Rust 1.73: 'the text', src/lib.rs:5:9
		if i := strings.LastIndex(before, "', "); i >= 0 {
			return located("panic: "+before[:i], before[i+3:])
		}
	}
	text := "panic:"
	for following != "" {
		line, following = nextLine(following)
		if line = strings.TrimSpace(line); line == "" || line == "stack backtrace:" || strings.HasPrefix(line, "note: ") {
			break
		}
		text += " " + line
	}
	return located(text, strings.TrimSuffix(location, ":"))
}

// zigCrash reads a panic of Zig:
//
//	thread 1 panic: index out of bounds: index 3, len 2     (with one thread: panic: …, as Go)
//	src/main.zig:5:9: 0x1f2 in handle (main)
func zigCrash(written string) string {
	line, following := nextLine(written)
	thread, text, ok := strings.Cut(line, " panic: ")
	if !ok || !strings.HasPrefix(thread, "thread ") {
		return ""
	}
	return located("panic: "+text, zigLocation(following))
}

// zigLocation is the location in the first line of a stack of Zig.
func zigLocation(stack string) string {
	line, _ := nextLine(stack)
	location, _, ok := strings.Cut(line, ": 0x")
	if !ok {
		return ""
	}
	return location
}

// pythonCrash reads an uncaught exception of Python:
//
//	Traceback (most recent call last):
//	  File "handler.py", line 3, in <module>
//	    total = order["total"]
//	KeyError: 'total'
func pythonCrash(written string) string {
	line, following := nextLine(written)
	if line != "Traceback (most recent call last):" {
		return ""
	}
	location := ""
	for following != "" {
		line, following = nextLine(following)
		if line != "" && line[0] != ' ' {
			return located(line, location)
		}
		if file, number, ok := strings.Cut(line, "\", line "); ok {
			number, _, _ = strings.Cut(number, ",")
			location = strings.TrimPrefix(strings.TrimSpace(file), "File \"") + ":" + number
		}
	}
	return ""
}

// scriptCrash reads an uncaught error of JavaScript or Java, or of any runtime with stacks in
// that format, and the first frame that has a line and is not the runtime's:
//
//	TypeError: cannot read property 'total' of undefined
//	    at handle (handler.js:3:7)
//
//	java.lang.IllegalStateException: no ledger
//		at shop.Handler.handle(Handler.java:12)
func scriptCrash(written string) string {
	line, following := nextLine(written)
	text := strings.TrimSpace(line)
	if text == "" || line[0] == ' ' || line[0] == '\t' {
		return ""
	}
	text = strings.TrimPrefix(text, `Exception in thread "main" `)
	location, found, frames := "", false, 0
	for following != "" && !found {
		line, following = nextLine(following)
		call := strings.TrimLeft(line, " \t")
		at, ok := strings.CutPrefix(call, "at ")
		if !ok || call == line { // frames are indented
			break
		}
		frames++
		runtime := strings.HasPrefix(at, "java.") || strings.HasPrefix(at, "kotlin.") || strings.HasPrefix(at, "org.teavm.")
		if _, inner, ok := strings.Cut(at, "("); ok {
			at = strings.TrimSuffix(inner, ")")
		}
		_, number, _ := strings.Cut(at, ":")
		if found = number != "" && !runtime; found || location == "" {
			location = at
		}
	}
	if frames == 0 {
		return ""
	}
	return located(text, location)
}

// outOfMemory is what a handler in Java writes last, behind its stack, when its heap is full.
const outOfMemory = "Out of memory"

// assertion reads failed assertions of C and AssemblyScript, and the last lines of C++, Swift
// and Java without memory.
func assertion(written string) string {
	line, following := nextLine(written)
	switch {
	case line == outOfMemory && strings.TrimSpace(following) == "":
		return line
	case strings.HasPrefix(line, "abort: "): // abort: text in file.ts(5:9)
		if i := strings.LastIndex(line, " in "); i >= 0 {
			file, position, ok := strings.Cut(line[i+len(" in "):], "(")
			if position, closed := strings.CutSuffix(position, ")"); ok && closed && strings.Contains(position, ":") {
				return located(line[:i], file+":"+position)
			}
		}
		return line
	case strings.HasPrefix(line, "Assertion failed: "): // Assertion failed: text (file.c: function: 5)
		if i := strings.LastIndex(line, " ("); i >= 0 {
			if parts := strings.Split(strings.TrimSuffix(line[i+len(" ("):], ")"), ": "); len(parts) == 3 {
				return located(line[:i], parts[0]+":"+parts[2])
			}
		}
		return line
	case strings.Contains(line, ": Assertion `"), strings.HasPrefix(line, "libc++abi: "), strings.Contains(line, "Fatal error: "):
		return line
	case strings.HasPrefix(line, "terminate called "):
		if what, _ := nextLine(following); strings.HasPrefix(what, "  what():  ") {
			return line + ": " + strings.TrimPrefix(what, "  what():  ")
		}
		return line
	}
	return ""
}
