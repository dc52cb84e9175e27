package outcomes

import (
	"slices"

	"github.com/berth-host/berth/host/event/pack"
)

// Single is an outcome that is stored as a delivery.
type Single struct {
	Handler string
	pack.Outcome
}

// SaveRuns stores outcomes; see Save. It returns those that have to be stored as
// deliveries: of events at or below the mark "trimmed", with a result that is too large,
// and those that Save refuses.
func (w *Writer) SaveRuns(c Conn, trimmed uint64, rs *pack.Runs) (singles []Single, err error) {
	for _, r := range rs.All() {
		single := func(o pack.Outcome) { singles = append(singles, Single{r.Handler, o}) }
		list := r.Outcomes()
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
		refused, err := w.Save(c, r.Handler, list)
		if err != nil {
			return nil, err
		}
		for _, o := range refused {
			single(o)
		}
	}
	return singles, nil
}
