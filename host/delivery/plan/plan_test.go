package plan

import (
	"slices"
	"testing"

	"github.com/berth-host/berth/host/event"
)

func TestPlan(t *testing.T) {
	trap := event.Outcome{Verdict: event.Failed, Class: event.ClassTrap}
	retry := event.Outcome{Verdict: event.Retry, Class: event.ClassRetry}
	stopped := event.Outcome{Verdict: event.Failed, Class: event.ClassCancelled}
	good, bad := event.Outcome{Effects: &event.Effects{Plugin: "good"}}, event.Outcome{Effects: &event.Effects{Plugin: "bad"}}
	for _, test := range []struct {
		what       string
		list       []event.Outcome
		done, back []int
		judged     int
		dropped    int
	}{
		{"none", nil, nil, nil, 0, 0},
		{"all ok", []event.Outcome{{}, {}}, []int{0, 1}, nil, 0, 0},
		{"the guest's own failure is no failure of the handler", []event.Outcome{retry, {}}, []int{0, 1}, nil, 0, 0},
		{"a trap is", []event.Outcome{{}, retry, trap}, []int{0, 1, 2}, nil, 2, 0},
		{"stopped", []event.Outcome{stopped, stopped}, nil, []int{0, 1}, 0, 0},
		{"stopped in part", []event.Outcome{stopped, {}}, []int{1}, []int{0}, 1, 0},
		{"committed", []event.Outcome{good, good}, []int{0, 1}, nil, 0, 0},
		{"in conflict", []event.Outcome{bad, bad}, nil, []int{0, 1}, 0, 1},
		{"effects of two", []event.Outcome{bad, good, good}, []int{1, 2}, []int{0}, 1, 1},
	} {
		joins := make(map[*event.Effects]int)
		var p Plan
		p.Make(test.list, func(e *event.Effects) bool {
			joins[e]++
			return e != bad.Effects
		})
		if !slices.Equal(p.Done, test.done) || !slices.Equal(p.Back, test.back) || p.Judged != test.judged || len(p.Dropped) != test.dropped {
			t.Errorf("%s: got %+v", test.what, p)
		}
		if joins[good.Effects] > 1 || joins[bad.Effects] > 1 {
			t.Errorf("%s: effects were joined twice", test.what)
		}
	}
}
