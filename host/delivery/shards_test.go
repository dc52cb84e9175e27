package delivery_test

import (
	"strings"
	"testing"

	"github.com/berth-host/berth/host/delivery"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
)

// even is the policy of a shard that gets events with an even Seq.
func even(takes func(*event.Event) bool) delivery.Policy {
	return delivery.Policy{Key: bySubject, Takes: takes, Mine: func(rec event.Record) bool { return rec.Seq%2 == 0 },
		Retry: spec.RetryPolicy{MaxAttempts: 3}}
}

// setUpBounded sets up a host that owns h/0 up to a bound.
func setUpBounded(t *testing.T, until uint64) fixture {
	f := setUpWith(t, delivery.Config{Shared: true})
	f.store.cursors["handler/h/0"] = 0
	f.own(t, until)
	return f
}

// own has the host own h/0 up to a bound.
func (f fixture) own(t *testing.T, until uint64) {
	t.Helper()
	x := &lease{fence: spec.Fence{Unit: "h/0", Epoch: 1}, done: make(chan struct{}), until: until}
	if err := f.d.Own(t.Context(), "h/0", x); err != nil {
		t.Fatal(err)
	}
}

// TestCursorStopsAtTheBound: also when the last events before it are not the handler's, and the
// ones behind it are.
func TestCursorStopsAtTheBound(t *testing.T) {
	for _, tt := range []struct {
		name  string
		takes func(*event.Event) bool
		seqs  []uint64
	}{
		{"it takes events", nil, []uint64{2, 4, 6}},
		{"it takes none", func(*event.Event) bool { return false }, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := setUpBounded(t, 7)
			f.store.took = func(seq uint64) bool { return seq%2 == 0 && tt.seqs != nil }
			h := f.open(t, "h/0", even(tt.takes))
			for range 12 {
				f.log.publish(t, "")
			}
			for _, want := range tt.seqs {
				if a, ok := h.Next(nil, nil); !ok || a.Seq != want {
					t.Fatalf("got %d, want %d", a.Seq, want)
				} else {
					h.Done(a.Attempt, event.Outcome{})
				}
			}
			f.store.await(t, "the cursor is at the bound", func() bool { return f.store.cursors["handler/h/0"] == 7 })
			if a, ok := h.TryNext(); ok {
				t.Fatalf("%d started beyond the bound", a.Seq)
			}
			if s := h.Stats(); s.Lag != 5 || s.Open != 0 {
				t.Errorf("got %+v", s)
			}
			if err := f.d.Disown(t.Context(), "h/0"); err != nil {
				t.Fatal(err)
			}
			f.own(t, 0)
			if tt.seqs != nil {
				if a, _ := h.Next(nil, nil); a.Seq != 8 {
					t.Errorf("got %d, want 8", a.Seq)
				} else {
					h.Done(a.Attempt, event.Outcome{})
				}
			}
		})
	}
}

// TestBoundOfSharedEvents: events that are kept by their Seqs are delivered up to the bound.
func TestBoundOfSharedEvents(t *testing.T) {
	const events, until = 300, 201
	f := setUpBounded(t, until)
	f.store.took = func(seq uint64) bool { return seq%2 == 0 }
	p := even(nil)
	p.Fair = bySubjects(20)
	h := f.open(t, "h/0", p)
	for range events {
		f.log.publish(t, "a")
	}
	for want := uint64(2); want <= until; want += 2 {
		if a, ok := h.Next(nil, nil); !ok || a.Seq != want {
			t.Fatalf("got %d, want %d", a.Seq, want)
		} else {
			h.Done(a.Attempt, event.Outcome{})
		}
	}
	f.store.await(t, "the cursor is at the bound", func() bool { return f.store.cursors["handler/h/0"] == until })
	if a, ok := h.TryNext(); ok {
		t.Fatalf("%d started beyond the bound", a.Seq)
	}
}

// TestActionsBeyondTheBound: events behind the bound are for other shards.
func TestActionsBeyondTheBound(t *testing.T) {
	f := setUpBounded(t, 4)
	h := f.open(t, "h/0", even(nil))
	for range 8 {
		f.log.publish(t, "")
	}
	if err := f.d.SkipEvent(t.Context(), "h/0", 6); !fault.Is(err, fault.Conflict) {
		t.Errorf("skip 6: %v", err)
	}
	if list, err := f.d.Deliveries(t.Context(), f.log.at(6)); err != nil || len(list) != 1 || list[0].WaitingFor.Kind != "backlog" ||
		!strings.Contains(list[0].WaitingFor.Reason, "the new ones deliver it") {
		t.Errorf("6 waits for %+v, %v", list, err)
	}
	if err := f.d.SkipEvent(t.Context(), "h/0", 4); err != nil {
		t.Errorf("skip 4: %v", err)
	}
	if err := f.d.Replay(t.Context(), "h/0", 5, 8); !fault.Is(err, fault.Conflict) {
		t.Errorf("replay 5: %v", err)
	}
	if a, _ := h.Next(nil, nil); a.Seq != 2 {
		t.Errorf("got %d, want 2", a.Seq)
	} else {
		h.Done(a.Attempt, event.Outcome{})
	}
}

// TestDeliveriesNameTheShard: an event is shown for its shard only, and measured for the plugin.
func TestDeliveriesNameTheShard(t *testing.T) {
	f := setUp(t)
	f.store.took = func(uint64) bool { return false }
	odd := delivery.Policy{Mine: func(rec event.Record) bool { return rec.Seq%2 == 1 }}
	shards := []*handler{f.open(t, "h/0", even(nil)), f.open(t, "h/1", odd)}
	only := event.Draft{Type: "t"}
	f.log.add(t, only)
	f.log.add(t, only)
	for i, h := range shards {
		a, _ := h.Next(nil, nil)
		list, err := f.d.Deliveries(t.Context(), f.log.at(int(a.Seq)))
		if err != nil || len(list) != 1 || list[0].Plugin != "h" || list[0].Shard == nil || *list[0].Shard != i {
			t.Errorf("shard %d: got %+v, %v", i, list, err)
		}
		h.Done(a.Attempt, event.Outcome{})
	}
	if m := f.d.Measure("h"); len(m.Versions) != 1 || m.Versions[0].Counts.OK != 2 || m.Ready != 0 {
		t.Errorf("got %+v", m)
	}
	if !f.d.RunsAny("h") || f.d.RunsAny("h/0") || f.d.RunsAny("g") {
		t.Error("the plugin runs, and no other one")
	}
}

// TestBoundIsThatOfTheTenure: a handler that its owner closes, and opens again, reads no further,
// and the next tenure has a bound of its own.
func TestBoundIsThatOfTheTenure(t *testing.T) {
	c, stop := newCluster(t)
	t.Cleanup(stop)
	d := c.host(delivery.Config{})
	closing(t, d)
	c.publish(t, make([]string, 6)...)
	x := c.take("h/0")
	x.until = 4
	if err := d.Own(t.Context(), "h/0", x); err != nil {
		t.Fatal(err)
	}
	p := even(nil)
	if err := c.claim(t.Context(), event.Cursor{Name: event.HandlerCursors("h/0").Position}); err != nil {
		t.Fatal(err)
	}
	next := func(h *handler, want ...uint64) {
		t.Helper()
		for _, seq := range want {
			if a, ok := h.Next(nil, nil); !ok || a.Seq != seq {
				t.Fatalf("got %d, want %d", a.Seq, seq)
			} else {
				h.Done(a.Attempt, event.Outcome{})
			}
		}
	}
	h := open(t, d, "h/0", p)
	next(h, 2)
	if err := h.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	h = open(t, d, "h/0", p)
	next(h, 4)
	await(t, "the position is the bound", func() bool {
		at, _, err := c.Cursor(t.Context(), event.HandlerCursors("h/0").Position)
		return err == nil && at == 4
	})
	if err := d.Disown(t.Context(), "h/0"); err != nil {
		t.Fatal(err)
	}
	if err := d.Own(t.Context(), "h/0", c.take("h/0")); err != nil {
		t.Fatal(err)
	}
	next(h, 6)
}
