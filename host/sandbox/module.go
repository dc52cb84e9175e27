package sandbox

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/tetratelabs/wazero/api"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/sandbox/extism"
	"github.com/berth-host/berth/host/sandbox/memory"
	"github.com/berth-host/berth/host/sandbox/meter"
	"github.com/berth-host/berth/host/sandbox/source"
	"github.com/berth-host/berth/host/sandbox/vet"
)

// Module is a compiled guest in a runtime of its own. It is safe for concurrent
// use. Close it after the pools that run it.
type Module struct {
	code   *vet.Code
	shape  vet.Shape
	report vet.Report

	locator *source.Locator
	imports int // functions that the guest imports

	memory *memory.Budget // of all modules together
	slots  *cpuSlots      // likewise
	limit  int64          // of one instance's memory, in bytes
	logger *slog.Logger
}

// Style returns how the guest receives events.
func (m *Module) Style() string { return string(m.shape.Style) }

// Report returns the report of the vetter.
func (m *Module) Report() vet.Report { return m.report }

// Close frees the code and everything else of the runtime.
func (m *Module) Close(ctx context.Context) error { return m.code.Close(ctx) }

// linkHost adds the host's modules to the runtime, with all functions, so that no module
// fails to load because of a missing grant.
func (m *Module) linkHost(ctx context.Context) error {
	builder := m.code.Runtime.NewHostModuleBuilder(abi.ModuleName)
	calls := hostCalls()
	for _, f := range abi.Functions() {
		builder.NewFunctionBuilder().
			WithGoModuleFunction(hostFunction{calls[f.Name]}, i32s(f.Params), i32s(f.Results)).
			Export(f.Name)
	}
	if _, err := builder.Instantiate(ctx); err != nil {
		return fmt.Errorf("%s: %w", abi.ModuleName, err)
	}
	_, err := m.code.Runtime.NewHostModuleBuilder(meter.DefaultModule).NewFunctionBuilder().
		WithGoModuleFunction(refill{}, []api.ValueType{api.ValueTypeI64}, []api.ValueType{api.ValueTypeI64}).
		Export(meter.DefaultName).Instantiate(ctx)
	if err != nil {
		return fmt.Errorf("%s: %w", meter.DefaultModule, err)
	}
	if m.shape.Style == vet.Extism {
		if err := m.linkExtism(ctx); err != nil {
			return fmt.Errorf("%s: %w", extism.ModuleName, err)
		}
	}
	_, err = m.code.Runtime.NewHostModuleBuilder(abi.EnvModuleName).NewFunctionBuilder().
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
