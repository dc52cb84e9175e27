package sandbox

import (
	"context"

	"github.com/tetratelabs/wazero/api"

	"github.com/berth-host/berth/host/event"
)

// HTTP sends a guest's requests. It must be safe for concurrent use and must not keep the
// request. Package guestnet implements it.
type HTTP interface {
	// Send sends a request, as JSON text, and returns the response as JSON text. The guest
	// gets the texts of its errors; the cause of a fault.Unavailable is logged instead.
	Send(ctx context.Context, request []byte) (response string, err error)
}

// http sends a request: (req, req_len, buf, cap) -> n.
func (in *instance) http(_ api.Module, stack []uint64) {
	request := in.view(stack[0], stack[1])
	in.view(stack[2], stack[3])
	in.charge(4 * len(request)) // it is read and encoded
	var response string
	err := in.outside(in.confirmed(func(ctx context.Context) (err error) {
		if in.open {
			ctx = event.WithTraceParent(ctx, in.lease.TraceParent())
		}
		response, err = in.pool.cfg.Capabilities.HTTP.Send(ctx, request)
		return err
	}))
	if err != nil {
		in.logCause("guest request failed", err)
		stack[0] = in.answer(err)
		return
	}
	in.charge(4 * len(response))
	stack[0] = in.yield(stack[2], stack[3], response)
}
