package route_test

import (
	"fmt"
	"testing"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/spec"
)

// manyRules are 1,000 routes as a large company's would be: half of them exact
// types, the others globs of every shape; one in four has a condition.
func manyRules() []spec.Route {
	rules := make([]spec.Route, 0, 1000)
	for i := range 1000 {
		r := spec.Route{Pattern: fmt.Sprintf("team%d.order_%d.changed", i%40, i)}
		switch i % 10 {
		case 1, 3, 5:
			r.Pattern = fmt.Sprintf("team%d.order_%d.*", i%40, i)
		case 7:
			r.Pattern = fmt.Sprintf("*.order_%d.removed", i)
		case 9:
			r.Pattern = fmt.Sprintf("*.part_%d.*", i)
		}
		if i%4 == 0 {
			r.When = "data.total_cents > 10000"
		}
		rules = append(rules, r)
	}
	return append(rules[:999], spec.Route{Pattern: "*"})
}

const order = `{"id":"o-1","customer_id":"ada","total_cents":12345,"currency":"EUR","items":[{"sku":"TEAPOT","quantity":1,"unit_price_cents":12345}],"status":"paid","version":3}`

// BenchmarkThousandRules is one event's decision among 1,000 routes: which
// decides, and whether its condition holds.
func BenchmarkThousandRules(b *testing.B) {
	for _, bm := range []struct{ name, typ string }{
		{"exact", "team2.order_2.changed"},
		{"exact, when", "team4.order_4.changed"},
		{"glob by its beginning", "team1.order_1.removed"},
		{"glob by its end", "x.order_7.removed"},
		{"glob by its middle", "x.part_999.y"},
		{"the last one", "something_else"},
	} {
		b.Run(bm.name, func(b *testing.B) {
			table := newTable(b, manyRules()...)
			events := [2]*event.Event{newEvent(b, bm.typ, order), newEvent(b, bm.typ, order)}
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				i++ // each time another event: what is known of the last one does not help
				if ok, err := table.Takes("h", nil, events[i%2]); !ok || err != nil {
					b.Fatal(ok, err)
				}
			}
		})
	}
	b.Run("types never seen before", func(b *testing.B) {
		table := newTable(b, manyRules()...)
		types := make([]event.Type, 1<<14) // more than a Table remembers
		for i := range types {
			types[i] = event.Type(fmt.Sprintf("x.part_%d.y%d", i%1000, i))
		}
		b.ReportAllocs()
		i := 0
		for b.Loop() {
			if !table.Routed(types[i%len(types)]) {
				b.Fatal(types[i%len(types)])
			}
			i++
		}
	})
}

// BenchmarkTenHandlers is one event for ten handlers, all behind one condition.
func BenchmarkTenHandlers(b *testing.B) {
	table := newTable(b, manyRules()...)
	events := [2]*event.Event{newEvent(b, "team4.order_4.changed", order), newEvent(b, "team4.order_4.changed", order)}
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		n++
		for range 10 {
			if ok, err := table.Takes("h", nil, events[n%2]); !ok || err != nil {
				b.Fatal(ok, err)
			}
		}
	}
}
