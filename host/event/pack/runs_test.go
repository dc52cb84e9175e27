package pack_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/event/pack"
)

// TestRunsKeepTheLastOutcomeOfASeq adds outcomes in both ways and any order.
func TestRunsKeepTheLastOutcomeOfASeq(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var rs pack.Runs
		var order []string
		want := make(map[string]map[uint64]string)
		put := func(handler string, seq uint64, result string) {
			if want[handler] == nil {
				want[handler] = make(map[uint64]string)
				order = append(order, handler)
			}
			want[handler][seq] = result
		}
		for n := range rapid.IntRange(1, 30).Draw(t, "steps") {
			handler := rapid.SampledFrom([]string{"a", "b"}).Draw(t, "handler")
			seq := rapid.Uint64Range(1, 20).Draw(t, "seq")
			result := fmt.Sprint(n)
			if rapid.Bool().Draw(t, "alone") {
				put(handler, seq, result)
				rs.Add(handler, pack.Outcome{Seq: seq, Result: []byte(result)})
				continue
			}
			of := event.Successes{Handler: handler}
			for _, s := range []uint64{seq + 3, seq, seq + 1} {
				put(handler, s, result)
				of.Append(s, event.Success{}, []byte(result))
			}
			rs.AddAll(&of)
			if rapid.Bool().Draw(t, "sort") {
				rs.Sort()
			}
		}
		var handlers []string
		for _, r := range rs.All() {
			handlers = append(handlers, r.Handler)
			got := make(map[uint64]string)
			list := r.Outcomes()
			for _, o := range list {
				got[o.Seq] = string(o.Result)
			}
			ascending := slices.IsSortedFunc(list, func(a, b pack.Outcome) int { return int(a.Seq) - int(b.Seq) })
			if !ascending || len(list) != len(got) || !maps.Equal(got, want[r.Handler]) {
				t.Fatalf("%s: got %v, want %v", r.Handler, got, want[r.Handler])
			}
		}
		if !slices.Equal(handlers, order) {
			t.Fatalf("got the handlers %v, want %v", handlers, order)
		}
	})
}

// TestUnionTakesTheNewer merges two ascending lists.
func TestUnionTakesTheNewer(t *testing.T) {
	list := func(result string, seqs ...uint64) (list []pack.Outcome) {
		for _, seq := range seqs {
			list = append(list, pack.Outcome{Seq: seq, Result: []byte(result)})
		}
		return list
	}
	for _, tt := range []struct {
		older, newer []pack.Outcome
		want         string
	}{
		{nil, nil, ""}, {list("o", 1, 2), nil, "o1 o2 "}, {nil, list("n", 3), "n3 "},
		{list("o", 1, 3, 5), list("n", 2, 3, 9), "o1 n2 n3 o5 n9 "}, {list("o", 4, 5), list("n", 1, 5), "n1 o4 n5 "},
	} {
		got := ""
		for _, o := range pack.Union(nil, tt.older, tt.newer) {
			got += fmt.Sprintf("%s%d ", o.Result, o.Seq)
		}
		if got != tt.want {
			t.Errorf("got %s, want %s", got, tt.want)
		}
	}
}
