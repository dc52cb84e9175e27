// Package outcomes has the outcomes of one handler that wait to be written: first attempts
// that succeeded without children in compact form, all others as deliveries.
package outcomes

import (
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/spec"
)

// List has the outcomes of one handler that the recorder collects together. No event has
// one in both forms, for a success ends an event's deliveries: it comes again only after a
// replay, which waits until all outcomes are written. S is what the caller keeps with each
// delivery. The zero value is empty. A List is not safe for concurrent use.
type List[S any] struct {
	successes []event.Successes // those of one module each; some may be empty
	current   int               // the index of the ones that were added to last
	full      []Full[S]         // in the order of their attempts
	n         int               // of both
	bytes     int               // see Bytes
}

// Full is an outcome in the form of a delivery.
type Full[S any] struct {
	*event.Delivery // immutable
	Source          S
}

// MaxResults bounds the memory for results that is kept for reuse, in bytes.
const MaxResults = 256 << 10

// Len returns the number of outcomes.
func (o *List[S]) Len() int { return o.n }

// Bytes returns the size of the results, children, effects and lines of the outcomes.
func (o *List[S]) Bytes() int { return o.bytes }

// Clear empties the outcomes and keeps their memory. It does not overwrite the successes:
// the recorder may still be showing them.
func (o *List[S]) Clear() {
	for i := range o.successes {
		s := &o.successes[i]
		s.List, s.Results = s.List[:0], s.Results[:0]
		if cap(s.Results) > MaxResults {
			s.Results = nil
		}
	}
	clear(o.full)
	o.full, o.n, o.bytes = o.full[:0], 0, 0
}

// AddSuccess adds an outcome in compact form, of a module with this digest.
func (o *List[S]) AddSuccess(handler, digest string, seq uint64, s event.Success, result []byte) {
	o.of(handler, digest).Append(seq, s, result)
	o.n++
	o.bytes += len(result)
}

// AddSuccesses adds all successes of done as AddSuccess does.
func (o *List[S]) AddSuccesses(handler, digest string, done *event.Successes) {
	o.of(handler, digest).AppendAll(done)
	o.n += len(done.List)
	o.bytes += len(done.Results)
}

// of returns the successes of a module, to be added to.
func (o *List[S]) of(handler, digest string) *event.Successes {
	if o.current >= len(o.successes) || o.successes[o.current].Digest != digest {
		o.choose(handler, digest)
	}
	return &o.successes[o.current]
}

// choose sets current to the successes of a module.
func (o *List[S]) choose(handler, digest string) {
	unused := -1
	for i := range o.successes {
		if o.successes[i].Digest == digest {
			o.current = i
			return
		}
		if len(o.successes[i].List) == 0 {
			unused = i
		}
	}
	if unused < 0 {
		unused = len(o.successes)
		o.successes = append(o.successes, event.Successes{})
	}
	o.current = unused
	o.successes[unused].Handler, o.successes[unused].Digest = handler, digest
}

// Add adds an outcome in the form of a delivery, which does not change any more. It returns
// its size, see Bytes.
func (o *List[S]) Add(d *event.Delivery, s S) (bytes int) {
	o.full = append(o.full, Full[S]{d, s})
	o.n++
	bytes = childBytes(d.Children) + len(d.Result) + logBytes(d.Logs)
	if n := len(o.full); n == 1 || o.full[n-2].Effects != d.Effects { // a batch shares them
		bytes += d.Effects.Size()
	}
	o.bytes += bytes
	return bytes
}

// Find returns the delivery of the newest outcome for an event.
func (o *List[S]) Find(seq uint64) (d event.Delivery, found bool) {
	for i := range o.successes {
		if j, found := o.successes[i].Find(seq); found {
			return o.successes[i].Delivery(j), true
		}
	}
	for i := len(o.full) - 1; i >= 0; i-- {
		if o.full[i].Seq == seq {
			return *o.full[i].Delivery, true
		}
	}
	return d, false
}

// Seqs yields the Seqs of all outcomes.
func (o *List[S]) Seqs(yield func(uint64) bool) {
	for i := range o.successes {
		for j := range o.successes[i].List {
			if !yield(o.successes[i].List[j].Seq) {
				return
			}
		}
	}
	for i := range o.full {
		if !yield(o.full[i].Seq) {
			return
		}
	}
}

// Refusable yields the outcomes with children or effects: the store may refuse them.
func (o *List[S]) Refusable(yield func(Full[S]) bool) {
	for _, one := range o.full {
		if (len(one.Children) > 0 || one.Effects != nil) && !yield(one) {
			return
		}
	}
}

// Past adds the attempts of an event that engines keep, without those that may be in conflict.
func (o *List[S]) Past(seq uint64, to []event.PastAttempt) []event.PastAttempt {
	for _, one := range o.full {
		if one.Seq == seq && one.Effects == nil {
			if a, kept := one.Delivery.Past(); kept {
				to = append(to, a)
			}
		}
	}
	return to
}

// AppendTo adds the outcomes to those of a write. The successes share their memory with the
// list, which must not be cleared before they are written.
func (o *List[S]) AppendTo(successes []event.Successes, deliveries []event.Delivery) ([]event.Successes, []event.Delivery) {
	for i := range o.successes {
		if len(o.successes[i].List) > 0 {
			successes = append(successes, o.successes[i])
		}
	}
	for i := range o.full {
		deliveries = append(deliveries, *o.full[i].Delivery)
	}
	return successes, deliveries
}

// logBytes returns the size of an attempt's lines.
func logBytes(lines []spec.GuestLine) (n int) {
	for i := range lines {
		n += len(lines[i].Message) + spec.GuestLineSize
	}
	return n
}

// childBytes returns the size of the children of a delivery.
func childBytes(children []*event.Event) (n int) {
	for _, child := range children {
		n += len(child.Envelope())
	}
	return n
}
