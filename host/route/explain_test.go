package route_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/route"
	"github.com/berth-host/berth/host/spec"
)

func TestExplainAgreesWithTakes(t *testing.T) {
	table := newTable(t,
		spec.Route{Pattern: "order_*", When: "data.total_cents > 10000"},
		spec.Route{Pattern: "order_status_changed", Exclude: []string{"deaf"}},
		spec.Route{Pattern: "only", Handlers: []string{"a", "b"}},
		spec.Route{Pattern: "none", Handlers: []string{}},
		spec.Route{Pattern: "costly", When: "data.l.all(a, data.l.all(b, data.l.all(c, a == b && b == c)))"},
	)
	subs := []abi.Subscription{{EventType: "order_*", When: "data.vip"}, {EventType: "*_changed", When: "data.total_cents < 5"}}
	for _, tt := range []struct {
		name, handler, typ, data string
		subs                     []abi.Subscription
		takes                    bool
		route, reason            string
	}{
		{"no route", "h", "stock", "{}", nil, false, "", "no route is for the type stock; tried: order_status_changed, costly, order_*, only, none"},
		{"takes everything", "h", "order_status_changed", "{}", nil, true, "order_status_changed", "it takes every routed type"},
		{"excluded", "deaf", "order_status_changed", "{}", nil, false, "order_status_changed", "the route order_status_changed excludes it"},
		{"not listed", "h", "only", "{}", nil, false, "only", "the route only is for a, b only"},
		{"nobody", "h", "none", "{}", nil, false, "none", "the route none is for no handler (handlers: [])"},
		{"route false", "h", "order_new", `{"total_cents":1}`, nil, false, "order_*", "the condition of the route order_* does not hold: data.total_cents > 10000"},
		{"route fails", "h", "order_new", `{}`, nil, false, "order_*", "the condition of the route order_* could not be evaluated: no such key: total_cents (data.total_cents > 10000)"},
		{"route costs too much", "h", "costly", `{"l":[` + strings.Repeat("1,", 300) + `1]}`, nil, false, "costly", "the condition of the route costly could not be evaluated: cost limit exceeded: all conditions of a handler, or of a route, may cost 20000 for one event (data.l.all("},
		{"not subscribed", "h", "only", "{}", subs[:1], false, "only", "the route only is for a, b only"},
		{"manifest is for others", "a", "only", "{}", subs, false, "only", "its manifest does not subscribe to the type only, but to order_*, *_changed"},
		{"manifest is for nothing", "a", "only", "{}", []abi.Subscription{}, false, "only", "its manifest does not subscribe to the type only, but to none"},
		{"manifest false and failing", "h", "order_status_changed", `{"vip":false}`, subs, false, "order_status_changed",
			"the condition of its subscription to order_* does not hold: data.vip; the condition of its subscription to *_changed could not be evaluated: no such key: total_cents (data.total_cents < 5)"},
		{"manifest true", "h", "order_status_changed", `{"vip":true}`, subs, true, "order_status_changed", "it subscribes to order_*, and the condition holds: data.vip"},
		{"subscribed", "a", "only", "{}", []abi.Subscription{{EventType: "o*"}}, true, "only", "it subscribes to o*"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f, err := route.NewFilter(tt.handler, tt.subs)
			if err != nil {
				t.Fatal(err)
			}
			ev := newEvent(t, tt.typ, tt.data)
			got := table.Explain(tt.handler, f, ev)
			if got.Takes != tt.takes || got.Route != tt.route || !strings.HasPrefix(got.Reason, tt.reason) {
				t.Errorf("got %+v", got)
			}
			if takes, _ := table.Takes(tt.handler, f, ev); takes != got.Takes {
				t.Errorf("Takes says %v", takes)
			}
		})
	}
	if got := newTable(t).Explain("h", nil, newEvent(t, "a", "1")); got.Takes || !strings.HasPrefix(got.Reason, "there are no routes") {
		t.Errorf("without routes: got %+v", got)
	}
}

func TestExplainShortensLongLists(t *testing.T) {
	var rules []spec.Route
	for i := range 1000 {
		rules = append(rules, spec.Route{Pattern: fmt.Sprintf("t%03d", i)})
	}
	got := newTable(t, rules...).Explain("h", nil, newEvent(t, "a", "1"))
	if !strings.HasSuffix(got.Reason, "t019 and 980 more") {
		t.Errorf("got %s", got.Reason)
	}
}

// TestIndexFindsTheDecidingPattern compares the index with trying every pattern.
func TestIndexFindsTheDecidingPattern(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`[ab]{1,5}`)
		patterns := rapid.SliceOfNDistinct(rapid.StringMatching(`[ab*]{1,6}`), 1, 40, rapid.ID).Draw(t, "patterns")
		var rules []spec.Route
		for _, p := range patterns {
			rules = append(rules, spec.Route{Pattern: p})
		}
		table, err := route.New(rules)
		if err != nil {
			t.Fatal(err)
		}
		for _, typ := range rapid.SliceOfN(text, 1, 10).Draw(t, "types") {
			want := ""
			for _, p := range table.Patterns() {
				if matches(p, typ) {
					want = p
					break
				}
			}
			for range 2 { // the second answer is remembered
				if r, _ := table.Route(event.Type(typ)); r.Pattern != want {
					t.Fatalf("%s among %v: got %q, want %q", typ, table.Patterns(), r.Pattern, want)
				}
			}
		}
		if !slices.IsSortedFunc(table.Patterns(), func(a, b string) int { return beginning(b) - beginning(a) }) {
			t.Fatalf("not by their beginnings: %v", table.Patterns())
		}
	})
}

// matches is the plainest way to match a glob.
func matches(glob, s string) bool {
	switch {
	case glob == "":
		return s == ""
	case glob[0] == '*':
		return matches(glob[1:], s) || s != "" && matches(glob, s[1:])
	}
	return s != "" && s[0] == glob[0] && matches(glob[1:], s[1:])
}

func beginning(glob string) int {
	before, _, _ := strings.Cut(glob, "*")
	return len(before)
}
