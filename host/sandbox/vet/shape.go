package vet

import (
	"fmt"
	"strings"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/sandbox/meter"
)

// Style is how a guest takes its events (abi/ABI.md).
type Style string

// The styles of ABI v1.
const (
	Loop  Style = "loop"  // one instance reads many events with next
	Stdio Style = "stdio" // a fresh instance per event: envelope on stdin, result on stdout
)

// Shape is what a module's imports and exports say, without running it.
type Shape struct {
	Style      Style
	Entry      string // _start or run
	Initialize bool   // call _initialize first
	Memory     int64  // what it has from the start, in bytes
}

// inspect checks a module against abi/ABI.md, "Module shape".
func inspect(compiled wazero.CompiledModule) (Shape, error) {
	var s Shape
	usesNext, usesBerth := false, false
	host := make(map[string]abi.Function)
	for _, f := range abi.Functions() {
		host[f.Name] = f
	}
	for _, def := range compiled.ImportedFunctions() {
		module, name, _ := def.Import()
		switch module {
		case abi.ModuleName:
			f, ok := host[name]
			if !ok {
				return s, misshapen("it imports %s.%s, which is not a function of this ABI", module, name)
			}
			if !onlyI32(def.ParamTypes(), f.Params) || !onlyI32(def.ResultTypes(), f.Results) {
				return s, misshapen("it imports %s.%s with another signature: it takes %d and yields %d values, all i32", module, name,
					f.Params, f.Results)
			}
			usesBerth = true
			usesNext = usesNext || name == abi.FuncNext
		case abi.WASIModuleName, meter.DefaultModule: // the latter is the meter's own, which refuses a guest that names it
		case abi.EnvModuleName:
			if name != abi.AbortFunction || !onlyI32(def.ParamTypes(), 4) || !onlyI32(def.ResultTypes(), 0) {
				return s, refusedImport(module, name)
			}
		default:
			return s, refusedImport(module, name)
		}
	}
	for _, def := range compiled.ImportedMemories() {
		module, name, _ := def.Import()
		return s, misshapen("it imports the memory %s.%s: a guest owns and exports its memory", module, name)
	}
	memory := compiled.ExportedMemories()[abi.MemoryExport]
	if memory == nil {
		return s, misshapen("it exports no memory named %q", abi.MemoryExport)
	}
	s.Memory = int64(memory.Min()) << 16
	exports := compiled.ExportedFunctions()
	start, run := exports[abi.StartExport], exports[abi.RunExport]
	switch {
	case start != nil && run != nil:
		return s, misshapen("it exports both %s and %s: export the one that reads events", abi.StartExport, abi.RunExport)
	case start != nil:
		s.Entry = abi.StartExport
	case run != nil:
		s.Entry = abi.RunExport
		s.Initialize = exports[abi.InitializeExport] != nil
	default:
		return s, misshapen("it exports no entry point: export %s (a WASI command) or %s", abi.StartExport, abi.RunExport)
	}
	for _, name := range []string{s.Entry, abi.InitializeExport} {
		if f := exports[name]; f != nil && len(f.ParamTypes())+len(f.ResultTypes()) != 0 {
			return s, misshapen("its export %s must take and return nothing", name)
		}
	}
	switch {
	case usesNext:
		s.Style = Loop
	case s.Entry == abi.StartExport && !usesBerth:
		s.Style = Stdio
	default:
		return s, misshapen("it never reads an event: import %s.%s, or be a WASI command that reads one from stdin", abi.ModuleName,
			abi.FuncNext)
	}
	return s, nil
}

func refusedImport(module, name string) error {
	hint := ""
	if strings.HasPrefix(module, "wasi:") || strings.HasPrefix(module, "wasi_snapshot_preview2") {
		hint = "; build for wasip1 (WASI preview 1)"
	}
	return misshapen("it imports %s.%s: a guest may import from %s and %s only%s", module, name, abi.ModuleName, abi.WASIModuleName, hint)
}

func onlyI32(types []api.ValueType, n int) bool {
	if len(types) != n {
		return false
	}
	for _, t := range types {
		if t != api.ValueTypeI32 {
			return false
		}
	}
	return true
}

func misshapen(format string, args ...any) error {
	return &Refusal{Code: CodeShape, Reason: fmt.Sprintf(format, args...)}
}
