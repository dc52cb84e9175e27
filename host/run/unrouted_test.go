package run

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/route"
	"github.com/berth-host/berth/host/spec"
)

func TestUnroutedTypesAreLogged(t *testing.T) {
	table, err := route.New([]spec.Route{{Pattern: "order_*"}, {Pattern: "never", When: "false"}})
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	now := time.Unix(1_000_000, 0)
	u := NewUnrouted(func() *route.Table { return table }, func() time.Time { return now }, slog.New(slog.NewTextHandler(&log, nil)))
	note := func(types ...string) int {
		t.Helper()
		var records []event.Record
		for _, typ := range types {
			ev, err := event.New(event.Draft{Type: typ, Source: "shop"})
			if err != nil {
				t.Fatal(err)
			}
			records = append(records, event.Record{Seq: 1, Event: ev})
		}
		log.Reset()
		u.note(records)
		return strings.Count(log.String(), "event type has no route")
	}
	if n := note("order_placed", "never"); n != 0 {
		t.Errorf("routed types: %d lines: %s", n, &log)
	}
	if n := note("stock_low", "stock_low", "other"); n != 2 || !strings.Contains(log.String(), "event_type=stock_low") || !strings.Contains(log.String(), "event_source=shop") {
		t.Errorf("two types: %d lines: %s", n, &log)
	}
	now = now.Add(unroutedEvery - 1)
	if n := note("stock_low", "third"); n != 1 {
		t.Errorf("just before the time: %d lines: %s", n, &log)
	}
	now = now.Add(1)
	if n := note("stock_low"); n != 1 {
		t.Errorf("after the time: %d lines: %s", n, &log)
	}
	var many []string
	for i := range 150 {
		many = append(many, fmt.Sprintf("many%d", i))
	}
	if n := note(many...); n != 99 || !strings.Contains(log.String(), "further event types without a route") {
		t.Errorf("150 types: %d lines", n)
	}
	if n := note("yet.another"); n != 0 {
		t.Errorf("beyond the bound: %d lines", n)
	}
}
