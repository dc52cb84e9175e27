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
	"github.com/berth-host/berth/host/sandbox/meter"
)

// callStack is the stack on which the engine runs an instance's code. It lies outside
// of the linear memory and doubles as calls nest deeper; it does not shrink. It counts
// against the budget of all instances, and belongs to the instance's goroutine.
//
// The engine says nothing of it through its API, so its size and its top are read from
// the engine's own fields (see docs/design/metering.md). meter has the module call refill before
// the stack can have grown by more than what was allowed at the last look.
type callStack struct {
	budget  *budget
	limit   int64             // bytes
	held    int64             // bytes taken from the budget
	counter api.MutableGlobal // the stack left until the next look; nil until the first
	size    reflect.Value     // of the call that runs: the engine's slice
	top     reflect.Value     // and the address where it begins
}

// run makes s measure a call of the engine: an api.Function, or the Snapshotter of the
// call that runs.
func (s *callStack) run(call any) error {
	v := reflect.ValueOf(call)
	if v.Kind() == reflect.Pointer && v.Elem().Kind() == reflect.Struct {
		size, top := v.Elem().FieldByName("stack"), v.Elem().FieldByName("stackTop")
		if size.Kind() == reflect.Slice && top.Kind() == reflect.Uintptr {
			s.size, s.top = size, top
			return nil
		}
	}
	return fault.New(fault.Internal, "the engine's call stack cannot be measured: this host was built with a version of wazero that it does not know")
}

// allocated is how much the engine has taken for the stack.
func (s *callStack) allocated() int64 {
	if !s.size.IsValid() {
		return 0
	}
	return int64(s.size.Len())
}

// account takes from the budget what the engine has taken since. It answers false when
// the budget is used up.
func (s *callStack) account() bool {
	n := s.allocated() - s.held
	if n <= 0 {
		return true
	}
	if !s.budget.take(n) {
		return false
	}
	s.held += n
	return true
}

// accountAlways is account past the end of the budget: the engine has taken it.
func (s *callStack) accountAlways() {
	if n := s.allocated() - s.held; n > 0 {
		s.budget.force(n)
		s.held += n
	}
}

// release gives everything back to the budget.
func (s *callStack) release() {
	freed := s.held
	s.budget.give(freed)
	s.held, s.size, s.top = 0, reflect.Value{}, reflect.Value{}
	s.budget.waste.add(2 * freed) // with those before it, which it has outgrown
}

// lookAtStack is called by refill with what the module passed, which lies at the end of
// the stack. It traps a guest whose calls nest too deep, and says how much more stack
// may be used before the next look.
func (in *instance) lookAtStack(ctx context.Context, mod api.Module, passed []uint64) {
	s := &in.stack
	if s.counter == nil {
		s.counter, _ = mod.ExportedGlobal(meter.DefaultStack).(api.MutableGlobal)
	}
	if !s.size.IsValid() { // the start function: nobody called it by an api.Function
		if err := s.run(experimental.GetSnapshotter(ctx)); err != nil {
			panic(err)
		}
	}
	if !s.account() {
		s.accountAlways()
		in.trap(event.ClassMemory, "its calls need stack: "+s.budget.usedUp())
	}
	depth := int64(s.top.Uint()) - int64(uintptr(unsafe.Pointer(&passed[0])))
	if depth >= s.limit {
		in.trap(event.ClassStack, fmt.Sprintf("its calls nest too deep: they use more than %d bytes of stack (limits.stack)", s.limit))
	}
	s.counter.Set(uint64(s.limit - depth))
}
