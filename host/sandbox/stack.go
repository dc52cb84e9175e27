package sandbox

import (
	"context"
	"fmt"
	"reflect"
	"unsafe"

	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/sandbox/memory"
	"github.com/berth-host/berth/host/sandbox/meter"
)

// callStack is the stack on which the engine runs an instance's code. It is outside of
// the linear memory and doubles as calls nest deeper; it does not shrink. It is charged to
// the budget of all instances, and belongs to the instance's goroutine.
//
// The engine's API does not expose it, so its size and its top are read from the engine's
// own fields (see docs/design/metering.md). The metered module calls refill before the
// stack can have grown beyond the allowance of the last check.
type callStack struct {
	budget  *memory.Budget
	limit   int64             // bytes
	charged int64             // bytes taken from the budget
	counter api.MutableGlobal // the stack left until the next check; nil until the first
	size    reflect.Value     // the engine's slice, of the running call
	top     reflect.Value     // the address of its top
}

// run makes s measure a call of the engine: an api.Function, or the Snapshotter of the
// running call.
func (s *callStack) run(call any) error {
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
func (s *callStack) allocated() int64 {
	if !s.size.IsValid() {
		return 0
	}
	return int64(s.size.Len())
}

// charge charges growth of the stack to the budget. It returns false when the budget is
// used up.
func (s *callStack) charge() bool {
	n := s.allocated() - s.charged
	if n <= 0 {
		return true
	}
	if !s.budget.Take(n) {
		return false
	}
	s.charged += n
	return true
}

// chargeAlways is charge beyond the end of the budget: the engine has the memory.
func (s *callStack) chargeAlways() {
	if n := s.allocated() - s.charged; n > 0 {
		s.budget.Force(n)
		s.charged += n
	}
}

// release returns the memory to the budget.
func (s *callStack) release() {
	freed := s.charged
	s.budget.Give(freed)
	s.charged, s.size, s.top = 0, reflect.Value{}, reflect.Value{}
	s.budget.Discard(2 * freed) // with the smaller stacks before it
}

// checkStack is called by refill with the arguments of the call, which are at the end of
// the stack. It traps a guest whose calls nest too deep, and sets the allowance until the
// next check.
func (in *instance) checkStack(ctx context.Context, mod api.Module, passed []uint64) {
	s := &in.stack
	if s.counter == nil {
		s.counter, _ = mod.ExportedGlobal(meter.DefaultStack).(api.MutableGlobal)
	}
	if !s.size.IsValid() { // the start function: it is not called by an api.Function
		if err := s.run(experimental.GetSnapshotter(ctx)); err != nil {
			panic(err)
		}
	}
	if !s.charge() {
		s.chargeAlways()
		in.trap(event.ClassMemory, "its calls need stack: "+s.budget.UsedUp())
	}
	depth := int64(s.top.Uint()) - int64(uintptr(unsafe.Pointer(&passed[0])))
	if depth >= s.limit {
		in.trap(event.ClassStack, fmt.Sprintf("its calls nest too deep: they use more than %d bytes of stack (limits.stack)", s.limit))
	}
	s.counter.Set(uint64(s.limit - depth))
}
