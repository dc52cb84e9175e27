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
	response, err := in.send(request)
	if err != nil {
		stack[0] = in.answer(err)
		return
	}
	in.charge(4 * len(response))
	stack[0] = in.yield(stack[2], stack[3], response)
}

// send sends a request for the open event, if there is one. It logs the cause of a failure.
func (in *instance) send(request []byte) (response string, err error) {
	if in.open {
		in.requests++
	}
	err = in.outside(in.confirmed(func(ctx context.Context) (err error) {
		if in.open {
			ctx = event.WithTraceParent(ctx, in.lease.TraceParent())
		}
		if in.atomic() && in.batches.open == nil {
			key := event.RequestKey(in.pool.cfg.Name, in.attempt.Event.ID(), in.requests)
			ctx = event.WithIdempotencyKey(ctx, key)
		}
		response, err = in.pool.cfg.Capabilities.HTTP.Send(ctx, request)
		return err
	}))
	if err != nil {
		in.logCause("guest request failed", err)
	}
	return response, err
}
