package bus

import (
	"slices"
	"time"

	"github.com/berth-host/berth/host/event"
)

// memoryDelivery is a delivery as it is stored.
type memoryDelivery struct {
	event.Delivery
	purged bool // a dead one that is no longer a dead letter
}

// outcomes are one handler's deliveries. Nearly all are successes at the first
// attempt that come about in the order of Seq: those are kept in a slice, in a
// quarter of the memory and of the time that a map takes.
type outcomes struct {
	handler string
	plain   []plainOutcome            // ascending; those with a Seq in others are void
	others  map[uint64]memoryDelivery // by Seq
}

// plainOutcome is a success at the first attempt.
type plainOutcome struct {
	seq      uint64
	at       int64 // unix ns
	duration time.Duration
	fuel     uint64
	result   string
}

// reorder is how many places from the end a plain outcome is inserted at most.
const reorder = 64

// isPlain reports whether a plainOutcome has all that d says.
func isPlain(d *event.Delivery) bool {
	return d.Status == event.StatusOK && d.Attempts == 1 && d.ErrorClass == "" && d.ErrorMessage == "" && d.Due.IsZero() &&
		d.FirstAttempt.Equal(d.At.Add(-d.Duration)) && time.Unix(0, d.At.UnixNano()).Equal(d.At)
}

func (p *plainOutcome) delivery(handler string) event.Delivery {
	at := time.Unix(0, p.at).UTC()
	return event.Delivery{Handler: handler, Seq: p.seq, Status: event.StatusOK, Attempts: 1, Result: p.result,
		Duration: p.duration, Fuel: p.fuel, At: at, FirstAttempt: at.Add(-p.duration)}
}

// search returns the index of the first plain outcome at or above seq.
func (o *outcomes) search(seq uint64) (int, bool) {
	return slices.BinarySearchFunc(o.plain, seq, func(p plainOutcome, seq uint64) int {
		switch {
		case p.seq < seq:
			return -1
		case p.seq > seq:
			return 1
		}
		return 0
	})
}

// put stores a delivery in place of the one with the same Seq. It has no children.
func (o *outcomes) put(d *event.Delivery) {
	if isPlain(d) {
		p := plainOutcome{d.Seq, d.At.UnixNano(), d.Duration, d.Fuel, d.Result}
		i, found := len(o.plain), false
		if i > 0 && o.plain[i-1].seq >= d.Seq {
			i, found = o.search(d.Seq)
		}
		inOrder := i+reorder >= len(o.plain)
		switch {
		case found:
			o.plain[i] = p
		case inOrder:
			if len(o.plain) == cap(o.plain) {
				o.plain = slices.Grow(o.plain, max(reorder, len(o.plain))) // append grows by a quarter only
			}
			o.plain = slices.Insert(o.plain, i, p)
		}
		if found || inOrder {
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
		return memoryDelivery{Delivery: o.plain[i].delivery(o.handler)}, true
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
		if _, void := o.others[p.seq]; !void && !yield(p.seq, memoryDelivery{Delivery: p.delivery(o.handler)}) {
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
