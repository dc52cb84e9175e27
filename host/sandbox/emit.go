package sandbox

import (
	"errors"
	"fmt"

	"github.com/tetratelabs/wazero/api"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/sandbox/children"
)

// emit adds a child of the open event: (ptr, len) -> 0.
func (in *instance) emit(_ api.Module, stack []uint64) {
	text := in.view(stack[0], stack[1])
	if !in.open {
		stack[0] = in.refuse(abi.Invalid, "no event is open")
		return
	}
	if len(text) > abi.MaxChild {
		stack[0] = in.refuse(abi.TooLarge, fmt.Sprintf("the child is %d bytes; the limit is %d", len(text), abi.MaxChild))
		return
	}
	work := 4 // it is read, compacted, encoded and hashed
	if in.pool.maker.Check != nil {
		work += 4
	}
	in.charge(work * len(text))
	err := in.children.Add(&in.pool.maker, in.attempts(), in.lease.TraceParent(), text)
	var past children.PastBound
	if errors.As(err, &past) {
		in.trap(event.ClassTrap, string(past))
	}
	stack[0] = in.answer(err)
}
