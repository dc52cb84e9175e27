package sandbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/sandbox/meter"
)

// Style is how a guest takes its events (abi/ABI.md).
type Style string

// The styles of ABI v1.
const (
	Loop  Style = "loop"  // one instance reads many events with next
	Stdio Style = "stdio" // a fresh instance per event: envelope on stdin, result on stdout
)

// Module is a compiled guest in a runtime of its own. It is safe for concurrent
// use. Close it after the pools that run it.
type Module struct {
	runtime  wazero.Runtime
	cache    wazero.CompilationCache
	compiled wazero.CompiledModule
	shape    shape
	memory   *budget // of all modules together
	limit    int64   // of one instance's memory, in bytes
	logger   *slog.Logger
}

// shape is what a module's imports and exports say, without running it.
type shape struct {
	style      Style
	entry      string // _start or run
	initialize bool   // call _initialize first
	memory     int64  // what it has from the start, in bytes
}

// Style tells how the guest takes its events.
func (m *Module) Style() string { return string(m.shape.style) }

// Close frees the code and everything else of the runtime.
func (m *Module) Close(ctx context.Context) error {
	err := m.runtime.Close(ctx)
	if m.cache != nil {
		err = errors.Join(err, m.cache.Close(ctx))
	}
	return err
}

// inspect checks a module against abi/ABI.md, "Module shape".
func inspect(compiled wazero.CompiledModule) (shape, error) {
	var s shape
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
				return s, fault.New(fault.Invalid, "it imports %s.%s, which is not a function of this ABI", module, name)
			}
			if !onlyI32(def.ParamTypes(), f.Params) || !onlyI32(def.ResultTypes(), f.Results) {
				return s, fault.New(fault.Invalid, "it imports %s.%s with another signature: it takes %d and yields %d values, all i32", module, name, f.Params, f.Results)
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
		return s, fault.New(fault.Invalid, "it imports the memory %s.%s: a guest owns and exports its memory", module, name)
	}
	memory := compiled.ExportedMemories()[abi.MemoryExport]
	if memory == nil {
		return s, fault.New(fault.Invalid, "it exports no memory named %q", abi.MemoryExport)
	}
	s.memory = int64(memory.Min()) * pageSize
	exports := compiled.ExportedFunctions()
	start, run := exports[abi.StartExport], exports[abi.RunExport]
	switch {
	case start != nil && run != nil:
		return s, fault.New(fault.Invalid, "it exports both %s and %s: export the one that reads events", abi.StartExport, abi.RunExport)
	case start != nil:
		s.entry = abi.StartExport
	case run != nil:
		s.entry = abi.RunExport
		s.initialize = exports[abi.InitializeExport] != nil
	default:
		return s, fault.New(fault.Invalid, "it exports no entry point: export %s (a WASI command) or %s", abi.StartExport, abi.RunExport)
	}
	for _, name := range []string{s.entry, abi.InitializeExport} {
		if f := exports[name]; f != nil && len(f.ParamTypes())+len(f.ResultTypes()) != 0 {
			return s, fault.New(fault.Invalid, "its export %s must take and return nothing", name)
		}
	}
	switch {
	case usesNext:
		s.style = Loop
	case s.entry == abi.StartExport && !usesBerth:
		s.style = Stdio
	default:
		return s, fault.New(fault.Invalid, "it never reads an event: import %s.%s, or be a WASI command that reads one from stdin", abi.ModuleName, abi.FuncNext)
	}
	return s, nil
}

func refusedImport(module, name string) error {
	hint := ""
	if strings.HasPrefix(module, "wasi:") || strings.HasPrefix(module, "wasi_snapshot_preview2") {
		hint = "; build for wasip1 (WASI preview 1)"
	}
	return fault.New(fault.Invalid, "it imports %s.%s: a guest may import from %s and %s only%s", module, name, abi.ModuleName, abi.WASIModuleName, hint)
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

// linkHost puts the host's modules into the runtime: every function is always
// there, so that a module never fails to load for want of a grant.
func (m *Module) linkHost(ctx context.Context) error {
	builder := m.runtime.NewHostModuleBuilder(abi.ModuleName)
	calls := hostCalls()
	for _, f := range abi.Functions() {
		builder.NewFunctionBuilder().
			WithGoModuleFunction(hostFunction{calls[f.Name]}, i32s(f.Params), i32s(f.Results)).
			Export(f.Name)
	}
	if _, err := builder.Instantiate(ctx); err != nil {
		return fmt.Errorf("%s: %w", abi.ModuleName, err)
	}
	_, err := m.runtime.NewHostModuleBuilder(meter.DefaultModule).NewFunctionBuilder().
		WithGoModuleFunction(refill{}, []api.ValueType{api.ValueTypeI64}, []api.ValueType{api.ValueTypeI64}).
		Export(meter.DefaultName).Instantiate(ctx)
	if err != nil {
		return fmt.Errorf("%s: %w", meter.DefaultModule, err)
	}
	_, err = m.runtime.NewHostModuleBuilder(abi.EnvModuleName).NewFunctionBuilder().
		WithGoModuleFunction(hostFunction{(*instance).abort}, i32s(4), nil).
		Export(abi.AbortFunction).Instantiate(ctx)
	return err
}

func i32s(n int) []api.ValueType {
	types := make([]api.ValueType, n)
	for i := range types {
		types[i] = api.ValueTypeI32
	}
	return types
}
