package route_test

import (
	"strings"
	"testing"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/spec"
)

// TestConditionsThatCostTooMuch has conditions of a manifest that could stop a host: every
// handler's events wait while it is evaluated. Each is stopped by its cost,
// which does not depend on the machine.
func TestConditionsThatCostTooMuch(t *testing.T) {
	list := func(n int) string { return `[` + strings.TrimSuffix(strings.Repeat("1,", n), ",") + `]` }
	many := make([]abi.Subscription, 50)
	for i := range many {
		many[i] = abi.Subscription{EventType: "*", When: "data.l.all(a, a < 2) && data.l.size() < 0"}
	}
	empty := make([]abi.Subscription, 5000)
	for i := range empty {
		empty[i] = abi.Subscription{EventType: "*", When: "data.nothing"}
	}
	for _, tt := range []struct {
		name, data string
		subs       []abi.Subscription
		costs      bool
	}{
		{"equal values in a loop", `{"l":` + list(2000) + `}`, []abi.Subscription{{EventType: "*", When: "data.l.all(a, data == data)"}}, true},
		{"equal lists of made values", `{"l":` + list(2000) + `}`, []abi.Subscription{{EventType: "*", When: "data.l.all(a, [data] == [data] && {'a': data} == {'a': data})"}}, true},
		{"a value among others in a loop", `{"l":` + list(2000) + `}`, []abi.Subscription{{EventType: "*", When: "data.l.all(a, data in [data])"}}, true},
		{"a long list", `{"l":` + list(20000) + `}`, []abi.Subscription{{EventType: "*", When: "data.l.all(a, a < 2)"}}, true},
		{"many conditions together", `{"l":` + list(2000) + `}`, many, true},
		{"many conditions that fail", `{}`, empty, true},

		{"a list", `{"l":` + list(2000) + `}`, []abi.Subscription{{EventType: "*", When: "data.l.all(a, a < 2)"}}, false},
		{"a text", `{"s":"` + strings.Repeat("x", 1<<20-1000) + `"}`, []abi.Subscription{{EventType: "*", When: "!data.s.contains('needle')"}}, false},
		{"equal values", `{"l":` + list(2000) + `}`, []abi.Subscription{{EventType: "*", When: "data == data && data.l == data.l && data in [data]"}}, false},
		{"some conditions", `{"n":1}`, []abi.Subscription{{EventType: "*", When: "data.a > 1"}, {EventType: "*", When: "data.b"}, {EventType: "*", When: "data.n == 1"}}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := newTable(t, spec.Route{Pattern: "*"}).Takes("h", newFilter(t, tt.subs...), newEvent(t, "a", tt.data))
			if tt.costs && (got || err == nil || !strings.Contains(err.Error(), "cost")) || !tt.costs && (!got || err != nil) {
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
}

// TestCostDoesNotAffectUnconditionalSubscriptions: a subscription without a condition costs nothing, and takes
// an event whatever the conditions around it have cost. The error names the
// subscription whose condition cost too much.
func TestCostDoesNotAffectUnconditionalSubscriptions(t *testing.T) {
	data := `{"l":[` + strings.TrimSuffix(strings.Repeat("1,", 20000), ",") + `]}`
	dear, cheap, always := abi.Subscription{EventType: "*", When: "data.l.all(a, a < 2)"}, abi.Subscription{EventType: "*", When: "data.l.size() == 0"}, abi.Subscription{EventType: "*"}
	missing := abi.Subscription{EventType: "*", When: "data.nothing"}
	for _, tt := range []struct {
		name  string
		subs  []abi.Subscription
		takes bool
		err   string
	}{
		{"none behind", []abi.Subscription{dear, always}, true, ""},
		{"one behind", []abi.Subscription{dear, cheap, always}, true, ""},
		{"two behind", []abi.Subscription{dear, cheap, missing, always}, true, ""},
		{"the first is dear", []abi.Subscription{dear, cheap, missing}, false, "subscribes[0].when: cost limit exceeded"},
		{"the second is dear", []abi.Subscription{missing, dear, cheap}, false, "subscribes[1].when: cost limit exceeded"},
		{"none is dear", []abi.Subscription{cheap, missing, missing}, false, "subscribes[1].when: no such key"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			table, filter, ev := newTable(t, spec.Route{Pattern: "*"}), newFilter(t, tt.subs...), newEvent(t, "a", data)
			got, err := table.Takes("h", filter, ev)
			if got != tt.takes || (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("got %v, %v", got, err)
			}
			why := table.Explain("h", filter, ev)
			if why.Takes != tt.takes || strings.Count(why.Reason, "cost limit") > 1 || strings.Contains(tt.err, "cost") != strings.Contains(why.Reason, "cost") {
				t.Errorf("explained: %+v", why)
			}
		})
	}
}
