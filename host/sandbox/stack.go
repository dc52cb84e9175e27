package sandbox

import (
	"context"
	"fmt"

	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/sandbox/meter"
)

// checkStack is called by refill with the arguments of the call, which are at the end of
// the stack. It traps a guest whose calls nest too deep, and sets the allowance until the
// next check.
func (in *instance) checkStack(ctx context.Context, mod api.Module, passed []uint64) {
	s := &in.stack
	if in.stackLeft == nil {
		in.stackLeft, _ = mod.ExportedGlobal(meter.DefaultStack).(api.MutableGlobal)
	}
	if !s.Known() { // the start function: it is not called by an api.Function
		if err := s.Run(experimental.GetSnapshotter(ctx)); err != nil {
			panic(err)
		}
	}
	if !s.Charge() {
		s.ChargeAlways()
		in.trap(event.ClassMemory, "its calls need stack: "+s.Budget.UsedUp())
	}
	limit := in.pool.cfg.Stack
	depth := s.Depth(passed)
	if depth >= limit {
		in.trap(event.ClassStack, fmt.Sprintf("its calls nest too deep: they use more than %d bytes of stack (limits.stack)", limit))
	}
	in.stackLeft.Set(uint64(limit - depth))
}
