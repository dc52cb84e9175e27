package sandbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/sys"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/abi/strictjson"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/sandbox/extism"
	"github.com/berth-host/berth/host/sandbox/guesttext"
	"github.com/berth-host/berth/host/sandbox/memory"
	"github.com/berth-host/berth/host/sandbox/resultcheck"
	"github.com/berth-host/berth/host/sandbox/vet"
)

// kernel is what an instance of the Extism style has besides.
type kernel struct {
	*extism.Kernel
	blocks memory.Linear // the memory of the kernel's blocks
	vars   extism.Vars   // of a plugin without the capability kv
}

// release returns the memory to the budget.
func (k *kernel) release() {
	if k.Kernel == nil {
		return
	}
	k.blocks.Release()
	k.vars.Release(k.blocks.Budget)
}

// linkExtism adds the functions of Extism to the runtime.
func (m *Module) linkExtism(ctx context.Context) error {
	builder := m.code.Runtime.NewHostModuleBuilder(extism.ModuleName)
	for name, f := range extism.Functions() {
		call := hostFunction{func(in *instance, _ api.Module, stack []uint64) {
			in.charge(0)
			f.Call(in.kernel.Kernel, stack)
		}}
		builder.NewFunctionBuilder().WithGoModuleFunction(call, vet.ValueTypes(f.Params), vet.ValueTypes(f.Results)).Export(name)
	}
	_, err := builder.Instantiate(ctx)
	return err
}

// checkEntry checks the entry that a plugin's manifest names, and returns the export that
// is called.
func (m *Module) checkEntry(named string) (string, error) {
	if m.shape.Style != vet.Extism {
		if named != "" {
			return "", fault.New(fault.Invalid, "its manifest has extism.entry, but it is a module of the style %s", m.shape.Style)
		}
		return m.shape.Entry, nil
	}
	entry := named
	if entry == "" {
		entry = abi.ExtismEntry
	}
	f := m.code.Module.ExportedFunctions()[entry]
	switch {
	case f == nil:
		return "", fault.New(fault.Invalid, "it exports no function %q: name its entry in the manifest (extism.entry)", entry)
	case !vet.ExtismEntry(f):
		return "", fault.New(fault.Invalid, "its entry %q (extism.entry) must take nothing and return an i32 or nothing", entry)
	}
	return entry, nil
}

// serve calls the entry of an Extism guest for one event after the other, until it has to
// end. A trap, and any exit, ends the instance.
func (in *instance) serve(ctx context.Context, guest api.Module) error {
	name := in.pool.entry
	entry := guest.ExportedFunction(name)
	if err := in.stack.Run(entry); err != nil {
		return err
	}
	results := len(entry.Definition().ResultTypes())
	var stack [1]uint64
	for in.take() {
		in.kernel.Begin(in.attempt.Event.Envelope())
		stack[0] = 0
		err := entry.CallWithStack(ctx, stack[:results])
		exited := in.exitedOK(err)
		if err != nil && !exited {
			return err
		}
		in.done(in.extismOutcome(int32(stack[0])))
		if exited || name == abi.StartExport { // a command runs once
			return nil
		}
	}
	return nil
}

// exitedOK reports whether a guest has exited with the code 0.
func (in *instance) exitedOK(err error) bool {
	var exit *sys.ExitError
	return in.trapped == nil && errors.As(err, &exit) && exit.ExitCode() == abi.ExitOK
}

// extismOutcome returns the outcome of a call that returned this code.
func (in *instance) extismOutcome(code int32) event.Outcome {
	k := in.kernel.Kernel
	if text, set := k.Failure(); set {
		return event.Outcome{Verdict: event.Retry, Class: event.ClassRetry, Message: guesttext.Line([]byte(text))}
	}
	if code != 0 {
		reason := fmt.Sprintf("it returned %d", code)
		if cause := k.Cause(); cause != "" {
			reason += ": " + guesttext.Line([]byte(cause))
		}
		return event.Outcome{Verdict: event.Retry, Class: event.ClassRetry, Message: reason}
	}
	result := k.Output()
	reason := ""
	if len(result) > abi.MaxResult {
		reason = fmt.Sprintf("is %d bytes; the limit is %d", len(result), abi.MaxResult)
	} else {
		in.charge(len(result))
		reason = resultcheck.Bad(result)
	}
	if reason != "" {
		return event.Outcome{Verdict: event.Failed, Class: event.ClassBadResult, Message: "its result (output) " + reason}
	}
	return event.Outcome{Verdict: event.OK, Result: result}
}

// kernelHost implements extism.Host.
type kernelHost struct{ in *instance }

// Charge implements extism.Host.
func (h kernelHost) Charge(bytes int) { h.in.charge(bytes) }

// Grow implements extism.Host.
func (h kernelHost) Grow(size int64) []byte {
	m := &h.in.kernel.blocks
	const first = 4 << 10
	if m.Bytes() == nil && size <= m.Left() {
		if n := min(max(size, first), m.Left()); m.Reserve(n) == nil {
			return m.Reallocate(uint64(n))
		}
	} else if b := m.Reallocate(uint64(size)); b != nil {
		return b
	}
	if m.Refused == memory.NotRefused {
		m.Refused = memory.OverLimit
	}
	h.in.linear.Refused = m.Refused
	return nil
}

// Exhausted implements extism.Host.
func (h kernelHost) Exhausted() { h.in.trap(event.ClassMemory, h.in.linear.Reason()) }

// Trap implements extism.Host.
func (h kernelHost) Trap(reason string) { h.in.trap(event.ClassTrap, reason) }

// Log implements extism.Host.
func (h kernelHost) Log(level extism.Level, text []byte) {
	as := slog.LevelError
	switch level {
	case extism.Debug:
		as = slog.LevelDebug
	case extism.Info:
		as = slog.LevelInfo
	case extism.Warn:
		as = slog.LevelWarn
	}
	h.in.log(as, text)
}

// Config implements extism.Host. It returns a string as its text, and any other value as
// JSON.
func (h kernelHost) Config(key string) (string, bool) {
	settings := h.in.pool.cfg.Settings
	h.in.charge(len(settings) + len(key))
	if len(key) > len(settings) { // JSON has no shorter form of it: it is not there
		return "", false
	}
	return strictjson.Get(settings, "/"+strings.NewReplacer("~", "~0", "/", "~1").Replace(key))
}

// Var implements extism.Host.
func (h kernelHost) Var(key string) (value []byte, found bool) {
	if h.in.pool.cfg.Capabilities.KV == nil {
		return h.in.kernel.vars.Get(key)
	}
	value, found, code := h.in.readKV([]byte(key))
	h.checkKV("var_get", code)
	return value, found
}

// SetVar implements extism.Host.
func (h kernelHost) SetVar(key string, value []byte) {
	if h.in.pool.cfg.Capabilities.KV != nil {
		h.checkKV("var_set", h.in.kv([]byte(key), value, func(ctx context.Context, kv KV, key string) error {
			return kv.Set(ctx, key, value)
		}))
		return
	}
	k := &h.in.kernel
	switch fits, over := k.vars.Set(k.blocks.Budget, key, value); {
	case over:
		h.Trap(fmt.Sprintf("var_set: its variables are over %d bytes together; with the capability kv they are kept in its state", extism.MaxVars))
	case !fits:
		h.in.trap(event.ClassMemory, k.blocks.Budget.UsedUp())
	}
	h.in.charge(len(value))
}

// RemoveVar implements extism.Host.
func (h kernelHost) RemoveVar(key string) {
	if h.in.pool.cfg.Capabilities.KV != nil {
		h.checkKV("var_set", h.in.kv([]byte(key), nil, func(ctx context.Context, kv KV, key string) error {
			return kv.Delete(ctx, key)
		}))
		return
	}
	k := &h.in.kernel
	k.vars.Remove(k.blocks.Budget, key)
}

// checkKV traps the guest when the store has failed: its PDK has no code for it, and would
// take it for an absent variable.
func (h kernelHost) checkKV(function string, code uint64) {
	if code != 0 {
		h.in.trap(event.ClassTrap, function+": "+h.in.errorText)
	}
}

// Send implements extism.Host.
func (h kernelHost) Send(request []byte) (response string, err error) {
	in := h.in
	if in.pool.cfg.Capabilities.HTTP == nil {
		return "", fault.New(fault.Denied, "the capability http is not granted to this plugin")
	}
	return in.send(request)
}
