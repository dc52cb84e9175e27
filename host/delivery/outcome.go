package delivery

import "github.com/berth-host/berth/host/event"

// outcome is a completed attempt until it is written: a delivery or, in compact form, a
// success at the first attempt without children.
type outcome struct {
	full   *event.Delivery // immutable; nil for the compact form
	source *Source         // of full
	seq    uint64
	event.Success
	from, to int  // the range of its result in outcomes.results
	unstored bool // the store has no delivery of the event
}

// outcomes are those of one handler that the recorder collects together. The results are
// in one block of memory, which is reused.
type outcomes struct {
	list    []outcome
	results []byte
}

// maxResults bounds the memory for results that is kept for reuse, in bytes.
const maxResults = 256 << 10

// clear empties the outcomes and keeps their memory.
func (o *outcomes) clear() {
	clear(o.list)
	o.list, o.results = o.list[:0], o.results[:0]
	if cap(o.results) > maxResults {
		o.results = nil
	}
}

// success adds an outcome in the compact form.
func (o *outcomes) success(t *task, s event.Success, result []byte) {
	from := len(o.results)
	o.results = append(o.results, result...)
	o.list = append(o.list, outcome{seq: t.record.Seq, Success: s, from: from, to: len(o.results), unstored: t.unstored})
}

// delivery returns the outcome in the form in which it is stored and shown.
func (o *outcome) delivery(handler, result string) event.Delivery {
	if o.full != nil {
		return *o.full
	}
	return o.Delivery(handler, o.seq, "", result)
}

// find returns the delivery of the newest outcome for an event.
func (o *outcomes) find(handler string, seq uint64) (d event.Delivery, found bool) {
	for i := len(o.list) - 1; i >= 0; i-- {
		if x := &o.list[i]; x.seq == seq {
			return x.delivery(handler, string(o.results[x.from:x.to])), true
		}
	}
	return d, false
}
