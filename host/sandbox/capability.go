package sandbox

import (
	"context"
	"errors"
	"fmt"

	"github.com/tetratelabs/wazero/api"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/fault"
)

// Capabilities are what one plugin may do besides reading events: what its
// manifest asks for and the operator grants. The zero value is nothing.
type Capabilities struct {
	KV      KV                          // its state; nil: kv_* answer DENIED
	Emit    func(eventType string) bool // whether it may emit events of the type; nil: emit answers DENIED
	HTTP    HTTP                        // whom it may talk to; nil: http answers DENIED
	Secrets Secrets                     // it may read; nil: secret answers DENIED
}

// has tells whether the functions of a capability do anything.
func (c *Capabilities) has(name string) bool {
	switch name {
	case abi.CapabilityKV:
		return c.KV != nil
	case abi.CapabilityEmit:
		return c.Emit != nil
	case abi.CapabilityHTTP:
		return c.HTTP != nil
	case abi.CapabilitySecret:
		return c.Secrets != nil
	}
	return false
}

type hostCallFunc = func(*instance, api.Module, []uint64)

// capabilityCalls names the functions that need a capability. Each answers
// DENIED to a plugin that does not have it.
func capabilityCalls() map[string]hostCallFunc {
	calls := map[string]hostCallFunc{
		abi.FuncEmit:     (*instance).emit,
		abi.FuncHTTP:     (*instance).http,
		abi.FuncSecret:   (*instance).secret,
		abi.FuncKVGet:    (*instance).kvGet,
		abi.FuncKVSet:    (*instance).kvSet,
		abi.FuncKVCAS:    (*instance).kvCAS,
		abi.FuncKVDelete: (*instance).kvDelete,
	}
	for _, f := range abi.Functions() {
		if f.Capability == "" {
			continue
		}
		call, denied := calls[f.Name], deniedCall(f)
		calls[f.Name] = func(in *instance, mod api.Module, stack []uint64) {
			if in.pool.cfg.Capabilities.has(f.Capability) {
				call(in, mod, stack)
				return
			}
			denied(in, mod, stack)
		}
	}
	return calls
}

// deniedCall answers DENIED after checking the pointers, which come in pairs.
func deniedCall(f abi.Function) hostCallFunc {
	text := fmt.Sprintf("the capability %s is not granted to this plugin", f.Capability)
	return func(in *instance, _ api.Module, stack []uint64) {
		for i := 0; i+1 < f.Params; i += 2 {
			if f.Name == abi.FuncKVCAS && i == 2 && int32(stack[3]) == -1 {
				continue // old is absent
			}
			in.view(stack[i], stack[i+1])
		}
		stack[0] = in.refuse(abi.Denied, text)
	}
}

// outside makes a call that can wait: it ends with the guest's time, as
// fault.Timeout, and traps when the pool is stopped meanwhile.
func (in *instance) outside(call func(context.Context) error) error {
	in.rest()
	ctx, cancel := context.WithTimeout(in.pool.life, in.deadline-in.now())
	defer cancel()
	err := call(ctx)
	if in.pool.killed.Load() {
		in.checkTime()
	}
	if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fault.New(fault.Timeout, "the time was up after %s", in.span)
	}
	return err
}

// answer turns the error of a call into its result: 0 when there is none.
func (in *instance) answer(err error) uint64 {
	if err == nil {
		return 0
	}
	return in.refuse(codeFor(err), err.Error())
}

// conceal keeps what failed inside the host from the guest: it learns of what,
// and the log why.
func (in *instance) conceal(what string, err error) error {
	if err == nil || codeFor(err) != abi.Unavailable {
		return err
	}
	if in.pool.lines.allow(0) {
		in.pool.cfg.Logger.Warn(what+" failed", "error", err)
	}
	return fault.New(fault.Unavailable, "%s failed; trying again may help", what)
}

// logCause logs the cause of an error that says to the guest only what failed.
func (in *instance) logCause(what string, err error) {
	if cause := errors.Unwrap(err); cause != nil && codeFor(err) == abi.Unavailable && in.pool.lines.allow(0) {
		in.pool.cfg.Logger.Warn(what, "reason", err.Error(), "error", cause)
	}
}

// codeFor is the one place that turns an error into a code of the ABI. An
// exhausted limit that names a field is about what the guest passed; any other
// is the host's own, such as a full disk.
func codeFor(err error) abi.Code {
	var known *fault.Error
	if !errors.As(err, &known) {
		return abi.Unavailable
	}
	switch known.Code {
	case fault.Invalid:
		return abi.Invalid
	case fault.Denied:
		return abi.Denied
	case fault.NotFound:
		return abi.NotFound
	case fault.Conflict:
		return abi.Conflict
	case fault.Timeout:
		return abi.Timeout
	case fault.Exhausted:
		if known.Field != "" {
			return abi.TooLarge
		}
	}
	return abi.Unavailable
}
