// Package callstack measures the stack on which the engine runs a guest's calls, and charges
// it to a budget.
package callstack

import (
	"reflect"
	"unsafe"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/sandbox/memory"
)

// Stack is the stack on which the engine runs an instance's code. It is outside of
// the linear memory and doubles as calls nest deeper; it does not shrink. It is charged to
// the budget of all instances, and belongs to the instance's goroutine.
//
// The engine's API does not expose it, so its size and its top are read from the engine's
// own fields (see docs/design/metering.md).
type Stack struct {
	Budget  *memory.Budget
	charged int64         // bytes taken from the budget
	size    reflect.Value // the engine's slice, of the running call
	top     reflect.Value // the address of its top
}

// Run makes s measure a call of the engine: an api.Function, or the Snapshotter of the
// running call.
func (s *Stack) Run(call any) error {
	v := reflect.ValueOf(call)
	if v.Kind() == reflect.Pointer && v.Elem().Kind() == reflect.Struct {
		size, top := v.Elem().FieldByName("stack"), v.Elem().FieldByName("stackTop")
		if size.Kind() == reflect.Slice && top.Kind() == reflect.Uintptr {
			s.size, s.top = size, top
			return nil
		}
	}
	return fault.New(fault.Internal, "the engine's call stack cannot be measured: build this host with a supported version of wazero")
}

// allocated returns the size of the stack.
func (s *Stack) allocated() int64 {
	if !s.size.IsValid() {
		return 0
	}
	return int64(s.size.Len())
}

// Charge charges growth of the stack to the budget. It returns false when the budget is
// used up.
func (s *Stack) Charge() bool {
	n := s.allocated() - s.charged
	if n <= 0 {
		return true
	}
	if !s.Budget.Take(n) {
		return false
	}
	s.charged += n
	return true
}

// ChargeAlways is Charge beyond the end of the budget: the engine has the memory.
func (s *Stack) ChargeAlways() {
	if n := s.allocated() - s.charged; n > 0 {
		s.Budget.Force(n)
		s.charged += n
	}
}

// Release returns the memory to the budget.
func (s *Stack) Release() {
	freed := s.charged
	s.Budget.Give(freed)
	s.charged, s.size, s.top = 0, reflect.Value{}, reflect.Value{}
	s.Budget.Discard(2 * freed) // with the smaller stacks before it
}

// Known reports whether a call is measured.
func (s *Stack) Known() bool { return s.size.IsValid() }

// Depth returns how much of the stack a running call uses, by the arguments of a host
// function, which are at the end of the stack.
func (s *Stack) Depth(passed []uint64) int64 {
	return int64(s.top.Uint()) - int64(uintptr(unsafe.Pointer(&passed[0])))
}
