package bus

import (
	"cmp"
	"slices"

	"github.com/berth-host/berth/host/event"
)

// memoryDelivery is a delivery as it is stored.
type memoryDelivery struct {
	event.Delivery
	purged bool // a dead one that is no longer a dead letter
}

// outcomes are one handler's deliveries. Nearly all are successes at the first attempt
// that arrive in the order of Seq: a slice keeps those, in a quarter of the memory and of
// the time that a map needs.
type outcomes struct {
	handler string
	plain   []plainOutcome            // ascending; those with a Seq in others are void
	others  map[uint64]memoryDelivery // by Seq
}

// plainOutcome is a success at the first attempt.
type plainOutcome struct {
	event.Success
	seq    uint64
	result string
	digest string
}

// reorder is the maximum distance from the end at which a plain outcome is inserted.
const reorder = 64

// isPlain reports whether a plainOutcome can represent d.
func isPlain(d *event.Delivery) bool {
	return d.Status == event.StatusOK && d.Attempts == 1 && d.ErrorClass == "" && d.ErrorMessage == "" && d.Due.IsZero() &&
		d.FirstAttempt.Equal(d.At.Add(-d.Duration))
}

// search returns the index of the first plain outcome at or above seq.
func (o *outcomes) search(seq uint64) (int, bool) {
	return slices.BinarySearchFunc(o.plain, seq, func(p plainOutcome, seq uint64) int { return cmp.Compare(p.seq, seq) })
}

// put stores a delivery in place of the one with the same Seq. It has no children.
func (o *outcomes) put(d *event.Delivery) {
	if isPlain(d) {
		p := plainOutcome{event.Success{At: d.At.UTC(), Duration: d.Duration, Fuel: d.Fuel}, d.Seq, d.Result, d.SHA256}
		i, found := len(o.plain), false
		if i > 0 && o.plain[i-1].seq >= d.Seq {
			i, found = o.search(d.Seq)
		}
		if !found && i+reorder >= len(o.plain) {
			if len(o.plain) == cap(o.plain) {
				o.plain = slices.Grow(o.plain, max(reorder, len(o.plain))) // append grows by a quarter only
			}
			o.plain, found = slices.Insert(o.plain, i, p), true
		}
		if found {
			o.plain[i] = p
			delete(o.others, d.Seq)
			return
		}
	}
	stored := *d
	stored.At, stored.Due, stored.FirstAttempt = d.At.UTC(), d.Due.UTC(), d.FirstAttempt.UTC()
	o.others[d.Seq] = memoryDelivery{Delivery: stored}
}

// get returns the delivery of a Seq.
func (o *outcomes) get(seq uint64) (memoryDelivery, bool) {
	if d, found := o.others[seq]; found {
		return d, true
	}
	if i, found := o.search(seq); found {
		return memoryDelivery{Delivery: o.plain[i].Delivery(o.handler, seq, o.plain[i].digest, o.plain[i].result)}, true
	}
	return memoryDelivery{}, false
}

// all yields the deliveries in no order.
func (o *outcomes) all(yield func(uint64, memoryDelivery) bool) {
	for seq, d := range o.others {
		if !yield(seq, d) {
			return
		}
	}
	for i := range o.plain {
		p := &o.plain[i]
		if _, void := o.others[p.seq]; !void && !yield(p.seq, memoryDelivery{Delivery: p.Delivery(o.handler, p.seq, p.digest, p.result)}) {
			return
		}
	}
}

// remove deletes the deliveries of the Seqs that gone reports.
func (o *outcomes) remove(gone func(seq uint64) bool) {
	for seq := range o.others {
		if gone(seq) {
			delete(o.others, seq)
		}
	}
	o.plain = slices.DeleteFunc(o.plain, func(p plainOutcome) bool { return gone(p.seq) })
}
