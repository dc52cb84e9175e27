package sandbox

import (
	"context"
	"errors"
	"fmt"

	"github.com/tetratelabs/wazero/api"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/sandbox/lifetime"
)

// Capabilities are those of one plugin: what its manifest requests and the operator
// grants. The zero value is none. The functions of a nil capability return DENIED.
type Capabilities struct {
	KV      KV                          // its durable state
	Emit    func(eventType string) bool // reports whether it may emit events of the type
	HTTP    HTTP
	Secrets Secrets

	// Check returns why a child may not be published, such as fault.Invalid from the schema
	// of its type, and the work of the check in microseconds; nil checks nothing.
	Check func(*event.Event) (work int, err error)
}

// has reports whether a capability is granted.
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

// capabilityCalls returns the functions that need a capability. Each returns DENIED to a
// plugin without it.
func capabilityCalls() map[string]hostCallFunc {
	calls := map[string]hostCallFunc{
		abi.FuncEmit:     (*instance).emit,
		abi.FuncHTTP:     (*instance).http,
		abi.FuncSecret:   (*instance).secret,
		abi.FuncKVGet:    (*instance).kvGet,
		abi.FuncKVSet:    (*instance).kvSet,
		abi.FuncKVCAS:    (*instance).kvCAS,
		abi.FuncKVDelete: (*instance).kvDelete,
		abi.FuncKVList:   (*instance).kvList,
		abi.FuncKVExpire: (*instance).kvExpire,
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

// deniedCall returns DENIED after checking the pointers, which are in pairs.
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

// outside makes a call that can wait. It returns fault.Timeout when the guest's time is up,
// and traps when the attempt has to end meanwhile.
func (in *instance) outside(call func(context.Context) error) error {
	in.beforeWait()
	late, err := lifetime.Call(in.lease, in.pool.life, in.deadline-in.now(), call)
	if in.stopped() {
		in.checkTime()
	}
	if late {
		return fault.New(fault.Timeout, "the time was up after %s", in.span)
	}
	return err
}

// answer returns the result of a call that ended with err: 0 for nil.
func (in *instance) answer(err error) uint64 {
	if err == nil {
		return 0
	}
	return in.refuse(codeFor(err), err.Error())
}

// conceal logs an error of the host itself, and returns one for the guest without its
// cause.
func (in *instance) conceal(what string, err error) error {
	if err == nil || codeFor(err) != abi.Unavailable {
		return err
	}
	if in.pool.lines.Allow(0) {
		in.pool.cfg.Logger.Warn(what+" failed", "error", err)
	}
	return fault.New(fault.Unavailable, "%s failed; trying again may help", what)
}

// logCause logs the cause of an error whose text for the guest does not contain it.
func (in *instance) logCause(what string, err error) {
	if cause := errors.Unwrap(err); cause != nil && codeFor(err) == abi.Unavailable && in.pool.lines.Allow(0) {
		in.pool.cfg.Logger.Warn(what, "reason", err.Error(), "error", cause)
	}
}

// codeFor is the one mapping from errors to codes of the ABI. An exhausted limit with a
// field is about an argument of the guest; without one it is the host's, such as a full
// disk.
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
