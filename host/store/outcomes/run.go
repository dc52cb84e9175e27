package outcomes

import (
	"cmp"
	"slices"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/event/pack"
)

// Runs are plain successes that one call stores, by handler. The zero value is empty.
type Runs struct {
	list []run
	of   map[string]int
}

type run struct {
	handler string
	sorted  bool
	list    []pack.Outcome
}

func (rs *Runs) handler(name string, capacity int) *run {
	n, found := rs.of[name]
	if !found {
		if rs.of == nil {
			rs.of = make(map[string]int)
		}
		n = len(rs.list)
		rs.of[name] = n
		rs.list = append(rs.list, run{handler: name})
	}
	r := &rs.list[n]
	r.sorted = false
	r.list = slices.Grow(r.list, capacity)
	return r
}

// Add adds an outcome. It replaces one of the same Seq that was added before.
func (rs *Runs) Add(handler string, o pack.Outcome) {
	r := rs.handler(handler, 1)
	r.list = append(r.list, o)
}

// AddAll adds successes, as Add does. It uses their results.
func (rs *Runs) AddAll(s *event.Successes) {
	r := rs.handler(s.Handler, len(s.List))
	for i := range s.List {
		at := &s.List[i]
		r.list = append(r.list, pack.Outcome{Seq: at.Seq, At: at.At.UnixNano(), Duration: int64(at.Duration), Fuel: at.Fuel,
			Digest: s.Digest, Result: s.Result(i)})
	}
}

// Sort sorts the outcomes, which SaveRuns otherwise does.
func (rs *Runs) Sort() {
	for i := range rs.list {
		rs.list[i].sort()
	}
}

// sort sorts the run by Seq, and keeps the last of several outcomes of one Seq.
func (r *run) sort() {
	if r.sorted {
		return
	}
	bySeq := func(a, b pack.Outcome) int { return cmp.Compare(a.Seq, b.Seq) }
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
}

// Single is an outcome that is stored as a delivery.
type Single struct {
	Handler string
	pack.Outcome
}

// SaveRuns stores outcomes; see Save. It returns those that have to be stored as
// deliveries: of events at or below the mark "trimmed", with a result that is too large,
// and those that Save refuses.
func (w *Writer) SaveRuns(c Conn, trimmed uint64, rs *Runs) (singles []Single, err error) {
	rs.Sort()
	for i := range rs.list {
		r := &rs.list[i]
		single := func(o pack.Outcome) { singles = append(singles, Single{r.handler, o}) }
		list := r.list
		for len(list) > 0 && list[0].Seq <= trimmed {
			single(list[0])
			list = list[1:]
		}
		large := func(o pack.Outcome) bool { return len(o.Result) > pack.MaxResults }
		if slices.ContainsFunc(list, large) {
			list = slices.DeleteFunc(slices.Clone(list), func(o pack.Outcome) bool {
				if large(o) {
					single(o)
				}
				return large(o)
			})
		}
		if len(list) == 0 {
			continue
		}
		refused, err := w.Save(c, r.handler, list)
		if err != nil {
			return nil, err
		}
		for _, o := range refused {
			single(o)
		}
	}
	return singles, nil
}
