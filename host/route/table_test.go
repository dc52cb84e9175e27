package route_test

import (
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/route"
	"github.com/berth-host/berth/host/spec"
)

func newTable(t testing.TB, rules ...spec.Route) *route.Table {
	t.Helper()
	table, err := route.New(rules)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func newFilter(t testing.TB, subs ...abi.Subscription) *route.Filter {
	t.Helper()
	f, err := route.NewFilter("h", subs)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func newEvent(t testing.TB, typ, data string) *event.Event {
	t.Helper()
	ev, err := event.New(event.Draft{Type: typ, Data: json.RawMessage(data), Subject: "o-1"})
	if err != nil {
		t.Fatal(err)
	}
	return ev
}

func TestSpecificityDecides(t *testing.T) {
	patterns := []string{"*", "order_*", "*_changed", "order_s*", "order_status_changed", "order_*_deleted", "*_*", "a*b", "a*c*"}
	tests := []struct{ typ, want string }{
		{"order_status_changed", "order_status_changed"},
		{"order_status", "order_s*"},
		{"order_created", "order_*"},
		{"order_x_deleted", "order_*_deleted"},
		{"order_shipped_deleted", "order_s*"},
		{"stock_changed", "*_changed"},
		{"stock_moved", "*_*"},
		{"stock", "*"},
		{"axcxb", "a*b"},
		{"axc", "a*c*"},
	}
	for _, reverse := range []bool{false, true} {
		var rules []spec.Route
		for _, p := range patterns {
			r := spec.Route{Pattern: p}
			if reverse {
				rules = append([]spec.Route{r}, rules...)
			} else {
				rules = append(rules, r)
			}
		}
		table := newTable(t, rules...)
		for _, tt := range tests {
			for range 2 { // the second answer is remembered
				r, ok := table.Route(event.Type(tt.typ))
				if !ok || r.Pattern != tt.want {
					t.Errorf("%s (reverse %v): got %q, want %q", tt.typ, reverse, r.Pattern, tt.want)
				}
			}
		}
	}
}

func TestEqualPatternsKeepTheirOrder(t *testing.T) {
	for _, patterns := range [][]string{{"a*x*", "a*y*"}, {"a*y*", "a*x*"}} {
		table := newTable(t, spec.Route{Pattern: patterns[0]}, spec.Route{Pattern: patterns[1]})
		if r, _ := table.Route("axy"); r.Pattern != patterns[0] {
			t.Errorf("got %q, want %q", r.Pattern, patterns[0])
		}
	}
}

func TestTakesNeedsRouteAndSubscription(t *testing.T) {
	order := newEvent(t, "order_status_changed", `{"total_cents":12345,"items":[{"sku":"a"}],"status":"paid","vip":true}`)
	table := newTable(t,
		spec.Route{Pattern: "order_*"},
		spec.Route{Pattern: "only_*", Handlers: []string{"h"}},
		spec.Route{Pattern: "none_*", Handlers: []string{}},
		spec.Route{Pattern: "but_*", Exclude: []string{"h"}},
		spec.Route{Pattern: "when_*", When: "data.total_cents > 10000"},
	)
	sub := func(typ, when string) []abi.Subscription {
		return []abi.Subscription{{EventType: typ, When: when}}
	}
	tests := []struct {
		name    string
		handler string
		subs    []abi.Subscription
		event   *event.Event
		want    bool
		err     string
	}{
		{"every routed type", "h", nil, order, true, ""},
		{"not routed", "h", nil, newEvent(t, "stock_moved", "{}"), false, ""},
		{"subscribed", "h", sub("order_*", ""), order, true, ""},
		{"subscribed to another", "h", sub("stock_*", ""), order, false, ""},
		{"subscribed to nothing", "h", []abi.Subscription{}, order, false, ""},
		{"on the list", "h", nil, newEvent(t, "only_a", "{}"), true, ""},
		{"not on the list", "g", nil, newEvent(t, "only_a", "{}"), false, ""},
		{"empty list", "h", nil, newEvent(t, "none_a", "{}"), false, ""},
		{"excluded", "h", nil, newEvent(t, "but_a", "{}"), false, ""},
		{"not excluded", "g", nil, newEvent(t, "but_a", "{}"), true, ""},
		{"route holds", "h", nil, newEvent(t, "when_a", `{"total_cents":10001}`), true, ""},
		{"route does not hold", "h", nil, newEvent(t, "when_a", `{"total_cents":10000}`), false, ""},
		{"route fails", "h", nil, newEvent(t, "when_a", `{}`), false, "routes.when_*.when: no such key: total_cents"},
		{"route fails on null", "h", nil, newEvent(t, "when_a", `null`), false, "routes.when_*.when: "},
		{"int literal", "h", sub("*", "data.total_cents == 12345"), order, true, ""},
		{"double literal", "h", sub("*", "data.total_cents < 12345.5"), order, true, ""},
		{"literal first", "h", sub("*", "10000 < data.total_cents"), order, true, ""},
		{"in a list", "h", sub("*", "data.status in ['paid', 'shipped']"), order, true, ""},
		{"index", "h", sub("*", "data.items[0].sku == 'a' && size(data.items) == 1"), order, true, ""},
		{"macro", "h", sub("*", "data.items.exists(i, i.sku == 'a')"), order, true, ""},
		{"has", "h", sub("*", "has(data.missing) && data.missing > 1"), order, false, ""},
		{"bare field", "h", sub("*", "data.vip"), order, true, ""},
		{"bare field of another type", "h", sub("*", "data.status"), order, false, "h: subscribes[0].when: is string, not true or false"},
		{"type", "h", sub("*", "event_type.startsWith('order_')"), order, true, ""},
		{"metadata", "h", sub("*", "metadata.subject == 'o-1' && metadata.hops == 0 && !has(metadata.causation_id) && timestamp(metadata.time) < timestamp('2300-01-01T00:00:00Z')"), order, true, ""},
		{"regexp", "h", sub("*", "data.status.matches('^pa.d$')"), order, true, ""},
		{"another one holds", "h", []abi.Subscription{{EventType: "*", When: "data.missing"}, {EventType: "order_*"}}, order, true, ""},
		{"another type's condition", "h", []abi.Subscription{{EventType: "stock_*"}, {EventType: "order_*", When: "false"}}, order, false, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f, err := route.NewFilter(tt.handler, tt.subs)
			if err != nil {
				t.Fatal(err)
			}
			got, err := table.Takes(tt.handler, f, tt.event)
			if got != tt.want {
				t.Errorf("got %v, want %v (%v)", got, tt.want, err)
			}
			if tt.err == "" && err != nil || tt.err != "" && (!fault.Is(err, fault.Invalid) || !strings.HasPrefix(err.Error(), tt.err)) {
				t.Errorf("got error %v, want %q", err, tt.err)
			}
		})
	}
}

func TestCostOfConditionIsBounded(t *testing.T) {
	list := "[" + strings.TrimSuffix(strings.Repeat("1,", 2000), ",") + "]"
	ev := newEvent(t, "a", `{"l":`+list+`}`)
	f := newFilter(t, abi.Subscription{EventType: "*", When: "data.l.all(a, data.l.all(b, data.l.all(c, a == b && b == c)))"})
	got, err := newTable(t, spec.Route{Pattern: "*"}).Takes("h", f, ev)
	if got || err == nil || !strings.Contains(err.Error(), "cost limit exceeded") {
		t.Errorf("got %v, %v; want the cost limit", got, err)
	}
}

func TestNewNamesEveryProblem(t *testing.T) {
	_, err := route.New([]spec.Route{
		{Pattern: "Bad"},
		{Pattern: "a", When: "data.x >"},
		{Pattern: "a"},
		{Pattern: "b", When: "dta.x > 1"},
		{Pattern: "c", When: "1 + 1"},
		{Pattern: "d", When: "event_type > 1"},
		{Pattern: "e", When: strings.Repeat("1 == 1 && ", 500) + "true"},
		{Pattern: "f", When: " \t"},
	})
	var bad route.Errors
	if !fault.Is(err, fault.Invalid) || !errors.As(err, &bad) {
		t.Fatalf("got %v, want invalid", err)
	}
	want := []string{
		"routes.Bad: is not an event type or a glob",
		"routes.a.when: column 9: ",
		"routes.a: is repeated",
		"routes.b.when: column 1: undeclared reference to 'dta' (in container '')",
		"routes.c.when: must be true or false, but is of type int",
		"routes.d.when: column 12: ",
		"routes.e.when: ",
		"routes.f.when: is blank",
	}
	for i, one := range bad {
		if i >= len(want) || !strings.HasPrefix(one.Error(), want[i]) || strings.Contains(one.Error(), "\n") {
			t.Errorf("%d: got %q, want %q", i, one, want[min(i, len(want)-1)])
		}
	}
	if len(bad) != len(want) {
		t.Errorf("got %d problems, want %d", len(bad), len(want))
	}
}

func TestNewFilterNamesEveryProblem(t *testing.T) {
	_, err := route.NewFilter("h", []abi.Subscription{{EventType: "UP"}, {EventType: "a", When: "nope"}})
	want := "h: subscribes[0].event_type: \"UP\" is not an event type or a glob\nsubscribes[1].when: column 1: undeclared reference to 'nope' (in container '')"
	if !fault.Is(err, fault.Invalid) || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// TestRouteCacheIsBounded although producers can publish any number of types.
func TestRouteCacheIsBounded(t *testing.T) {
	table := newTable(t, spec.Route{Pattern: "t1*", When: "data > 1"}, spec.Route{Pattern: "t*"})
	f := newFilter(t, abi.Subscription{EventType: "*", When: "data > 0"})
	two, one := newEvent(t, "t1", "2"), newEvent(t, "t1", "1")
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := range 1500 {
				typ := event.Type("t" + strconv.Itoa(i%1400+w))
				if r, _ := table.Route(typ); r.Pattern != "t*" != strings.HasPrefix(string(typ), "t1") {
					t.Errorf("%s: got %q", typ, r.Pattern)
				}
				if i%50 == 0 {
					a, _ := table.Takes("h", f, two)
					b, _ := table.Takes("h", f, one)
					if !a || b {
						t.Errorf("got %v, %v; want true, false", a, b)
					}
				}
			}
		})
	}
	wg.Wait()
}

func TestTakesDoesNotAllocate(t *testing.T) {
	table := newTable(t, spec.Route{Pattern: "order_*", Exclude: []string{"g"}})
	f := newFilter(t, abi.Subscription{EventType: "*_changed"})
	ev := newEvent(t, "order_status_changed", "{}")
	if n := testing.AllocsPerRun(100, func() {
		if ok, err := table.Takes("h", f, ev); !ok || err != nil {
			t.Error(ok, err)
		}
	}); n != 0 {
		t.Errorf("got %v allocations, want 0", n)
	}
}

func BenchmarkTakes(b *testing.B) {
	ev := newEvent(b, "order_status_changed", `{"total_cents":12345,"items":[{"sku":"a","quantity":1}],"status":"paid"}`)
	for name, when := range map[string]string{"plain": "", "when": "data.total_cents > 10000"} {
		b.Run(name, func(b *testing.B) {
			table := newTable(b, spec.Route{Pattern: "order_*"}, spec.Route{Pattern: "*"})
			f := newFilter(b, abi.Subscription{EventType: "order_*", When: when})
			b.ReportAllocs()
			for b.Loop() {
				if ok, err := table.Takes("h", f, ev); !ok || err != nil {
					b.Fatal(ok, err)
				}
			}
		})
	}
}
