package sandbox

import (
	"context"
	"fmt"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/sys"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/sandbox/lifetime"
	"github.com/berth-host/berth/host/sandbox/vet"
	"github.com/berth-host/berth/host/sandbox/wasi"
)

// linkWASI adds WASI preview 1 to the runtime, and rejects a guest that imports a function
// that is not part of it.
func (m *Module) linkWASI(ctx context.Context) error {
	builder := m.code.Runtime.NewHostModuleBuilder(abi.WASIModuleName)
	for name, f := range wasi.Functions() {
		exportWASI(builder, name, f)
	}
	host, err := builder.Instantiate(ctx)
	if err != nil {
		return fault.New(fault.Internal, "link %s: %w", abi.WASIModuleName, err)
	}
	defined := host.ExportedFunctionDefinitions()
	for _, def := range m.code.Module.ImportedFunctions() {
		module, name, _ := def.Import()
		if module != abi.WASIModuleName {
			continue
		}
		has, ok := defined[name]
		if !ok {
			return fault.New(fault.Invalid, "it imports %s.%s, which is not a function of WASI preview 1", module, name)
		}
		if string(has.ParamTypes()) != string(def.ParamTypes()) || string(has.ResultTypes()) != string(def.ResultTypes()) {
			return fault.New(fault.Invalid, "it imports %s.%s with another signature", module, name)
		}
	}
	return nil
}

func exportWASI(builder wazero.HostModuleBuilder, name string, f wasi.Function) {
	params, results := vet.ValueTypes(f.Params), i32s(1)
	if name == wasi.Exit {
		results = nil
	}
	call := hostFunction{func(in *instance, _ api.Module, stack []uint64) {
		stack[0] = uint64(f.Call(&in.process, in.memory, stack))
	}}
	builder.NewFunctionBuilder().WithGoModuleFunction(call, params, results).Export(name)
}

// processHost implements wasi.Host.
type processHost struct{ in *instance }

// Monotonic implements wasi.Host. It is never zero, which Go's runtime interprets as a
// broken clock.
func (h processHost) Monotonic() time.Duration {
	if h.in.sim != nil {
		return h.in.sim.Monotonic()
	}
	return h.in.now() + time.Second
}

// Realtime implements wasi.Host.
func (h processHost) Realtime() time.Time {
	if h.in.sim != nil {
		return h.in.sim.Realtime()
	}
	return time.Now()
}

// Sleep implements wasi.Host. The guest does not sleep past its deadline.
func (h processHost) Sleep(d time.Duration) {
	in := h.in
	if in.sim != nil {
		if d > in.sim.Left(in.span) {
			in.trap(event.ClassTimeout, fmt.Sprintf("it slept past its time limit of %s", in.span))
		}
		in.sim.Sleep(d)
		in.checkTime()
		return
	}
	in.beforeWait()
	timer := time.NewTimer(min(d, in.deadline-in.now()+time.Millisecond))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-in.pool.life.Done():
	case <-lifetime.Done(in.lease):
	}
	in.checkTime()
}

// Yield implements wasi.Host.
func (h processHost) Yield() { h.in.checkTime() }

// Charge implements wasi.Host.
func (h processHost) Charge(bytes int) { h.in.charge(bytes) }

// Exit implements wasi.Host. wazero unwinds the guest and returns the error from the call.
func (h processHost) Exit(code uint32) { panic(sys.NewExitError(code)) }
