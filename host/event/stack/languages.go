package stack

import (
	"slices"
	"strings"

	"github.com/berth-host/berth/host/spec"
)

const pythonStart = "Traceback (most recent call last):"

// python reads what follows pythonStart: frames, the outermost first, and the error.
//
//	  File "handler.py", line 3, in handle
//	    total = order["total"]
//	KeyError: 'total'
func (r *reader) python() (frames []spec.Frame, text string) {
	for r.next < len(r.lines) {
		line := r.peek()
		if line == "" || line[0] != ' ' {
			text = line
			break
		}
		r.next++
		at, ok := strings.CutPrefix(strings.TrimSpace(line), `File "`)
		file, position, named := strings.Cut(at, `", line `)
		if !ok || !named {
			continue
		}
		number, function, _ := strings.Cut(position, ", in ")
		f := spec.Frame{Function: function, File: file, Line: positive(number)}
		if len(frames) == MaxFrames { // the innermost ones are wanted
			frames = slices.Delete(frames, 0, 1)
		}
		frames = add(frames, f)
	}
	slices.Reverse(frames)
	return frames, text
}

// golang reads the calls of a goroutine, two lines each.
//
//	main.handle(...)
//		example.com/hello/main.go:12 +0x93
func (r *reader) golang() (frames []spec.Frame) {
	for r.next+1 < len(r.lines) && r.peek() != "" {
		at := strings.TrimRight(r.lines[r.next+1], "\r")
		if !strings.HasPrefix(at, "\t") {
			break
		}
		function := strings.TrimPrefix(r.take(), "created by ")
		function, _, _ = strings.Cut(function, " in goroutine ")
		if strings.HasSuffix(function, ")") {
			function = function[:strings.LastIndexByte(function, '(')+1]
			function = strings.TrimSuffix(function, "(")
		}
		r.next++
		at, _, _ = strings.Cut(strings.TrimSpace(at), " +0x")
		file, line := location(at)
		frames = add(frames, spec.Frame{Function: function, File: file, Line: line})
	}
	return frames
}

// rust reads a backtrace.
//
//	3: shop::handle
//	          at src/lib.rs:5:9
func (r *reader) rust() (frames []spec.Frame) {
	for r.next < len(r.lines) {
		number, function, ok := strings.Cut(strings.TrimSpace(r.peek()), ": ")
		if !ok || strings.Trim(number, "0123456789") != "" {
			break
		}
		r.next++
		f := spec.Frame{Function: function}
		if at, ok := strings.CutPrefix(strings.TrimSpace(r.peek()), "at "); ok {
			f.File, f.Line = location(at)
			r.next++
		}
		frames = add(frames, f)
	}
	return frames
}

// isCall reports whether a line is a call in the form of the host, JavaScript and Java.
func isCall(line string) bool {
	call := strings.TrimLeft(line, " \t")
	return call != line && strings.HasPrefix(call, "at ")
}

// calls reads calls in that form.
//
//		at handler::explode (src/lib.rs:41)
//	    at handler.js:1:36
//		at shop.Handler.handle(Handler.java:12)
func (r *reader) calls() (frames []spec.Frame) {
	for isCall(r.peek()) {
		call := strings.TrimPrefix(strings.TrimSpace(r.take()), "at ")
		frames = add(frames, callFrame(strings.TrimPrefix(call, "async ")))
	}
	return frames
}

func callFrame(call string) spec.Frame {
	inner, closed := strings.CutSuffix(call, ")")
	if !closed {
		if file, line := location(call); line > 0 {
			return spec.Frame{File: file, Line: line}
		}
		return spec.Frame{Function: call}
	}
	open := strings.LastIndexByte(inner, '(')
	if open < 0 {
		return spec.Frame{Function: call}
	}
	function, inner := strings.TrimSpace(inner[:open]), inner[open+1:]
	file, line := location(inner)
	switch {
	case line > 0 || strings.ContainsAny(file, "./") && !strings.Contains(file, " "):
		return spec.Frame{Function: function, File: file, Line: line}
	case inner == "" || inner == "native" || inner == "Native Method" || inner == "Unknown Source":
		return spec.Frame{Function: function}
	}
	return spec.Frame{Function: call}
}

// isZig reports whether a line is a call in a stack of Zig.
func isZig(line string) bool {
	at, function, ok := strings.Cut(line, ": 0x")
	return ok && strings.Contains(function, " in ") && strings.Contains(at, ".zig:") && line[0] != ' '
}

// zig reads calls in that form, each with a line of source and a mark below it.
//
//	src/main.zig:5:9: 0x1f2 in handle (main)
//	    list[3]
//	        ^
func (r *reader) zig() (frames []spec.Frame) {
	for r.next < len(r.lines) {
		line := r.peek()
		if strings.HasPrefix(line, " ") {
			r.next++
			continue
		}
		if line == "" || !isZig(line) {
			break
		}
		r.next++
		at, address, _ := strings.Cut(line, ": 0x")
		_, function, _ := strings.Cut(address, " in ")
		function, _, _ = strings.Cut(function, " (")
		f := spec.Frame{Function: function}
		f.File, f.Line = location(at)
		frames = add(frames, f)
	}
	return frames
}
