package source

import (
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/berth-host/berth/host/event/stack"
	"github.com/berth-host/berth/host/sandbox/meter"
)

// Stack is the stack of a guest that failed, the innermost call first.
type Stack struct {
	Cause string // as the engine names it, such as unreachable; "" if the host stopped the guest
	// Reported is where the guest itself says that it failed: the line of its own function if
	// only the file is known. It need not be set.
	Reported Frame
	calls    []traced
}

// traced is one call in the engine's trace.
type traced struct {
	function string // as the guest's name section has it, until it is demangled
	offset   uint64 // in the metered code
	known    bool   // offset is set
	frames   []Frame

	demangled bool
}

const (
	traceHead = "wasm stack trace:"
	maxCalls  = 40 // more than the engine reports
)

// Parse reads the error of a call into a guest that imports so many functions. ok is false if
// it has no trace.
func Parse(text string, imports int) (s Stack, ok bool) {
	head, trace, ok := strings.Cut(text, traceHead)
	if !ok {
		return s, false
	}
	head = strings.TrimSpace(head)
	if cause, wasm := strings.CutPrefix(head, "wasm error: "); wasm {
		s.Cause = cause
	}
	for line := range strings.SplitSeq(strings.TrimLeft(trace, "\n"), "\n\t") {
		line = strings.TrimPrefix(line, "\t")
		if offset, is := meter.TraceOffset(line); is && len(s.calls) > 0 {
			last := &s.calls[len(s.calls)-1]
			last.offset, last.known = offset, true
			continue
		}
		if line = strings.TrimSpace(line); line == "" || len(s.calls) == maxCalls || strings.HasPrefix(line, "...") {
			continue
		}
		s.calls = append(s.calls, traced{function: functionName(line, imports)})
	}
	return s, true
}

// functionName is the name in a line of the engine: module.name(parameters) results. The
// guest's module has no name. A function without one has its number: $7 in the metered
// module is $6 in the guest's, which has not the import that meter adds behind its own.
func functionName(line string, imports int) string {
	for range 2 { // results, if there are several, and parameters
		at := strings.LastIndexByte(line, '(')
		if at < 0 || !isSignature(line[at:]) {
			break
		}
		several := strings.HasSuffix(line[:at], " ")
		if line = line[:at]; !several {
			break
		}
	}
	name := strings.TrimPrefix(strings.TrimRight(line, " "), ".")
	if number, is := strings.CutPrefix(name, "$"); is {
		if n, err := strconv.Atoi(number); err == nil && n > imports {
			return "$" + strconv.Itoa(n-1)
		}
	}
	return withoutParameters(name)
}

// withoutParameters removes the parameters from a name that the linker has demangled.
func withoutParameters(name string) string {
	if !strings.HasSuffix(name, ")") {
		return name
	}
	depth := 0
	for at := len(name) - 1; at > 0; at-- {
		switch name[at] {
		case ')':
			depth++
		case '(':
			if depth--; depth == 0 {
				return name[:at]
			}
		}
	}
	return name
}

// isSignature reports whether text has only value types, commas, spaces and parentheses.
func isSignature(text string) bool {
	for _, word := range strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune("(), ", r) }) {
		switch word {
		case "i32", "i64", "f32", "f64", "v128", "funcref", "externref":
		default:
			return false
		}
	}
	return true
}

// Unknown returns what is not known yet: offsets without frames and mangled names, each once.
func (s *Stack) Unknown() (q Query) {
	for _, c := range s.calls {
		if c.known && c.frames == nil && !slices.Contains(q.Offsets, c.offset) {
			q.Offsets = append(q.Offsets, c.offset)
		}
		if !c.demangled && isMangled(c.function) && !slices.Contains(q.Names, c.function) {
			q.Names = append(q.Names, c.function)
		}
	}
	return q
}

// Fill sets the frames of offsets, and demangles names.
func (s *Stack) Fill(frames map[uint64][]Frame, names map[string]string) {
	for i := range s.calls {
		c := &s.calls[i]
		if c.known && c.frames == nil {
			c.frames = frames[c.offset]
		}
		if name, ok := names[c.function]; ok && !c.demangled {
			c.function, c.demangled = name, true
		}
	}
}

// Frames returns the frames from the guest's own function on: those above it, with which
// the runtime of its language reports a panic, are skipped unless there are no others. So are
// functions of a library that were inlined between the guest's own.
func (s *Stack) Frames() []Frame {
	var all []Frame
	own := -1
	for _, c := range s.calls {
		frames := c.frames
		if len(frames) == 0 {
			frames = []Frame{{}}
		}
		if last := frames[len(frames)-1]; last.Inlined && c.function != "" && !sameFunction(c.function, last.Function) {
			frames = append(frames[:len(frames):len(frames)], Frame{})
		}
		for i, f := range frames {
			if f.Again {
				continue
			}
			if compiled := i == len(frames)-1; compiled && betterName(c.function, f.Function) {
				f.Function = stack.Printable(c.function, maxFunction+len("…"))
			}
			if own >= 0 && i < len(frames)-1 && f.Runtime() {
				continue // a closure's call, an iterator
			}
			if own < 0 && !f.Runtime() {
				own = len(all)
				if r := s.Reported; f.Line == 0 && r.Line > 0 && f.File == r.File {
					f.Line, f.Column = r.Line, r.Column
				}
			}
			all = append(all, f)
		}
	}
	return all[max(own, 0):]
}

// sameFunction reports whether a name of the compiler of AssemblyScript, such as
// index/Cart<i32>#get:total or index/sum~anonymous|0, is that of a function in its source.
func sameFunction(compiled, source string) bool {
	return plainName(compiled) == plainName(source)
}

// plainName is a name without type arguments and other marks of the compiler.
func plainName(name string) string {
	name, _, _ = strings.Cut(name, "~anonymous")
	var b strings.Builder
	depth := 0
	for _, c := range name {
		switch {
		case c == '<':
			depth++
		case c == '>':
			depth--
		case depth == 0 && c == '.':
			b.WriteRune('#')
		case depth == 0:
			b.WriteRune(c)
		}
	}
	return strings.NewReplacer("#get:", "#", "#set:", "#").Replace(b.String())
}

// betterName reports whether a function's name in the trace says more than that in the debug
// information, which may be without its namespace. The linker writes names of C++ with
// types.
func betterName(inTrace, inDebug string) bool {
	return inDebug == "" || inTrace != "" && !strings.HasPrefix(inTrace, "$") && (!strings.ContainsAny(inTrace, "( ") || strings.Contains(inTrace, " as "))
}

// Text returns the frames, a line each.
func (s *Stack) Text() string {
	var b strings.Builder
	for i, f := range s.Frames() {
		if i == maxCalls {
			b.WriteString("\n\t…")
			break
		}
		b.WriteString("\n\tat ")
		b.WriteString(f.String())
	}
	return b.String()
}

// Headline returns what happened and where.
func (s *Stack) Headline() string {
	headline := stack.Printable(s.Cause, maxFunction)
	if frames := s.Frames(); len(frames) > 0 {
		headline += " at " + frames[0].String()
	}
	return strings.TrimLeftFunc(headline, unicode.IsSpace)
}

// Location returns where the guest's own function was: file:line, or "".
func (s *Stack) Location() string {
	if frames := s.Frames(); len(frames) > 0 && frames[0].Line > 0 {
		return frames[0].Location()
	}
	return ""
}
