package sandbox

import (
	"bytes"
	"context"
	"slices"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
)

// provisionalReads are the values of the plugin's state that the open attempt has read
// before they were durable. Instances that read and then swap the same key can so write it
// in one commit, one after the other, instead of one in each. Nothing of the attempt but
// its own swaps leaves the instance before these values are durable: see confirm.
//
// Only an instance whose attempt has swapped, or whose last attempt has, reads such values:
// one that only reads never waits for a flush.
type provisionalReads struct {
	list    []provisionalRead
	lost    bool // one of the attempt may never be durable, and the guest may have kept it
	swaps   bool // the attempt has called kv_cas
	swapped bool // the attempt before has
}

// provisionalRead is a value and how to wait until it is durable.
type provisionalRead struct {
	key    string
	value  []byte
	found  bool
	stored func(context.Context) error
}

// swappedBy reports whether a swap of a key succeeds only if the key has this value.
func (p *provisionalRead) swappedBy(key string, old []byte) bool {
	return p.key == key && p.found == (old != nil) && bytes.Equal(p.value, old)
}

// open reports whether the attempt's outcome has to be confirmed.
func (r *provisionalReads) open() bool { return len(r.list) > 0 || r.lost }

// wanted reports whether the attempt may read values that are not durable.
func (r *provisionalReads) wanted() bool { return r.swaps || r.swapped }

func (r *provisionalReads) add(read provisionalRead) { r.list = append(r.list, read) }

// provedBy reports whether a swap of a key succeeds only if the key really has all the values
// that the attempt has read.
func (r *provisionalReads) provedBy(key string, old []byte) bool {
	return !r.lost && !slices.ContainsFunc(r.list, func(p provisionalRead) bool { return !p.swappedBy(key, old) })
}

// swapSucceeded drops the values that the key really had.
func (r *provisionalReads) swapSucceeded(key string, old []byte) {
	r.list = slices.DeleteFunc(r.list, func(p provisionalRead) bool { return p.swappedBy(key, old) })
}

// end ends the attempt.
func (r *provisionalReads) end() {
	clear(r.list)
	r.list, r.swapped, r.swaps = r.list[:0], r.swaps, false
}

// await waits until the values are durable. It returns an error when one never will be, also
// later in the attempt, and the context's when that ends first.
func (r *provisionalReads) await(ctx context.Context) error {
	for _, read := range r.list {
		if read.stored(ctx) != nil {
			r.lost = true
		}
	}
	clear(r.list)
	r.list = r.list[:0]
	switch {
	case !r.lost:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return fault.New(fault.Unavailable, "%s", readWasLost)
}

const readWasLost = "a value of the plugin's state that the attempt has read was not stored"

// confirmed returns a call for outside that has an effect: it waits until the values that
// the attempt has read are durable.
func (in *instance) confirmed(call func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		if err := in.reads.await(ctx); err != nil {
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
		in.reads.lost = true // possibly: the guest may go on, but gets no other event
		return o
	}
	in.beforeWait()
	ctx, cancel := context.WithTimeout(in.pool.life, in.deadline-in.now())
	defer cancel()
	err := in.reads.await(ctx)
	switch {
	case err == nil:
		return o
	case in.pool.killed.Load():
		return event.Outcome{Verdict: event.Failed, Class: event.ClassCancelled, Message: "the host stopped it"}
	case ctx.Err() != nil:
		return event.Outcome{Verdict: event.Failed, Class: event.ClassTimeout, Message: "its state was not stored within " + in.span.String()}
	}
	return event.Outcome{Verdict: event.Retry, Class: event.ClassRetry, Message: readWasLost}
}
