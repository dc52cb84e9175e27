package sandbox

import (
	"context"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/sandbox/lifetime"
	"github.com/berth-host/berth/host/sandbox/provisional"
)

// confirmed returns a call for outside that has an effect: it waits until the values that
// the attempt has read are durable.
func (in *instance) confirmed(call func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		if err := in.reads.Await(ctx); err != nil {
			return err
		}
		return call(ctx)
	}
}

// confirm returns an outcome once the values that the attempt has read are durable. When
// one will never be, the event has to be delivered again, to another instance. It does not
// trap: the guest may have returned.
func (in *instance) confirm(o event.Outcome) event.Outcome {
	if o.Verdict == event.Failed {
		in.reads.Lost = true // possibly: the guest may go on, but gets no other event
		return o
	}
	in.beforeWait()
	ctx, cancel := lifetime.With(in.lease, in.pool.life, in.deadline-in.now())
	defer cancel()
	err := in.reads.Await(ctx)
	switch {
	case err == nil:
		return o
	case in.stopped():
		return event.Outcome{Verdict: event.Failed, Class: event.ClassCancelled, Message: "the host stopped it"}
	case ctx.Err() != nil:
		return event.Outcome{Verdict: event.Failed, Class: event.ClassTimeout, Message: "its state was not stored within " + in.span.String()}
	}
	return event.Outcome{Verdict: event.Retry, Class: event.ClassRetry, Message: provisional.WasLost}
}
