package units_test

import (
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/shards"
	"github.com/berth-host/berth/host/spec"
)

// TestTwoCoordinatorsAndAnOwner: two coordinators step at once, while what they want changes and a host
// takes, moves and gives units: positions never go back, and are those of the layout in force.
func TestTwoCoordinatorsAndAnOwner(t *testing.T) {
	s := open(t)
	s.save(nil, "p", 0, nil)
	layouts := []shards.Layout{shards.New(1, ""), shards.New(3, "/a"), shards.New(2, "/a")}
	var wanted atomic.Int64
	coordinator := func() *shards.Coordinator {
		return &shards.Coordinator{Store: s.Store, Logger: slog.New(slog.DiscardHandler), Steady: time.Nanosecond, Wishes: func() shards.Wishes {
			return shards.Wishes{Layouts: map[string][]shards.Layout{"p": {layouts[wanted.Load()]}}}
		}}
	}
	known := shards.NewGenerations(s.Store)
	const rounds = 40
	var stepping sync.WaitGroup
	for range 2 {
		stepping.Go(func() {
			c := coordinator()
			for range rounds {
				if err := c.Step(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	position := uint64(0)
	for round := range rounds {
		wanted.Store(int64(round / 5 % len(layouts)))
		g, err := known.Read(t.Context(), "p")
		s.check(err)
		for _, unit := range g.Units("p") {
			position = max(position, s.own(known, unit, uint64(round/2)))
		}
	}
	stepping.Wait()
	wanted.Store(1)
	c := coordinator()
	for g := (shards.Generation{}); g.Layout != layouts[1] || g.Stage != shards.Running; {
		s.check(c.Step(t.Context()))
		var err error
		g, err = known.Read(t.Context(), "p")
		s.check(err)
		for _, unit := range g.Units("p") {
			position = max(position, s.own(known, unit, 20))
		}
	}
	for range 2 {
		for _, unit := range layouts[1].Units("p") {
			position = max(position, s.own(known, unit, 20))
		}
	}
	cursors, err := s.Cursors(t.Context())
	s.check(err)
	var want, got []string
	for _, unit := range layouts[1].Units("p") {
		want = append(want, fmt.Sprintf("%s=%d", unit, position))
	}
	for _, cursor := range cursors {
		got = append(got, fmt.Sprintf("%s=%d", cursor.Handler(), cursor.Seq))
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// own takes a unit, as a host does, moves its position up to a Seq, and gives it back. It returns the
// position.
func (s *store) own(known *shards.Generations, unit string, to uint64) (position uint64) {
	s.t.Helper()
	ctx := s.t.Context()
	view, err := s.ledger.Beat(ctx, spec.Beating{Member: spec.Member{ID: "host"}, Beat: 1})
	s.check(err)
	seen := spec.Unit{}
	if i := slices.IndexFunc(view.Units, func(u spec.Unit) bool { return u.Name == unit }); i >= 0 {
		seen = view.Units[i]
	}
	epoch, err := s.ledger.Take(ctx, unit, seen, "host")
	if fault.Is(err, fault.Conflict) {
		return 0 // a coordinator has ended the epoch
	}
	s.check(err)
	fence := spec.Fence{Unit: unit, Epoch: epoch}
	g, err := known.Read(ctx, "p")
	s.check(err)
	if slices.Contains(g.Units("p"), unit) {
		backlog, err := s.LoadBacklog(ctx, unit)
		s.check(err)
		if !backlog.Found {
			s.t.Errorf("unit %s of %+v has no position", unit, g)
		}
		position = max(backlog.Cursor, to)
		if until := g.Until(); until > 0 {
			position = max(backlog.Cursor, min(until, to))
		}
		_, fenced, err := s.SaveDeliveries(ctx, []spec.Fence{fence}, nil, nil, []event.Cursor{{Name: "handler/" + unit, Seq: position}})
		s.check(err)
		if len(fenced) > 0 {
			s.t.Errorf("the owner of %s is fenced", unit)
		}
	}
	s.check(s.ledger.Give(ctx, fence))
	return position
}
