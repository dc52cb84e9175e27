package bus

import (
	"cmp"
	"slices"
	"time"

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
	modules []string                  // digests; see plainOutcome
	run     []plainOutcome            // memory for merge
	tail    []plainOutcome            // memory for mergeTail
}

// plainOutcome is a success at the first attempt.
type plainOutcome struct {
	seq      uint64
	at       int64 // Unix ns
	duration time.Duration
	fuel     uint64
	result   string
	module   int // index of its digest in outcomes.modules
}

// reorder is the maximum distance from the end at which plain outcomes are inserted.
const reorder = 64

func newOutcomes(handler string) *outcomes {
	return &outcomes{handler: handler, others: make(map[uint64]memoryDelivery)}
}

// unixNano returns a time in Unix ns, and whether it is in the range that these can
// express.
func unixNano(t time.Time) (ns int64, ok bool) {
	const limit = 1 << 33 // seconds, 272 years
	s := t.Unix()
	return s*int64(time.Second) + int64(t.Nanosecond()), s > -limit && s < limit
}

// isPlain reports whether a plainOutcome can represent d.
func isPlain(d *event.Delivery) bool {
	_, ok := unixNano(d.At)
	return ok && d.Status == event.StatusOK && d.Attempts == 1 && d.ErrorClass == "" && d.ErrorMessage == "" && d.Due.IsZero() &&
		d.FirstAttempt.Equal(d.At.Add(-d.Duration))
}

// module returns the index of a module's digest.
func (o *outcomes) module(digest string) int {
	for i := len(o.modules) - 1; i >= 0; i-- { // the newest version is the likeliest
		if o.modules[i] == digest {
			return i
		}
	}
	o.modules = append(o.modules, digest)
	return len(o.modules) - 1
}

// search returns the index of the first plain outcome at or above seq.
func (o *outcomes) search(seq uint64) (int, bool) {
	return slices.BinarySearchFunc(o.plain, seq, func(p plainOutcome, seq uint64) int { return cmp.Compare(p.seq, seq) })
}

// put stores a delivery in place of the one with the same Seq. It has no children.
func (o *outcomes) put(d *event.Delivery) {
	if isPlain(d) {
		at, _ := unixNano(d.At)
		if o.insert(plainOutcome{d.Seq, at, d.Duration, d.Fuel, d.Result, o.module(d.SHA256)}) {
			return
		}
	}
	stored := *d
	stored.At, stored.Due, stored.FirstAttempt = d.At.UTC(), d.Due.UTC(), d.FirstAttempt.UTC()
	o.others[d.Seq] = memoryDelivery{Delivery: stored}
}

// insert stores a plain outcome. It returns false, and does nothing, when that would move
// too many others.
func (o *outcomes) insert(p plainOutcome) bool {
	i, found := len(o.plain), false
	if i > 0 && o.plain[i-1].seq >= p.seq {
		i, found = o.search(p.seq)
	}
	if !found && i+reorder < len(o.plain) {
		return false
	}
	if found {
		o.plain[i] = p
	} else {
		o.grow(1)
		o.plain = slices.Insert(o.plain, i, p)
	}
	delete(o.others, p.seq)
	return true
}

// grow makes capacity for n more plain outcomes: at least twice as many as before,
// because append grows by a quarter only.
func (o *outcomes) grow(n int) {
	if len(o.plain)+n > cap(o.plain) {
		o.plain = slices.Grow(o.plain, max(reorder, n, len(o.plain)))
	}
}

// putAll stores successes, each in place of what has the same Seq. It copies them.
func (o *outcomes) putAll(s *event.Successes) {
	results, module, from := string(s.Results), o.module(s.Digest), 0
	o.grow(len(s.List))
	begin := len(o.plain) // of a run of ascending Seqs
	for i := range s.List {
		of := &s.List[i]
		at, ok := unixNano(of.At)
		if !ok {
			o.merge(begin)
			d := s.Delivery(i)
			o.put(&d)
			begin, from = len(o.plain), of.End
			continue
		}
		if end := len(o.plain); end > begin && o.plain[end-1].seq >= of.Seq {
			o.merge(begin)
			begin = len(o.plain)
		}
		o.plain = append(o.plain, plainOutcome{of.Seq, at, of.Duration, of.Fuel, results[from:of.End], module})
		from = of.End
	}
	o.merge(begin)
}

// merge moves the plain outcomes from an index on, a run of ascending Seqs that was
// appended, to where they belong.
func (o *outcomes) merge(begin int) {
	run := o.plain[begin:]
	if len(run) == 0 {
		return
	}
	if begin > 0 && o.plain[begin-1].seq >= run[0].seq {
		o.run = append(o.run[:0], run...)
		run = o.run
		clear(o.plain[begin:])
		o.plain = o.plain[:begin]
		if end, _ := o.search(run[0].seq); end+reorder < begin {
			o.insertAll(run)
			run = nil
		} else {
			o.mergeTail(end, run)
		}
	}
	if len(o.others) > 0 {
		for i := range run {
			delete(o.others, run[i].seq)
		}
	}
	clear(o.run)
	o.run = o.run[:0]
}

// insertAll inserts plain outcomes one at a time.
func (o *outcomes) insertAll(run []plainOutcome) {
	for i := range run {
		if p := run[i]; !o.insert(p) {
			o.others[p.seq] = memoryDelivery{Delivery: o.delivery(&p)}
		}
	}
}

// mergeTail merges a run of ascending Seqs with the plain outcomes from end on.
func (o *outcomes) mergeTail(end int, run []plainOutcome) {
	o.tail = append(o.tail[:0], o.plain[end:]...)
	tail := o.tail
	o.plain = o.plain[:end]
	for len(tail) > 0 && len(run) > 0 {
		if tail[0].seq < run[0].seq {
			o.plain, tail = append(o.plain, tail[0]), tail[1:]
			continue
		}
		if tail[0].seq == run[0].seq {
			tail = tail[1:]
		}
		o.plain, run = append(o.plain, run[0]), run[1:]
	}
	o.plain = append(append(o.plain, run...), tail...)
	clear(o.tail)
}

// delivery returns a plain outcome in the form in which it is shown.
func (o *outcomes) delivery(p *plainOutcome) event.Delivery {
	s := event.Success{At: time.Unix(0, p.at).UTC(), Duration: p.duration, Fuel: p.fuel}
	return s.Delivery(o.handler, p.seq, o.modules[p.module], p.result)
}

// get returns the delivery of a Seq.
func (o *outcomes) get(seq uint64) (memoryDelivery, bool) {
	if d, found := o.others[seq]; found {
		return d, true
	}
	if i, found := o.search(seq); found {
		return memoryDelivery{Delivery: o.delivery(&o.plain[i])}, true
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
		if _, void := o.others[p.seq]; !void && !yield(p.seq, memoryDelivery{Delivery: o.delivery(p)}) {
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
