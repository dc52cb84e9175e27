package pack

import (
	"cmp"
	"slices"

	"github.com/berth-host/berth/host/event"
)

// Runs are the plain successes that one call stores, by handler. The zero value is empty. It
// is not safe for concurrent use.
type Runs struct {
	list []*Run
	of   map[string]*Run
}

// Run is the plain successes of one handler.
type Run struct {
	Handler string
	sorted  bool
	list    []Outcome
}

// All returns the runs, in the order in which their handlers were first added.
func (rs *Runs) All() []*Run { return rs.list }

func (rs *Runs) handler(name string, capacity int) *Run {
	r := rs.of[name]
	if r == nil {
		if rs.of == nil {
			rs.of = make(map[string]*Run)
		}
		r = &Run{Handler: name}
		rs.of[name] = r
		rs.list = append(rs.list, r)
	}
	r.sorted = false
	r.list = slices.Grow(r.list, capacity)
	return r
}

// Add adds an outcome. It replaces one of the same Seq that was added before.
func (rs *Runs) Add(handler string, o Outcome) {
	r := rs.handler(handler, 1)
	r.list = append(r.list, o)
}

// AddAll adds successes, as Add does. It uses their results.
func (rs *Runs) AddAll(s *event.Successes) {
	r := rs.handler(s.Handler, len(s.List))
	for i := range s.List {
		at := &s.List[i]
		r.list = append(r.list, Outcome{Seq: at.Seq, At: at.At.UnixNano(), Duration: int64(at.Duration), Fuel: at.Fuel,
			Digest: s.Digest, Result: s.Result(i)})
	}
}

// Sort sorts the outcomes of every run, which Run.Outcomes otherwise does.
func (rs *Runs) Sort() {
	for _, r := range rs.list {
		r.Outcomes()
	}
}

// Outcomes returns the outcomes ascending by Seq, the last that was added of several with one
// Seq. The caller does not change them.
func (r *Run) Outcomes() []Outcome {
	if r.sorted {
		return r.list
	}
	bySeq := func(a, b Outcome) int { return cmp.Compare(a.Seq, b.Seq) }
	if !slices.IsSortedFunc(r.list, bySeq) {
		slices.SortStableFunc(r.list, bySeq)
	}
	n := 0
	for i := range r.list {
		if i+1 < len(r.list) && r.list[i+1].Seq == r.list[i].Seq {
			continue
		}
		r.list[n] = r.list[i]
		n++
	}
	r.list, r.sorted = r.list[:n], true
	return r.list
}

// Search returns the index of the first outcome of an ascending list at or above a Seq, and
// whether it has that Seq.
func Search(list []Outcome, seq uint64) (int, bool) {
	return slices.BinarySearchFunc(list, seq, func(o Outcome, seq uint64) int { return cmp.Compare(o.Seq, seq) })
}

// Union appends two ascending lists to dst, ascending; an outcome of newer replaces the one of
// older with its Seq.
func Union(dst, older, newer []Outcome) []Outcome {
	for _, o := range newer {
		n, found := Search(older, o.Seq)
		dst = append(append(dst, older[:n]...), o)
		if found {
			n++
		}
		older = older[n:]
	}
	return append(dst, older...)
}
