package source

import (
	"path"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/ianlancetaylor/demangle"

	"github.com/berth-host/berth/host/event/stack"
	"github.com/berth-host/berth/host/spec"
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
	return stack.Printable(name, maxFunction)
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
	return stack.Printable(name, maxFile+len("…"))
}

// Clean returns the frame without control characters and within bounds, for a frame that a
// guest or a child has reported.
func (f Frame) Clean() Frame {
	f.Function, f.File = stack.Printable(f.Function, maxFunction+len("…")), stack.Printable(f.File, maxFile+len("…"))
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
func (f Frame) Runtime() bool { return stack.Runtime(spec.Frame{Function: f.Function, File: f.File}) }
