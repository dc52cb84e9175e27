package run_test

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/bus"
	"github.com/berth-host/berth/host/bus/logtest"
	"github.com/berth-host/berth/host/delivery"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/route"
	"github.com/berth-host/berth/host/run"
	"github.com/berth-host/berth/host/run/versions"
	"github.com/berth-host/berth/host/spec"
)

// memoryLog is a log for a dispatcher.
type memoryLog struct {
	*bus.Bus
	*bus.Memory
}

func (l memoryLog) Subscribe(from uint64) delivery.Reader { return l.Bus.Subscribe(from) }
func (l memoryLog) Last() uint64                          { return l.Memory.Last() }

// TestDeliveriesOfClosedHandlers: a handler that is not open shows what waits for it, what
// is stored, and what an older version did not keep, of the events that it takes.
func TestDeliveriesOfClosedHandlers(t *testing.T) {
	m := bus.NewMemory(bus.MemoryConfig{})
	defer m.Close()
	b, err := bus.New(bus.Config{Log: m, Window: m.Window()})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	var events []*event.Event
	for seq := range 7 {
		events = append(events, logtest.Make(t, event.Draft{Type: []string{"taken", "other"}[seq/6]}))
	}
	if _, err := m.Append(t.Context(), events); err != nil {
		t.Fatal(err)
	}
	stored := event.Successes{Handler: "h"}
	stored.Append(3, event.Success{At: events[0].Metadata().Time, Fuel: 3}, []byte("3"))
	cursors := []event.Cursor{{Name: "handler/h", Seq: 5}, {Name: "thinned-from/h", Seq: 2}, {Name: "thinned-to/h", Seq: 7}}
	if _, _, err := m.SaveDeliveries(t.Context(), nil, []event.Successes{stored}, nil, cursors); err != nil {
		t.Fatal(err)
	}
	d := delivery.New(delivery.Config{Store: m, Log: memoryLog{b, m}})
	defer d.Close(context.Background())
	table, err := route.New([]spec.Route{{Pattern: "*"}})
	if err != nil {
		t.Fatal(err)
	}
	known, err := versions.Open(t.Context(), versions.Config{Store: m, Now: time.Now, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	deliveries := run.Deliveries{Dispatcher: d, Cursors: m.Cursors, Versions: known, Table: func() *route.Table { return table },
		Manifest: func(plugin string) (abi.Manifest, bool) {
			return abi.Manifest{Name: plugin, Subscribes: []abi.Subscription{{EventType: "taken"}}}, plugin == "h"
		}}
	for i, want := range []string{"none", "ok false", "ok 3", "ok false", "ok false", "pending", "none"} {
		list, err := deliveries.Deliveries(t.Context(), event.Record{Seq: uint64(i + 1), Event: events[i]})
		if err != nil || len(list) > 1 {
			t.Fatalf("event %d: got %+v, %v", i+1, list, err)
		}
		got := "none"
		if len(list) == 1 {
			got = list[0].Status
			if list[0].ResultKept != nil {
				got += fmt.Sprint(" ", *list[0].ResultKept)
			}
			if w := list[0].WaitingFor; (w != nil) != (got == "pending") || w != nil && w.Kind != "disabled" {
				t.Errorf("event %d waits for %+v", i+1, w)
			}
			if list[0].Result != nil {
				got += " " + string(list[0].Result)
			}
		}
		if got != want {
			t.Errorf("event %d: got %s, want %s", i+1, got, want)
		}
	}
}

// A delivery that another host makes waits for that one, by name.
func TestDeliveryOnStandbyNamesTheHost(t *testing.T) {
	m := bus.NewMemory(bus.MemoryConfig{})
	defer m.Close()
	b, err := bus.New(bus.Config{Log: m, Window: m.Window()})
	if err != nil {
		t.Fatal(err)
	}
	ev := logtest.Make(t, event.Draft{Type: "taken"})
	owner := ""
	d := delivery.New(delivery.Config{Store: m, Log: memoryLog{b, m}, Shared: true, Owner: func(string) string { return owner }})
	defer d.Close(context.Background())
	if _, err := d.Open(t.Context(), "h", "", delivery.Policy{}); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Append(t.Context(), []*event.Event{ev}); err != nil {
		t.Fatal(err)
	}
	known, err := versions.Open(t.Context(), versions.Config{Store: m, Now: time.Now, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	table, err := route.New([]spec.Route{{Pattern: "*"}})
	if err != nil {
		t.Fatal(err)
	}
	deliveries := run.Deliveries{Dispatcher: d, Cursors: m.Cursors, Versions: known, Table: func() *route.Table { return table },
		Owner: func(string) string { return owner }, Manifest: func(plugin string) (abi.Manifest, bool) {
			return abi.Manifest{Name: plugin, Subscribes: []abi.Subscription{{EventType: "taken"}}}, true
		}}
	for name, want := range map[string]string{
		"":  "no host runs the handler yet: one takes it within seconds",
		"b": "the host b runs the handler, and shows what it waits for",
	} {
		owner = name
		list, err := deliveries.Deliveries(t.Context(), event.Record{Seq: 1, Event: ev})
		if err != nil || len(list) != 1 || list[0].WaitingFor == nil || list[0].WaitingFor.Kind != "standby" || list[0].WaitingFor.Reason != want {
			t.Errorf("owner %q: got %+v, %v", name, list, err)
		}
	}
}
