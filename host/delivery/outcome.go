package delivery

import (
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/spec"
)

// outcomes are those of one handler that the recorder collects together: first attempts
// that succeeded without children in compact form, all others as deliveries. No event has
// one in both forms, for a success ends an event's deliveries: it comes again only after a
// replay, which waits until all outcomes are written.
type outcomes struct {
	successes []event.Successes // those of one module each; some may be empty
	current   int               // the index of the ones that were added to last
	full      []fullOutcome     // in the order of their attempts
	n         int               // of both
	bytes     int               // of results and children
}

// fullOutcome is an outcome in the form of a delivery.
type fullOutcome struct {
	*event.Delivery // immutable
	source          *Source
}

// maxResults bounds the memory for results that is kept for reuse, in bytes.
const maxResults = 256 << 10

// clear empties the outcomes and keeps their memory. It does not overwrite the successes:
// the recorder may still be showing them.
func (o *outcomes) clear() {
	for i := range o.successes {
		s := &o.successes[i]
		s.List, s.Results = s.List[:0], s.Results[:0]
		if cap(s.Results) > maxResults {
			s.Results = nil
		}
	}
	clear(o.full)
	o.full, o.n, o.bytes = o.full[:0], 0, 0
}

// addSuccess adds an outcome in compact form, of a module with this digest.
func (o *outcomes) addSuccess(handler, digest string, seq uint64, s event.Success, result []byte) {
	o.of(handler, digest).Append(seq, s, result)
	o.n++
	o.bytes += len(result)
}

// addSuccesses adds all successes of done as addSuccess does.
func (o *outcomes) addSuccesses(handler, digest string, done *event.Successes) {
	o.of(handler, digest).AppendAll(done)
	o.n += len(done.List)
	o.bytes += len(done.Results)
}

// of returns the successes of a module, to be added to.
func (o *outcomes) of(handler, digest string) *event.Successes {
	if o.current >= len(o.successes) || o.successes[o.current].Digest != digest {
		o.choose(handler, digest)
	}
	return &o.successes[o.current]
}

// choose sets current to the successes of a module.
func (o *outcomes) choose(handler, digest string) {
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

// add adds an outcome in the form of a delivery.
func (o *outcomes) add(d *event.Delivery, s *Source) {
	o.full = append(o.full, fullOutcome{d, s})
	o.n++
	o.bytes += childBytes(d.Children) + len(d.Result) + logBytes(d.Logs)
}

// find returns the delivery of the newest outcome for an event.
func (o *outcomes) find(seq uint64) (d event.Delivery, found bool) {
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

// seqs yields the Seqs of all outcomes.
func (o *outcomes) seqs(yield func(uint64) bool) {
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
