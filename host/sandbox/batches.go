package sandbox

import (
	"time"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/sandbox/batch"
	"github.com/berth-host/berth/host/spec"
)

// batches is the open batch of an instance whose plugin has batches.
type batches struct {
	open     []event.Attempt // nil when none is open, and for other plugins
	text     string          // what next yields
	ends     batch.Ends      // of the finished batch
	outcomes []event.Outcome
}

// batchesOf returns the batches of a lease: those that it provides, or each event alone.
func batchesOf(lease Lease) BatchLease {
	if b, ok := lease.(BatchLease); ok {
		return b
	}
	return alone{lease}
}

// alone has batches of one event.
type alone struct{ Lease }

// NextBatch implements BatchLease.
func (a alone) NextBatch(_ int, _ time.Duration, stop, retire <-chan struct{}) ([]event.Attempt, bool) {
	taken, ok := a.NextBuffered()
	if !ok {
		taken, ok = a.Next(stop, retire)
	}
	return []event.Attempt{taken.Attempt}, ok
}

// DoneBatch implements BatchLease.
func (a alone) DoneBatch(outcomes []event.Outcome) { a.Done(&outcomes[0]) }

// attempts returns the open attempts: one, or those of a batch.
func (in *instance) attempts() []event.Attempt {
	if in.batches.open != nil {
		return in.batches.open
	}
	return []event.Attempt{in.attempt}
}

// takeBatch starts the attempts of the next batch. It returns false when the guest has to
// end.
func (in *instance) takeBatch() bool {
	p, b := in.pool, &in.batches
	in.stack.ChargeAlways()
	p.parked.Add(1)
	list, ok := batchesOf(in.lease).NextBatch(p.cfg.Batch.MaxEvents, p.cfg.Batch.MaxWait, p.stop, p.retire)
	if u, late := in.lease.(*unattached); late && ok {
		in.lease = u.lease
	}
	p.unpark()
	if !ok {
		return false
	}
	b.open, b.text = list, batch.Envelope(list)
	p.memory.Force(int64(len(b.text))) // the events are taken: the batch cannot be refused
	in.begun = in.now()
	in.attempt, in.open = list[0], true
	return true
}

// envelope returns what next yields for the open event or batch.
func (in *instance) envelope() string {
	if in.batches.open != nil {
		return in.batches.text
	}
	return in.attempt.Event.Envelope()
}

// finishBatch completes the open batch with a result: -> 0.
func (in *instance) finishBatch(result []byte) uint64 {
	in.charge(4 * min(len(result), batch.MaxText)) // it is read, and each entry is stored
	ends, reason, beyond := batch.Parse(result, len(in.batches.open))
	switch {
	case beyond:
		in.trap(event.ClassBadResult, "its result "+reason)
	case reason == "" && len(ends.Failures) > 0 && in.pool.cfg.State == spec.StateAtomic:
		reason = "has failures: with state atomic the effects of a batch are applied for all events or for none"
	}
	if reason != "" {
		in.refused = "its result " + reason
		return in.refuse(abi.Invalid, in.refused)
	}
	in.batches.ends = ends
	in.succeed(nil)
	return 0
}

// completeBatch completes the attempts of the open batch with what they have in common.
func (in *instance) completeBatch(all *event.Outcome) {
	b := &in.batches
	b.outcomes = b.ends.Split(all, len(b.open), b.outcomes[:0])
	for i := range b.outcomes {
		o := &b.outcomes[i]
		o.Children = nil // of a failed event they are dropped
		if o.Verdict == event.OK {
			o.Children = in.children.Of(i)
			if !in.pool.keepLogs.Load() {
				o.Logs = nil
			}
		}
	}
	in.pool.memory.Give(int64(len(b.text)))
	b.open, b.text, b.ends = nil, "", batch.Ends{}
	batchesOf(in.lease).DoneBatch(b.outcomes)
	clear(b.outcomes)
}

// fieldOf returns the text that has the value of a pointer into the open event or batch, and
// the pointer into that text. fits is false for one that is too long to be there.
func (in *instance) fieldOf(ptr []byte) (text, pointer string, fits bool) {
	text = in.envelope()
	if len(ptr) > 2*len(text) { // ~0 and ~1 stand for one byte
		return text, "", false
	}
	pointer = string(ptr)
	if i, inside, ok := batch.Event(pointer, len(in.batches.open)); ok {
		return in.batches.open[i].Event.Envelope(), inside, true
	}
	return text, pointer, true
}
