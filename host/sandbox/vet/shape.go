package vet

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/sandbox/extism"
	"github.com/berth-host/berth/host/sandbox/meter"
)

// Style is how a guest takes its events (abi/ABI.md).
type Style string

// The styles of ABI v1.
const (
	Loop  Style = "loop"  // one instance reads many events with next
	Stdio Style = "stdio" // a fresh instance per event: envelope on stdin, result on stdout
	// Extism: an export of one instance is called for each event: envelope as input, result
	// as output.
	Extism Style = "extism"
)

// Shape is what a module's imports and exports say, without running it.
type Shape struct {
	Style  Style
	Entry  string   // _start or run; of the Extism style handle, unless the manifest names another
	Setup  []string // exports to call first, with zeros as arguments
	Memory int64    // what it has from the start, in bytes
}

// CheckBatch returns a *Refusal unless a guest of this shape can take batches.
func (s Shape) CheckBatch() error {
	if s.Style != Loop {
		return misshapen("its manifest has batch, but it is a module of the style %s: only the loop style takes several events", s.Style)
	}
	return nil
}

// inspect checks a module against abi/ABI.md, "Module shape".
func inspect(compiled wazero.CompiledModule) (Shape, error) {
	var s Shape
	uses, err := inspectImports(compiled.ImportedFunctions())
	if err != nil {
		return s, err
	}
	for _, def := range compiled.ImportedMemories() {
		module, name, _ := def.Import()
		return s, misshapen("it imports the memory %s.%s: a guest owns and exports its memory", module, name)
	}
	if memory := compiled.ExportedMemories()[abi.MemoryExport]; memory != nil {
		s.Memory = int64(memory.Min()) << 16
	} else if !uses.extism || uses.memory {
		return s, misshapen("it exports no memory named %q", abi.MemoryExport)
	}
	exports := compiled.ExportedFunctions()
	if uses.extism {
		return s, s.inspectExtism(exports)
	}
	return s, s.inspectEntry(exports, uses)
}

// uses is what a module imports.
type uses struct {
	next   bool // the function of the loop style
	berth  bool
	extism bool
	memory bool // functions that need the guest's memory
}

// inspectImports checks the imported functions.
func inspectImports(imported []api.FunctionDefinition) (uses, error) {
	var u uses
	host := make(map[string]abi.Function)
	for _, f := range abi.Functions() {
		host[f.Name] = f
	}
	kernel := extism.Functions()
	for _, def := range imported {
		module, name, _ := def.Import()
		switch module {
		case abi.ModuleName:
			f, ok := host[name]
			if !ok {
				return u, misshapen("it imports %s.%s, which is not a function of this ABI", module, name)
			}
			if !onlyI32(def.ParamTypes(), f.Params) || !onlyI32(def.ResultTypes(), f.Results) {
				return u, misshapen("it imports %s.%s with another signature: it takes %d and yields %d values, all i32", module, name,
					f.Params, f.Results)
			}
			u.berth, u.memory = true, true
			u.next = u.next || name == abi.FuncNext
		case abi.WASIModuleName:
			u.memory = true
		case meter.DefaultModule: // the meter's own, which refuses a guest that names it
		case abi.EnvModuleName:
			if name != abi.AbortFunction || !onlyI32(def.ParamTypes(), 4) || !onlyI32(def.ResultTypes(), 0) {
				return u, refusedImport(module, name)
			}
			u.memory = true
		case extism.ModuleName:
			f, ok := kernel[name]
			if !ok {
				return u, misshapen("it imports %s.%s, which is not a function of Extism", module, name)
			}
			if !slices.Equal(def.ParamTypes(), ValueTypes(f.Params)) || !slices.Equal(def.ResultTypes(), ValueTypes(f.Results)) {
				return u, misshapen("it imports %s.%s with another signature than Extism's: (%s) -> (%s)", module, name,
					typeNames(f.Params), typeNames(f.Results))
			}
			u.extism = true
		case extism.UserModule:
			return u, misshapen("it imports %s.%s, a function that another application adds to Extism: this host has none", module, name)
		default:
			return u, refusedImport(module, name)
		}
	}
	if u.extism && u.berth {
		return u, misshapen("it imports from %s and from %s: a guest has one style", abi.ModuleName, extism.ModuleName)
	}
	return u, nil
}

// inspectEntry finds the style and the entry of a module that is no Extism plugin.
func (s *Shape) inspectEntry(exports map[string]api.FunctionDefinition, u uses) error {
	start, run := exports[abi.StartExport], exports[abi.RunExport]
	switch {
	case start != nil && run != nil:
		return misshapen("it exports both %s and %s: export the one that reads events", abi.StartExport, abi.RunExport)
	case start != nil:
		s.Entry = abi.StartExport
	case run != nil:
		s.Entry = abi.RunExport
		if exports[abi.InitializeExport] != nil {
			s.Setup = []string{abi.InitializeExport}
		}
	default:
		return misshapen("it exports no entry point: export %s (a WASI command) or %s", abi.StartExport, abi.RunExport)
	}
	for _, name := range []string{s.Entry, abi.InitializeExport} {
		if f := exports[name]; f != nil && !takesNothing(f) {
			return misshapen("its export %s must take and return nothing", name)
		}
	}
	switch {
	case u.next:
		s.Style = Loop
	case s.Entry == abi.StartExport && !u.berth:
		s.Style = Stdio
	default:
		return misshapen("it never reads an event: import %s.%s, or be a WASI command that reads one from stdin", abi.ModuleName,
			abi.FuncNext)
	}
	return nil
}

// inspectExtism finds what to call of an Extism plugin. Its entry may be named by a manifest
// beside the module, so it is checked when the plugin is started.
func (s *Shape) inspectExtism(exports map[string]api.FunctionDefinition) error {
	s.Style, s.Entry = Extism, abi.ExtismEntry
	entries := 0
	for name, f := range exports {
		if ExtismEntry(f) && name != abi.InitializeExport && name != abi.CtorsExport {
			entries++
		}
	}
	if entries == 0 {
		return misshapen("it exports no function that takes nothing and returns an i32 or nothing: export one named %s", abi.ExtismEntry)
	}
	initialize, ctors := exports[abi.InitializeExport], exports[abi.CtorsExport]
	haskell := exports[abi.HaskellInitExport]
	if initialize != nil && takesNothing(initialize) {
		s.Setup = append(s.Setup, abi.InitializeExport)
	}
	switch {
	case haskell != nil && onlyI32(haskell.ParamTypes(), 2) && len(haskell.ResultTypes()) == 0:
		s.Setup = append(s.Setup, abi.HaskellInitExport)
	case s.Setup == nil && ctors != nil && takesNothing(ctors):
		s.Setup = append(s.Setup, abi.CtorsExport)
	}
	return nil
}

// ExtismEntry reports whether a function can be the entry of an Extism plugin.
func ExtismEntry(f api.FunctionDefinition) bool {
	return len(f.ParamTypes()) == 0 && (len(f.ResultTypes()) == 0 || onlyI32(f.ResultTypes(), 1))
}

// takesNothing reports whether a function has neither parameters nor results.
func takesNothing(f api.FunctionDefinition) bool {
	return len(f.ParamTypes())+len(f.ResultTypes()) == 0
}

// ValueTypes returns types with an "i" for each i32 and an "I" for each i64.
func ValueTypes(kinds string) []api.ValueType {
	types := make([]api.ValueType, len(kinds))
	for i, kind := range kinds {
		types[i] = api.ValueTypeI32
		if kind == 'I' {
			types[i] = api.ValueTypeI64
		}
	}
	return types
}

// typeNames is ValueTypes for people.
func typeNames(kinds string) string {
	names := make([]string, len(kinds))
	for i, t := range ValueTypes(kinds) {
		names[i] = api.ValueTypeName(t)
	}
	return strings.Join(names, ", ")
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
