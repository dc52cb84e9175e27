package sandbox

import (
	"errors"
	"fmt"

	"github.com/tetratelabs/wazero/api"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/sandbox/children"
)

// microsecond is what work of a microsecond is charged as, in bytes: as much fuel as simple
// instructions use in that time.
const microsecond = 500 * hostBytes

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
	in.charge(4 * len(text)) // it is read, compacted, encoded and hashed
	work, err := in.children.Add(&in.pool.maker, in.attempts(), in.lease.TraceParent(), text)
	if work > 0 {
		in.charge(work * microsecond)
	}
	var past children.PastBound
	if errors.As(err, &past) {
		in.trap(event.ClassTrap, string(past))
	}
	stack[0] = in.answer(err)
}
