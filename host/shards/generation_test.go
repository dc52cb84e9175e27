package shards

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/berth-host/berth/host/spec"
)

// TestShardsOfKeys: the shard of a key is a part of what is stored, and must not change.
func TestShardsOfKeys(t *testing.T) {
	for _, tt := range []struct {
		shards int
		key    string
		seq    uint64
		want   int
	}{
		{0, "a", 7, 0}, {1, "a", 7, 0}, {4, "", 7, 3}, {4, "", 8, 0},
		{64, "a", 7, 27}, {64, "customer-1", 7, 24}, {64, "customer-2", 9, 45}, {3, "customer-1", 1, 1}, {3, "ü", 1, 1},
	} {
		if got := New(tt.shards, "/metadata/subject").Shard(tt.key, tt.seq); got != tt.want {
			t.Errorf("%d shards, key %q, seq %d: got %d, want %d", tt.shards, tt.key, tt.seq, got, tt.want)
		}
	}
}

func TestLayoutText(t *testing.T) {
	for text, want := range map[string]Layout{"1": {Shards: 1}, "1 /data/id": {Shards: 1}, "4": {Shards: 4}, "64 /data/a b": {64, "/data/a b"}} {
		got, ok := Parse(text)
		if again, _ := Parse(got.String()); !ok || got != want || again != want {
			t.Errorf("%q: got %+v and %+v, %v, want %+v", text, got, again, ok, want)
		}
	}
	for _, text := range []string{"", "0", "65", "-1", "x", " 4"} {
		if l, ok := Parse(text); ok {
			t.Errorf("%q: got %+v", text, l)
		}
	}
}

func TestSteps(t *testing.T) {
	one, four, byID := New(1, ""), New(4, "/metadata/subject"), New(4, "/data/id")
	at := func(stage Stage, next *Layout, cut uint64) Generation {
		return Generation{Number: 3, Layout: one, Stage: stage, Next: next, Cut: cut}
	}
	want := func(l ...Layout) []Layout { return l }
	for _, tt := range []struct {
		name   string
		g      Generation
		s      situation
		next   Generation
		action action
	}{
		{"all are content", at(Running, nil, 0), situation{wanted: want(one, one)}, at(Running, nil, 0), wait},
		{"no host has the plugin", at(Running, nil, 0), situation{}, at(Running, nil, 0), wait},
		{"hosts differ", at(Running, nil, 0), situation{wanted: want(four, one)}, at(Running, nil, 0), wait},
		{"all want another", at(Running, nil, 0), situation{wanted: want(four, four), steady: true}, at(Stopping, &four, 0), put},
		{"since a moment ago", at(Running, nil, 0), situation{wanted: want(four, four)}, at(Running, nil, 0), wait},
		{"one does not say what it wants", at(Running, nil, 0), situation{wanted: want(four, Layout{}), steady: true}, at(Running, nil, 0), wait},
		{"none says what it wants", at(Running, nil, 0), situation{wanted: want(Layout{}, Layout{}), steady: true}, at(Running, nil, 0), wait},
		{"a unit is not free", at(Stopping, &four, 0), situation{wanted: want(four)}, at(Stopping, &four, 0), wait},
		{"free", at(Stopping, &four, 0), situation{wanted: want(four), free: true}, at(Draining, &four, 0), cut},
		{"free, and all hosts have gone", at(Stopping, &four, 0), situation{free: true}, at(Draining, &four, 0), cut},
		{"free, and late", at(Stopping, &four, 0), situation{wanted: want(four), free: true, late: true}, at(Draining, &four, 0), cut},
		{"not free for long", at(Stopping, &four, 0), situation{wanted: want(four), late: true}, at(Running, nil, 0), put},
		{"one joins that does not say", at(Stopping, &four, 0), situation{wanted: want(four, Layout{}), free: true}, at(Running, nil, 0), put},
		{"one has changed its mind", at(Stopping, &four, 0), situation{wanted: want(four, one), free: true}, at(Running, nil, 0), put},
		{"all have another order", at(Stopping, &four, 0), situation{wanted: want(byID), free: true}, at(Running, nil, 0), put},
		{"something is open", at(Draining, &four, 9), situation{wanted: want(one), free: true}, at(Draining, &four, 9), wait},
		{"all is done", at(Draining, &four, 9), situation{done: true}, at(Ending, &four, 9), put},
		{"not given away yet", at(Ending, &four, 9), situation{done: true}, at(Ending, &four, 9), wait},
		{"redriven meanwhile", at(Ending, &four, 9), situation{free: true}, at(Draining, &four, 9), put},
		{"the next begins", at(Ending, &four, 9), situation{done: true, free: true}, Generation{Number: 4, Layout: four}, begin},
		{"the handler is forgotten", at(Draining, &four, 9), situation{forgotten: true}, first(), remove},
	} {
		t.Run(tt.name, func(t *testing.T) {
			next, action := tt.g.step(tt.s)
			if action != tt.action || !next.equal(tt.next) {
				t.Errorf("got %+v, %d, want %+v, %d", next, action, tt.next, tt.action)
			}
		})
	}
}

// documents is a Store with documents.
type documents struct {
	database
	list []spec.SharedDocument
}

func (d *documents) Shared(context.Context, string) ([]spec.SharedDocument, error) {
	return d.list, nil
}

func (d *documents) Share(_ context.Context, s spec.SharedDocument) (uint64, error) {
	d.list = append(d.list, s)
	return 1, nil
}

func TestDocumentOfANewerVersionConcernsNoOtherPlugin(t *testing.T) {
	d := &documents{list: []spec.SharedDocument{{Kind: Kind, ID: "a", Body: []byte("{}"), Revision: 1}}, database: database{units: map[string]*unit{"b": {owner: 1}}}}
	c := &Coordinator{Store: d, Logger: slog.New(slog.DiscardHandler), Steady: time.Nanosecond, Wishes: func() Wishes {
		return Wishes{Layouts: map[string][]Layout{"a": {New(2, "")}, "b": {New(2, "")}}}
	}}
	for len(d.list) == 1 {
		if err := c.Step(t.Context()); err == nil {
			t.Error("nothing is said of the document of a")
		}
	}
	if last := d.list[len(d.list)-1]; last.ID != "b" {
		t.Errorf("got %+v", d.list)
	}
	known := NewGenerations(d)
	if _, err := known.Follow(t.Context()); err == nil || known.Of("a").MayRun() || known.Of("b").Stage != Stopping {
		t.Errorf("known: %+v, %+v, %v", known.Of("a"), known.Of("b"), err)
	}
}

func TestUnitsOfStages(t *testing.T) {
	four := New(4, "")
	for stage, want := range map[Stage]struct {
		units int
		until uint64
	}{Running: {1, 0}, Stopping: {0, 0}, Draining: {1, 9}, Ending: {0, 0}} {
		g := Generation{Layout: New(1, ""), Stage: stage, Next: &four, Cut: 9}
		if got := g.Units("p"); len(got) != want.units || g.Until() != want.until {
			t.Errorf("%q: got %v until %d, want %+v", stage, got, g.Until(), want)
		}
	}
}

func TestDocuments(t *testing.T) {
	four := New(4, "/data/id")
	for _, g := range []Generation{first(), {Number: 7, Layout: four}, {Number: 1, Layout: New(1, ""), Stage: Draining, Next: &four, Cut: 12}} {
		if got, err := Decode(g.document("p", 3)); err != nil || !got.equal(g) {
			t.Errorf("got %+v, %v, want %+v", got, err, g)
		}
	}
	for _, body := range []string{``, `{}`, `{"layout":{"shards":65}}`, `{"layout":{"shards":2},"stage":"draining"}`,
		`{"layout":{"shards":2},"stage":"other"}`, `{"layout":{"shards":2},"next":{"shards":3}}`} {
		if g, err := Decode(spec.SharedDocument{ID: "p", Body: []byte(body)}); err == nil {
			t.Errorf("%s: got %+v", body, g)
		}
	}
}
