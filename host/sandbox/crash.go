package sandbox

import (
	"path"
	"strings"
)

// maxLogged bounds what the log has of the error of an instance, in bytes.
const maxLogged = 1000

// crashOf finds what a program's runtime wrote when it gave up: a panic, a failed
// assertion, an uncaught exception, with the place in the source where that is
// said. It answers one line, and where it begins in what was written; the last
// one counts. "" means that there is none.
func crashOf(written string) (headline string, at int) {
	for end := len(written); end > 0; {
		at := strings.LastIndexByte(written[:end], '\n') + 1
		for _, match := range []func(string) string{goCrash, rustCrash, zigCrash, pythonCrash, scriptCrash, assertion} {
			if headline := match(written[at:]); headline != "" {
				return headline, at
			}
		}
		end = at - 1
	}
	return "", 0
}

// nextLine splits off the first line.
func nextLine(text string) (first, rest string) {
	first, rest, _ = strings.Cut(text, "\n")
	return strings.TrimRight(first, "\r"), rest
}

// placed puts the place, if it is known, behind a text.
func placed(text, place string) string {
	if place == "" {
		return text
	}
	return text + " (" + place + ")"
}

// goCrash reads a panic or fatal error of Go or TinyGo, and the first frame of
// its stack that is neither the runtime's nor the standard library's nor the SDK's:
//
//	panic: runtime error: index out of range [7] with length 3
//
//	goroutine 1 [running]:
//	main.handle(...)
//		example.com/hello/main.go:12 +0x93
func goCrash(text string) string {
	line, rest := nextLine(text)
	line = strings.TrimPrefix(line, "\t") // one that came while another was under way
	if !strings.HasPrefix(line, "panic: ") && !strings.HasPrefix(line, "fatal error: ") {
		return ""
	}
	said, marker, more := strings.Cut(line, " [recovered")
	if more && marker != "]" && marker != ", repanicked]" {
		said = line
	}
	for strings.HasPrefix(rest, "\t") { // the lines of the text after the first are indented
		line, rest = nextLine(rest)
		said += " " + strings.TrimSpace(line)
	}
	_, stack, ok := strings.Cut("\n"+rest, "\ngoroutine ")
	if !ok {
		return said
	}
	_, stack = nextLine(stack)
	place := ""
	for stack != "" && stack[0] != '\n' {
		var function, file string
		function, stack = nextLine(stack)
		if file, stack = nextLine(stack); !strings.HasPrefix(file, "\t") {
			break
		}
		file, _, _ = strings.Cut(strings.TrimSpace(file), " +0x")
		file = path.Join(path.Base(path.Dir(file)), path.Base(file))
		if place == "" {
			place = file
		}
		owner, _, _ := strings.Cut(function, "(")
		first, _, nested := strings.Cut(owner, "/")
		own := strings.HasPrefix(owner, "main.") || nested && strings.Contains(first, ".")
		if own && !strings.HasPrefix(owner, "github.com/berth-host/berth/abi/go.") {
			place = file
			break
		}
	}
	return placed(said, place)
}

// rustCrash reads a panic of Rust:
//
//	thread 'main' panicked at src/lib.rs:5:9:
//	index out of bounds: the len is 3 but the index is 7
//	note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace
func rustCrash(text string) string {
	line, rest := nextLine(text)
	thread, place, ok := strings.Cut(line, " panicked at ")
	if !ok || !strings.HasPrefix(thread, "thread ") {
		return ""
	}
	if before, quoted := strings.CutPrefix(place, "'"); quoted { // before Rust 1.73: 'the text', src/lib.rs:5:9
		if i := strings.LastIndex(before, "', "); i >= 0 {
			return placed("panic: "+before[:i], before[i+3:])
		}
	}
	said := "panic:"
	for rest != "" {
		line, rest = nextLine(rest)
		if line = strings.TrimSpace(line); line == "" || line == "stack backtrace:" || strings.HasPrefix(line, "note: ") {
			break
		}
		said += " " + line
	}
	return placed(said, strings.TrimSuffix(place, ":"))
}

// zigCrash reads a panic of Zig:
//
//	thread 1 panic: index out of bounds: index 3, len 2
//	src/main.zig:5:9: 0x1f2 in handle (main)
func zigCrash(text string) string {
	line, rest := nextLine(text)
	thread, said, ok := strings.Cut(line, " panic: ")
	if !ok || !strings.HasPrefix(thread, "thread ") {
		return ""
	}
	line, _ = nextLine(rest)
	place, _, ok := strings.Cut(line, ": 0x")
	if !ok {
		place = ""
	}
	return placed("panic: "+said, place)
}

// pythonCrash reads an uncaught exception of Python:
//
//	Traceback (most recent call last):
//	  File "handler.py", line 3, in <module>
//	    total = order["total"]
//	KeyError: 'total'
func pythonCrash(text string) string {
	line, rest := nextLine(text)
	if line != "Traceback (most recent call last):" {
		return ""
	}
	place := ""
	for rest != "" {
		line, rest = nextLine(rest)
		if line != "" && line[0] != ' ' {
			return placed(line, place)
		}
		if file, number, ok := strings.Cut(line, "\", line "); ok {
			number, _, _ = strings.Cut(number, ",")
			place = strings.TrimPrefix(strings.TrimSpace(file), "File \"") + ":" + number
		}
	}
	return ""
}

// scriptCrash reads an uncaught error of JavaScript, or of any runtime that shows its stack in that way:
//
//	TypeError: cannot read property 'total' of undefined
//	    at handle (handler.js:3:7)
func scriptCrash(text string) string {
	line, rest := nextLine(text)
	frame, _ := nextLine(rest)
	said, call := strings.TrimSpace(line), strings.TrimLeft(frame, " \t")
	place, ok := strings.CutPrefix(call, "at ")
	if indented := call != frame; !ok || !indented || said == "" || line[0] == ' ' || line[0] == '\t' {
		return ""
	}
	if _, inner, ok := strings.Cut(place, "("); ok {
		place = strings.TrimSuffix(inner, ")")
	}
	return placed(said, place)
}

// assertion takes the lines that say everything themselves: failed assertions of C
// and AssemblyScript, and what C++ and Swift end with.
func assertion(text string) string {
	line, rest := nextLine(text)
	switch {
	case strings.HasPrefix(line, "Assertion failed: "), strings.Contains(line, ": Assertion `"),
		strings.HasPrefix(line, "abort: "), strings.HasPrefix(line, "libc++abi: "), strings.Contains(line, "Fatal error: "):
		return line
	case strings.HasPrefix(line, "terminate called "):
		if what, _ := nextLine(rest); strings.HasPrefix(what, "  what():  ") {
			return line + ": " + strings.TrimPrefix(what, "  what():  ")
		}
		return line
	}
	return ""
}

// lastLine is the last line that is not blank.
func lastLine(written string) string {
	written = strings.TrimRight(written, " \t\r\n")
	return strings.TrimSpace(written[strings.LastIndexByte(written, '\n')+1:])
}

// explain is the message of an attempt that the guest ended itself: one line to
// begin with that says why, then the cause as the runtime has it, then what the
// guest wrote. The first line is the crash that it wrote about, or the cause with
// the last that it wrote.
func explain(cause, written string) string {
	headline, rest, more := strings.Cut(cause, "\n")
	if crash, _ := crashOf(written); crash != "" {
		headline, rest, more = crash, cause, true
	} else if last := lastLine(written); last != "" {
		headline += ": " + last
	}
	message := line([]byte(headline))
	if more {
		message += "\n" + line([]byte(rest)) // the names in a stack are the guest's
	}
	if written != "" && message != written {
		message += "\n" + written
	}
	return message
}

// explainExit is the reason of a stdio guest that gives its verdict by an exit
// code: one line to begin with that says why, then what it wrote, if that is more.
func explainExit(written string) string {
	headline, _ := crashOf(written)
	if headline == "" {
		headline = lastLine(written)
	}
	if headline = line([]byte(headline)); headline == written {
		return headline
	}
	return headline + "\n" + written
}
