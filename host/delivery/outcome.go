package delivery

import "github.com/berth-host/berth/host/event"

// outcome is how an attempt ended, until it is written: a delivery, or in a few
// words a success at the first attempt, without children.
type outcome struct {
	full *event.Delivery // it never changes; nil: the others say it
	seq  uint64
	event.Success
	from, to int  // its result's place among the results
	rowless  bool // the store has no row of it
}

// outcomes are those of one handler that the recorder fetches together. The
// results are kept apart, in one piece of memory that is used again.
type outcomes struct {
	list    []outcome
	results []byte
}

// maxResults bounds the memory for results that is kept to be used again, in bytes.
const maxResults = 256 << 10

// clear empties them and keeps their memory.
func (o *outcomes) clear() {
	clear(o.list)
	o.list, o.results = o.list[:0], o.results[:0]
	if cap(o.results) > maxResults {
		o.results = nil
	}
}

// success adds a plain success.
func (o *outcomes) success(t *task, p *plain, result []byte) {
	from := len(o.results)
	o.results = append(o.results, result...)
	o.list = append(o.list, outcome{seq: t.record.Seq, Success: p.Success, from: from, to: len(o.results), rowless: t.rowless})
}

// delivery is the outcome as it is stored and shown.
func (o *outcome) delivery(handler, result string) event.Delivery {
	if o.full != nil {
		return *o.full
	}
	return o.Delivery(handler, o.seq, result)
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
