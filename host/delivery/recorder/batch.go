package recorder

import (
	"iter"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/spec"
)

// Batch is the contents of one write.
type Batch struct {
	Fences     []spec.Fence // of the collected handlers
	Successes  []event.Successes
	Deliveries []event.Delivery
	Cursors    []event.Cursor
}

// clear empties the batch and keeps its memory.
func (b *Batch) clear() {
	clear(b.Successes)
	clear(b.Deliveries)
	b.Fences, b.Successes, b.Deliveries, b.Cursors = b.Fences[:0], b.Successes[:0], b.Deliveries[:0], b.Cursors[:0]
}

// outcomes returns the number of outcomes.
func (b *Batch) outcomes() int {
	n := len(b.Deliveries)
	for i := range b.Successes {
		n += len(b.Successes[i].List)
	}
	return n
}

// Of yields the outcomes of an event.
func (b *Batch) Of(seq uint64) iter.Seq[event.Delivery] {
	return func(yield func(event.Delivery) bool) {
		for i := range b.Successes {
			if j, found := b.Successes[i].Find(seq); found && !yield(b.Successes[i].Delivery(j)) {
				return
			}
		}
		for _, d := range b.Deliveries {
			if d.Seq == seq && !yield(d) {
				return
			}
		}
	}
}

// Seqs yields the Seqs of a handler's outcomes.
func (b *Batch) Seqs(handler string) iter.Seq[uint64] {
	return func(yield func(uint64) bool) {
		for i := range b.Successes {
			if b.Successes[i].Handler != handler {
				continue
			}
			for _, of := range b.Successes[i].List {
				if !yield(of.Seq) {
					return
				}
			}
		}
		for i := range b.Deliveries {
			if d := &b.Deliveries[i]; d.Handler == handler && !yield(d.Seq) {
				return
			}
		}
	}
}
