package stack

import (
	"slices"
	"strings"

	"github.com/berth-host/berth/host/spec"
)

// Runtime reports whether a frame is a function of the host, of the runtime or the standard
// library of a guest's language, or of the SDK, by the names of its function and file.
func Runtime(f spec.Frame) bool {
	if slices.Contains(panics, f.Function) {
		return true
	}
	begins := func(name string) func(string) bool {
		return func(beginning string) bool { return strings.HasPrefix(name, beginning) }
	}
	if slices.ContainsFunc(functions, begins(f.Function)) || slices.ContainsFunc(files, begins(f.File)) {
		return true
	}
	file := "/" + f.File
	if slices.ContainsFunc(folders, func(part string) bool { return strings.Contains(file, part) }) {
		return true
	}
	switch {
	case strings.HasSuffix(f.File, ".go"):
		return goRuntime(f)
	case f.File == "" && strings.HasPrefix(f.Function, "runtime."): // of Go, without debug information
		return true
	case strings.HasSuffix(f.File, ".java"), f.File == "", strings.HasSuffix(f.File, ".kt"):
		return slices.ContainsFunc(javaPackages, begins(f.Function))
	}
	return false
}

// panics are the functions with which a runtime reports a failure.
var panics = []string{"abort", "__assert_fail", "__libcpp_verbose_abort", "abort_message", "demangling_terminate_handler", "_Exit", "exit",
	"rust_begin_unwind", "rust_panic", "panic", "builtin.default_panic", "~lib/builtins/abort", "posix.abort"}

// functions are the beginnings of the names of functions.
var functions = []string{
	"berth_meter.", "berth_v1.", "env.abort", "wasi_snapshot_preview1.", "__wasi_", // the host, and calls of it
	"berth_panic",                                                                                        // the SDK for C
	"core::", "std::panicking::", "std::process::", "std::sys::", "std::alloc::", "std::rt::", "alloc::", // Rust
	"__rustc", "__rust_", "__rdl_", "<core::", "<alloc::", "<std::",
	"__cxa_", "std::terminate", "std::__", "__cxxabiv1::", // C++
	"debug.defaultPanic", "debug.FullPanic", "debug.panic", // Zig
	"JSON.", // JavaScript
}

// files are the beginnings of the names of files: the copies of the SDK in a project, and
// what the runtimes of Python and JavaScript have built in.
var files = []string{"berth/", "berth.py", "berth.js", "berth.zig", "<frozen ", "<stdin>", "node:", "native"}

// folders are parts of the paths of standard libraries and the SDK.
var folders = []string{"/rustc/", "/library/core/src/", "/library/std/src/", "/library/alloc/src/", "/~lib/", "/lib/std/", "/lib/python3",
	"/site-packages/berth/"}

var javaPackages = []string{"java.", "javax.", "kotlin.", "org.teavm.", "berth."}

// goRuntime reports whether a frame of Go is the standard library's or the SDK's.
func goRuntime(f spec.Frame) bool {
	if strings.HasPrefix(f.Function, "github.com/berth-host/berth/abi/go.") || strings.Contains(f.File, "/go/src/") {
		return true
	}
	first := f.Function
	if i := strings.IndexAny(first, "/.("); i >= 0 {
		first = first[:i]
	}
	return slices.Contains(goPackages, first) && !strings.Contains(strings.SplitN(f.Function, "/", 2)[0], ".go")
}

// goPackages are the first elements of the paths of Go's standard library.
var goPackages = strings.Fields("archive bufio bytes cmp compress container context crypto database debug embed encoding errors expvar flag " +
	"fmt hash html image index internal io iter log maps math mime net os path plugin reflect regexp runtime slices sort strconv strings " +
	"structs sync syscall testing text time unicode unique unsafe weak")
