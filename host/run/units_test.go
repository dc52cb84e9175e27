package run_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/bus"
	"github.com/berth-host/berth/host/bus/logtest"
	"github.com/berth-host/berth/host/config"
	"github.com/berth-host/berth/host/delivery"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/route"
	"github.com/berth-host/berth/host/run"
	"github.com/berth-host/berth/host/run/versions"
	"github.com/berth-host/berth/host/shards"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/wire"
)

// generations has one document: the plugin h has shards.
type generations shards.Generation

func (g generations) Shared(context.Context, string) ([]spec.SharedDocument, error) {
	body, err := json.Marshal(shards.Generation(g))
	return []spec.SharedDocument{{Kind: shards.Kind, ID: "h", Body: body, Revision: 1}}, err
}

// sharded is a log of eight events, four subjects in turn, that the plugin h has in two shards, and
// before that in one. None of it is open.
type sharded struct {
	*bus.Memory
	events     []*event.Event
	layout     shards.Layout
	units      run.Units
	dispatcher *delivery.Dispatcher
}

func newSharded(t *testing.T) sharded {
	t.Helper()
	m := bus.NewMemory(bus.MemoryConfig{})
	t.Cleanup(func() { m.Close() })
	b, err := bus.New(bus.Config{Log: m, Window: m.Window()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	s := sharded{Memory: m, layout: shards.New(2, "/metadata/subject")}
	for i := range 8 {
		s.events = append(s.events, logtest.Make(t, event.Draft{Type: "taken", Subject: fmt.Sprint("subject-", i%4)}))
	}
	if _, err := m.Append(t.Context(), s.events); err != nil {
		t.Fatal(err)
	}
	known := shards.NewGenerations(generations{Number: 1, Layout: s.layout})
	if _, err := known.Follow(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.units = run.Units{Generations: known, Read: m.Read}
	s.dispatcher = delivery.New(delivery.Config{Store: m, Log: memoryLog{b, m}})
	t.Cleanup(func() { s.dispatcher.Close(context.Background()) }) //nolint:errcheck // nothing is open
	return s
}

func (s sharded) save(t *testing.T, list []event.Delivery, cursors ...event.Cursor) {
	t.Helper()
	if _, _, err := s.SaveDeliveries(t.Context(), nil, nil, list, cursors); err != nil {
		t.Fatal(err)
	}
}

// unit returns the unit of an event.
func (s sharded) unit(seq uint64) string {
	return s.layout.Units("h")[s.layout.Shard(s.events[seq-1].Subject(), seq)]
}

func TestEventsAreDividedAmongTheUnits(t *testing.T) {
	s := newSharded(t)
	parts, err := s.units.Divide(t.Context(), "h", []uint64{1, 2, 3, 4, 5, 99})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string][]uint64{}
	for seq := uint64(1); seq <= 5; seq++ {
		want[s.unit(seq)] = append(want[s.unit(seq)], seq)
	}
	want["h/1"] = append(want["h/1"], 99) // which the log does not have
	if !reflect.DeepEqual(parts, want) || len(parts) != 2 {
		t.Errorf("got %v, want %v", parts, want)
	}
	if units, err := s.units.Units(t.Context(), "h"); err != nil || !reflect.DeepEqual(units, []string{"h/0", "h/1"}) {
		t.Errorf("got %v, %v", units, err)
	}
	for _, u := range []run.Units{s.units, {Read: s.Read}} {
		parts, err := u.Divide(t.Context(), "g", []uint64{1, 2})
		if want := map[string][]uint64{"g": {1, 2}}; err != nil || !reflect.DeepEqual(parts, want) || !reflect.DeepEqual(u.Known("g"), []string{"g"}) {
			t.Errorf("got %v, %v", parts, err)
		}
	}
}

// TestDivisionReadsTheLogInParts: short ones, with gaps, and an event that cannot be read.
func TestDivisionReadsTheLogInParts(t *testing.T) {
	s := newSharded(t)
	all := make([]event.Record, 0, 300)
	for seq := uint64(1); seq <= 300; seq++ {
		if seq%7 != 3 { // it was trimmed
			all = append(all, event.Record{Seq: seq, Event: s.events[seq%8]})
		}
	}
	reads := 0
	s.units.Read = func(_ context.Context, from uint64, limit int) ([]event.Record, error) {
		reads++
		i := slices.IndexFunc(all, func(rec event.Record) bool { return rec.Seq >= from })
		if i < 0 {
			return nil, nil
		}
		list := all[i:min(i+limit, i+40, len(all))] // a part is shorter than its limit
		if bad := slices.IndexFunc(list, func(rec event.Record) bool { return rec.Seq == 250 }); bad >= 0 {
			return nil, &event.Unreadable{Seq: 250, Err: errors.New("damaged")}
		}
		return list, nil
	}
	var seqs []uint64
	want := make(map[string][]uint64)
	for seq := uint64(300); seq > 0; seq -= 2 {
		seqs = append(seqs, seq)
		shard := int(seq % 2)
		if seq%7 != 3 && seq != 250 {
			shard = s.layout.Shard(s.events[seq%8].Subject(), seq)
		}
		unit := s.layout.Units("h")[shard]
		want[unit] = slices.Insert(want[unit], 0, seq)
	}
	parts, err := s.units.Divide(t.Context(), "h", seqs)
	if err != nil || !reflect.DeepEqual(parts, want) {
		t.Errorf("got %v, %v; want %v", parts, err, want)
	}
	if reads > len(seqs)/2 {
		t.Errorf("%d events are read in %d parts", len(seqs), reads)
	}
}

// TestDeliveriesOfShards: an event waits for the shard that gets it, and for no other; behind the cut of
// a change, for that.
func TestDeliveriesOfShards(t *testing.T) {
	s := newSharded(t)
	s.save(t, []event.Delivery{{Handler: "h", Seq: 1, Status: event.StatusDead, Attempts: 1, ErrorClass: event.ClassTrap},
		{Handler: s.unit(2), Seq: 2, Status: event.StatusRetrying, Attempts: 1, ErrorClass: event.ClassTrap}},
		event.Cursor{Name: "handler/h/0", Seq: 2}, event.Cursor{Name: "handler/h/1", Seq: 2})
	table, err := route.New([]spec.Route{{Pattern: "*"}})
	if err != nil {
		t.Fatal(err)
	}
	known, err := versions.Open(t.Context(), versions.Config{Store: s, Now: time.Now, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	next := shards.New(4, "")
	s.units.Generations = shards.NewGenerations(generations{Number: 1, Layout: s.layout, Next: &next, Stage: shards.Draining, Cut: 6})
	if _, err := s.units.Generations.Follow(t.Context()); err != nil {
		t.Fatal(err)
	}
	d := run.Deliveries{Dispatcher: s.dispatcher, Cursors: s.Cursors, Versions: known, Units: s.units,
		Table: func() *route.Table { return table },
		Manifest: func(plugin string) (abi.Manifest, bool) {
			return abi.Manifest{Name: plugin, Subscribes: []abi.Subscription{{EventType: "taken"}}}, true
		}}
	for seq := uint64(1); seq <= 8; seq++ {
		list, err := d.Deliveries(t.Context(), event.Record{Seq: seq, Event: s.events[seq-1]})
		if err != nil || len(list) != 1 {
			t.Fatalf("event %d: got %+v, %v", seq, list, err)
		}
		got := list[0]
		want := map[uint64]string{1: "h dead", 2: s.unit(2) + " retrying"}[seq]
		if seq > 2 {
			want = s.unit(seq) + " pending"
		}
		if text := spec.UnitName(got.Plugin, got.Shard) + " " + got.Status; got.Plugin != "h" || text != want {
			t.Errorf("event %d: got %s, want %s", seq, text, want)
		}
		if (got.WaitingFor != nil) != (seq > 1) || seq > 1 && strings.Contains(got.WaitingFor.Reason, "being changed") != (seq > 6) {
			t.Errorf("event %d waits for %+v", seq, got.WaitingFor)
		}
	}
}

// TestStatusOfShards: a handler's figures are those of all its shards.
func TestStatusOfShards(t *testing.T) {
	s := newSharded(t)
	s.save(t, []event.Delivery{{Handler: "h", Seq: 1, Status: event.StatusDead, Attempts: 1}, {Handler: "h/1", Seq: 3, Status: event.StatusDead, Attempts: 1},
		{Handler: "h/0", Seq: 2, Status: event.StatusRetrying, Attempts: 1}},
		event.Cursor{Name: "handler/h/0", Seq: 2}, event.Cursor{Name: "handler/h/1", Seq: 5}, event.Cursor{Name: "handler/g", Seq: 8})
	r := run.New(run.Config{Dispatcher: s.dispatcher, Units: s.units, Logger: slog.New(slog.DiscardHandler)})
	status, err := run.LogStatus{Log: s, Runner: r, Settings: func() config.Bus { return config.Bus{} }, Lost: func(string) uint64 { return 0 },
		Health: func() error { return nil }}.LogStatus(t.Context())
	if err != nil || len(status.Handlers) != 2 || status.Handlers[0].Plugin != "g" {
		t.Fatalf("got %+v, %v", status.Handlers, err)
	}
	at := s.events[1].Metadata().Time
	want := wire.LogReader{Plugin: "h", Cursor: 2, Open: 1, Lag: 1 + 5, Dead: 2, OldestAt: &at, // 6 and 3 unread ones are 4.5 of each shard's own
		Shards: []wire.ShardReader{{Shard: 0, Cursor: 2, Open: 1}, {Shard: 1, Cursor: 5, Dead: 1}}}
	if got := status.Handlers[1]; !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	p := r.WithLag(wire.Plugin{Name: "h", State: wire.Active, Instances: 1, Lag: 2})
	if want := (wire.PluginShards{Count: 2, OrderBy: "/metadata/subject"}); p.Lag != 6 || p.Shards == nil || *p.Shards != want {
		t.Errorf("got a lag of %d, %+v", p.Lag, p.Shards)
	}
	if p := r.WithLag(wire.Plugin{Name: "g", State: wire.Active, Instances: 1, Lag: 2}); p.Lag != 2 || p.Shards != nil {
		t.Errorf("without shards: got %+v", p)
	}
}

// TestChangeOfShardsIsShown: also one to a single shard, or from it.
func TestChangeOfShardsIsShown(t *testing.T) {
	one, two := shards.New(1, ""), shards.New(2, "")
	for _, tt := range []struct {
		g    shards.Generation
		want wire.PluginShards
	}{
		{shards.Generation{Layout: one, Next: &two, Stage: shards.Draining, Cut: 7}, wire.PluginShards{Count: 1, Next: &wire.PluginLayout{Count: 2}, Stage: "draining", Until: 7,
			WaitsFor: "events that it has not read yet"}},
		{shards.Generation{Layout: two, Next: &one, Stage: shards.Stopping}, wire.PluginShards{Count: 2, Next: &wire.PluginLayout{Count: 1}, Stage: "stopping"}},
	} {
		s := newSharded(t)
		s.units.Generations = shards.NewGenerations(generations(tt.g))
		if _, err := s.units.Generations.Follow(t.Context()); err != nil {
			t.Fatal(err)
		}
		r := run.New(run.Config{Dispatcher: s.dispatcher, Units: s.units, Logger: slog.New(slog.DiscardHandler)})
		units, err := s.units.Running(t.Context(), "h")
		_, divided := s.units.Divide(t.Context(), "h", []uint64{1})
		if stopped := tt.want.Stage == "stopping"; fault.Is(err, fault.Unavailable) != stopped || fault.Is(divided, fault.Unavailable) != stopped {
			t.Errorf("%s: got %v, %v and %v", tt.want.Stage, units, err, divided)
		}
		if got := r.WithLag(wire.Plugin{Name: "h", State: wire.Active}).Shards; !reflect.DeepEqual(got, &tt.want) {
			t.Errorf("got %+v, want %+v", got, tt.want)
		}
	}
}

// TestWorstConditionOfShards: of all hosts, with the shard and the host; the others in it are named.
func TestWorstConditionOfShards(t *testing.T) {
	s := newSharded(t)
	s.save(t, nil, event.Cursor{Name: "handler/h/0", Seq: 2}, event.Cursor{Name: "handler/h/1", Seq: 2})
	since := time.Now().UTC()
	open, stuck := spec.Progress{Open: 1, Lag: 3, State: "breaker_open", Reason: "failures", Since: since}, spec.Progress{Lag: 2, State: "stuck", Reason: "event 4"}
	for _, tt := range []struct {
		first, second spec.Progress
		state, want   wire.PluginState
		reason        string
		lag           uint64
	}{
		{spec.Progress{}, spec.Progress{}, wire.Standby, wire.Standby, "as it was", 0},
		{open, spec.Progress{}, wire.Standby, wire.BreakerOpen, "shard 0 on a: failures", 2},
		{open, open, wire.Active, wire.BreakerOpen, "shard 0 on a: failures; the same state: shard 1 on b", 4},
		{open, stuck, wire.Active, wire.Stuck, "shard 1 on b: event 4", 3},
		{stuck, open, wire.BreakerOpen, wire.Stuck, "shard 0 on a: event 4", 3},
		{open, open, wire.Disabled, wire.Disabled, "as it was", 4},
	} {
		s.units.Last = func() uint64 { return 0 }
		s.units.Owner = func(unit string) (spec.Member, bool) {
			if unit == "h/0" {
				return spec.Member{Name: "a", Progress: map[string]spec.Progress{unit: tt.first}}, true
			}
			return spec.Member{Name: "b", Progress: map[string]spec.Progress{unit: tt.second}}, true
		}
		r := run.New(run.Config{Dispatcher: s.dispatcher, Units: s.units, Logger: slog.New(slog.DiscardHandler)})
		if p := r.WithLag(wire.Plugin{Name: "h", State: tt.state, Reason: "as it was"}); p.State != tt.want || p.Reason != tt.reason || p.Lag != tt.lag {
			t.Errorf("got %s, %q, a lag of %d; want %s, %q, %d", p.State, p.Reason, p.Lag, tt.want, tt.reason, tt.lag)
		}
	}
}

// TestLagSinceTheOwnerSaidSomething: what was appended after that is not read, also when the owner was
// idle and has ended since.
func TestLagSinceTheOwnerSaidSomething(t *testing.T) {
	s := newSharded(t)
	s.save(t, nil, event.Cursor{Name: "handler/h/0", Seq: 2}, event.Cursor{Name: "handler/h/1", Seq: 2})
	s.units.Last = func() uint64 { return 9 }
	for last, want := range map[uint64]uint64{5: 4, 9: 0, 12: 0} {
		s.units.Owner = func(unit string) (spec.Member, bool) {
			return spec.Member{Name: "a", Progress: map[string]spec.Progress{unit: {Last: last}}}, true
		}
		r := run.New(run.Config{Dispatcher: s.dispatcher, Units: s.units, Logger: slog.New(slog.DiscardHandler)})
		if p := r.WithLag(wire.Plugin{Name: "h", State: wire.Standby}); p.Lag != want {
			t.Errorf("said when the log ended at %d: got %d, want %d", last, p.Lag, want)
		}
	}
}

// TestChangeOfShardsSaysWhatItWaitsFor: the open events and their next retry, or why they wait, and that
// the files want other shards meanwhile. An event behind the cut waits for the next shards.
func TestChangeOfShardsSaysWhatItWaitsFor(t *testing.T) {
	s, next := newSharded(t), shards.New(4, "")
	due := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	s.save(t, []event.Delivery{{Handler: "h/0", Seq: 2, Status: event.StatusRetrying, Attempts: 1, Due: due.Add(time.Hour)},
		{Handler: "h/1", Seq: 1, Status: event.StatusRetrying, Attempts: 1, Due: due}},
		event.Cursor{Name: "handler/h/0", Seq: 5}, event.Cursor{Name: "handler/h/1", Seq: 5})
	s.units.Generations = shards.NewGenerations(generations{Number: 1, Layout: s.layout, Next: &next, Stage: shards.Draining, Cut: 5})
	if _, err := s.units.Generations.Follow(t.Context()); err != nil {
		t.Fatal(err)
	}
	wants := "4"
	s.units.Last = func() uint64 { return 5 }
	s.units.Owner = func(string) (spec.Member, bool) {
		return spec.Member{Name: "a", Layouts: map[string]string{"h": wants}}, true
	}
	r := run.New(run.Config{Dispatcher: s.dispatcher, Units: s.units, Logger: slog.New(slog.DiscardHandler)})
	const list = "berth events list --handler h --status retrying"
	for _, tt := range []struct {
		state       wire.PluginState
		wants, text string
	}{
		{wire.Active, "4", "open events: 2, the next retry is due at 2030-01-02T03:04:05Z; " + list},
		{wire.Paused, "4", "the handler is paused: berth plugin resume h"},
		{wire.Disabled, "4", "the handler does not run, and its events wait: " + list},
		{wire.Paused, "2", "the handler is paused: berth plugin resume h; the files of a want 2: the shards change to 4 first, and then once more"},
	} {
		wants = tt.wants
		if got := r.WithLag(wire.Plugin{Name: "h", State: tt.state, Instances: 1}).Shards; got == nil || got.WaitsFor != tt.text {
			t.Errorf("%s: got %+v, want %q", tt.state, got, tt.text)
		}
	}
}

// TestStateOfAShardIsLeft: a position of a shard is one of its plugin.
func TestStateOfAShardIsLeft(t *testing.T) {
	s := newSharded(t)
	s.save(t, nil, event.Cursor{Name: "handler/h/7", Seq: 2}, event.Cursor{Name: "handler/g-h", Seq: 2})
	for plugin, want := range map[string]bool{"h": true, "g": false, "g-h": true} {
		if forgettable, purgeable, err := (run.HandlerState{State: s}).Has(t.Context(), plugin); forgettable != want || purgeable || err != nil {
			t.Errorf("%s: got %v, %v, %v", plugin, forgettable, purgeable, err)
		}
	}
}
