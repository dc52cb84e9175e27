package run

import (
	"context"
	"encoding/json"
	"slices"
	"testing"

	"github.com/berth-host/berth/host/bus"
	"github.com/berth-host/berth/host/delivery"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/shards"
	"github.com/berth-host/berth/host/spec"
)

// document is the one of the plugin h.
type document struct{ g shards.Generation }

func (d *document) Shared(context.Context, string) ([]spec.SharedDocument, error) {
	body, err := json.Marshal(d.g)
	return []spec.SharedDocument{{Kind: shards.Kind, ID: "h", Body: body, Revision: 1}}, err
}

// log is a log in memory.
type log struct {
	*bus.Bus
	*bus.Memory
}

func (l log) Subscribe(from uint64) delivery.Reader { return l.Bus.Subscribe(from) }
func (l log) Last() uint64                          { return l.Memory.Last() }
func (l log) Close() error                          { return nil }

// TestOnlyUnitsOfTheLayoutInForceRun: the version that runs here, what this host knows and what the
// database has agree, or nothing of the plugin begins.
func TestOnlyUnitsOfTheLayoutInForceRun(t *testing.T) {
	two, three := shards.New(2, "/metadata/subject"), shards.New(3, "/metadata/subject")
	memory := bus.NewMemory(bus.MemoryConfig{})
	b, err := bus.New(bus.Config{Log: memory, Window: memory.Window()})
	if err != nil {
		t.Fatal(err)
	}
	defer memory.Close() //nolint:errcheck // it is memory
	defer b.Close()
	stored := &document{shards.Generation{Number: 1, Layout: two}}
	known := shards.NewGenerations(stored)
	follow := func() {
		t.Helper()
		if _, err := known.Follow(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	r := New(Config{Dispatcher: delivery.New(delivery.Config{Store: memory, Log: log{b, memory}, Shared: true}), Units: Units{Generations: known}})
	defer r.Dispatcher.Close(context.Background()) //nolint:errcheck // nothing is open
	bound := uint64(0)
	runs := func(units int, admitted fault.Code) {
		t.Helper()
		if got := r.Runnable("h"); !slices.Equal(got, two.Units("h")[:units]) {
			t.Errorf("runnable: %v", got)
		}
		var err error
		if bound, err = r.Admit(t.Context(), "h/1"); fault.CodeOf(err) != admitted {
			t.Errorf("admitted: %v", err)
		}
	}
	follow()
	runs(0, fault.Conflict) // no version runs
	v := &prepared{runner: r, name: "h", layout: two, policy: delivery.Policy{Key: (*event.Event).Subject}}
	units, err := v.open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer closeAll(t.Context(), units) //nolint:errcheck // nothing is open
	r.live.add("h", &running{units: units, layout: two})
	until := func(want uint64) {
		t.Helper()
		if bound != want {
			t.Errorf("it reads until %d, want %d", bound, want)
		}
	}
	runs(2, "")
	until(0)
	stored.g = shards.Generation{Number: 1, Layout: two, Stage: shards.Stopping, Next: &three}
	runs(2, fault.Conflict) // this host does not know it yet
	follow()
	runs(0, fault.Conflict)
	stored.g.Stage, stored.g.Cut = shards.Draining, 7
	runs(0, "")
	until(7)
	follow()
	runs(2, "")
	stored.g = shards.Generation{Number: 2, Layout: three}
	runs(2, fault.Conflict)
	follow()
	runs(0, fault.Conflict) // the version has the former layout
	stored.g = shards.Generation{Number: 3, Layout: two}
	follow()
	runs(2, "")
	until(0)
	if _, err := r.Admit(t.Context(), "h"); !fault.Is(err, fault.Conflict) {
		t.Errorf("the handler without shards: %v", err)
	}
}

// TestEachEventIsOfOneShard: policies of the shards divide the events.
func TestEachEventIsOfOneShard(t *testing.T) {
	v := &prepared{layout: shards.New(3, "/metadata/subject"), policy: delivery.Policy{Key: (*event.Event).Subject}}
	shardOfKey := make(map[string]int)
	for seq := uint64(1); seq <= 60; seq++ {
		draft := event.Draft{Type: "t"}
		if seq%2 == 0 {
			draft.Subject = string(rune('a' + seq%10))
		}
		ev, err := event.New(draft)
		if err != nil {
			t.Fatal(err)
		}
		var mine []int
		for shard := range 3 {
			if v.policyOf(shard).Mine(event.Record{Seq: seq, Event: ev}) {
				mine = append(mine, shard)
			}
		}
		if len(mine) != 1 {
			t.Fatalf("event %d is of the shards %v", seq, mine)
		}
		if former, found := shardOfKey[draft.Subject]; draft.Subject != "" && found && former != mine[0] {
			t.Errorf("key %s is of the shards %d and %d", draft.Subject, former, mine[0])
		}
		shardOfKey[draft.Subject] = mine[0]
	}
	if v = (&prepared{layout: shards.New(1, "")}); v.policyOf(0).Mine != nil {
		t.Error("a handler with one shard asks of which an event is")
	}
}
