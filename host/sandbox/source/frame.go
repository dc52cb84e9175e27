package source

import (
	"path"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/ianlancetaylor/demangle"
)

// Frame is a call, as the source has it.
type Frame struct {
	Function string `json:"function,omitempty"` // as people write it; "" if unknown
	File     string `json:"file,omitempty"`     // relative to the guest's project if it is in there; "" if unknown
	Line     int    `json:"line,omitempty"`     // 0 if unknown
	Column   int    `json:"column,omitempty"`   // likewise
	Inlined  bool   `json:"inlined,omitempty"`  // the function may be inlined in the one that was compiled
	Again    bool   `json:"again,omitempty"`    // no call of the guest's: metering calls the function above anew
}

const (
	maxFunction = 400 // bytes of a function's name
	maxFile     = 200 // bytes of a file's name, of which the end is kept
	maxMangled  = 1 << 10
	maxInlined  = 16 // frames of one offset
)

// Location returns file and line, or "".
func (f Frame) Location() string {
	if f.File == "" || f.Line <= 0 {
		return f.File
	}
	return f.File + ":" + strconv.Itoa(f.Line)
}

// String returns the frame for people.
func (f Frame) String() string {
	location := f.Location()
	switch {
	case f.Function == "":
		return location
	case location == "":
		return f.Function
	}
	return f.Function + " (" + location + ")"
}

// isMangled reports whether a name is one of Rust or C++ that Demangle may know.
func isMangled(name string) bool {
	return len(name) <= maxMangled && (strings.HasPrefix(name, "_Z") || strings.HasPrefix(name, "_R") || strings.HasPrefix(name, "__Z"))
}

// Demangle returns a function's name as people write it: the names of Rust and C++ are
// demangled, without parameters. It returns other names unchanged. There are names for which
// it takes exponential time: it is called in a process with limits, like Resolve.
func Demangle(name string) string {
	if isMangled(name) {
		name = demangle.Filter(name, demangle.NoParams, demangle.NoClones, demangle.MaxLength(12))
	}
	return printable(name, maxFunction)
}

// printable returns text in one line of at most limit bytes without control characters.
func printable(text string, limit int) string {
	if len(text) > limit {
		text = text[:limit]
		for len(text) > 0 && !utf8.ValidString(text[max(0, len(text)-utf8.UTFMax):]) && !utf8.RuneStart(text[len(text)-1]) {
			text = text[:len(text)-1]
		}
		text += "…"
	}
	return strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, text)
}

// fileName returns a file's name relative to the directory of its compilation.
func fileName(name, dir string) string {
	name = strings.ReplaceAll(name, "\\", "/")
	if name == "" {
		return ""
	}
	name = path.Clean(name)
	if dir = path.Clean(strings.ReplaceAll(dir, "\\", "/")); dir != "." {
		if below, ok := strings.CutPrefix(name, strings.TrimSuffix(dir, "/")+"/"); ok {
			name = below
		}
	}
	if len(name) > maxFile {
		cut := len(name) - maxFile
		for cut < len(name) && !utf8.RuneStart(name[cut]) {
			cut++
		}
		name = "…" + name[cut:]
	}
	return printable(name, maxFile+len("…"))
}

// Clean returns the frame without control characters and within bounds, for a frame that a
// guest or a child has reported.
func (f Frame) Clean() Frame {
	f.Function, f.File = printable(f.Function, maxFunction+len("…")), printable(f.File, maxFile+len("…"))
	if f.Line < 0 || f.Line > 1<<30 {
		f.Line = 0
	}
	if f.Column < 0 || f.Column > 1<<30 {
		f.Column = 0
	}
	return f
}

// Runtime reports whether a frame is the report of a panic by the runtime of its language,
// or a function of the host, by the names of its function and file. Such frames are above
// the guest's own function in a stack.
func (f Frame) Runtime() bool {
	switch f.Function {
	case "abort", "__assert_fail", "__libcpp_verbose_abort", "abort_message", "demangling_terminate_handler", "_Exit", "exit",
		"rust_begin_unwind", "rust_panic", "panic", "builtin.default_panic", "~lib/builtins/abort", "posix.abort":
		return true
	}
	for _, beginning := range []string{
		"berth_meter.", "berth_v1.", "env.abort", "wasi_snapshot_preview1.", "__wasi_", // the host, and calls of it
		"berth_panic",                                                                                        // the SDK for C
		"core::", "std::panicking::", "std::process::", "std::sys::", "std::alloc::", "std::rt::", "alloc::", // Rust
		"__rustc", "__rust_", "__rdl_", "<core::", "<alloc::", "<std::",
		"__cxa_", "std::terminate", "std::__", "__cxxabiv1::", // C++
		"debug.defaultPanic", "debug.FullPanic", "debug.panic", // Zig
	} {
		if strings.HasPrefix(f.Function, beginning) {
			return true
		}
	}
	if strings.HasPrefix(f.File, "berth/") { // where a project has its copy of the SDK
		return true
	}
	for _, part := range []string{"/rustc/", "/library/core/src/", "/library/std/src/", "/library/alloc/src/", "/~lib/", "/lib/std/"} {
		if strings.Contains("/"+f.File, part) {
			return true
		}
	}
	return false
}
