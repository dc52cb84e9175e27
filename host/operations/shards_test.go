package operations

import (
	"context"
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/wire"
)

// shardedHost has the handler pricing in two shards.
type shardedHost struct {
	*fakeHost
	cursors map[string]uint64 // by unit
	replays []string          // the units and plugins that were asked for one
	without bool              // no host runs pricing/1, which has every event with an odd Seq
}

var errNoHost = fault.New(fault.Unavailable, "no host runs pricing/1 now")

// Requeue has the events of pricing/0 delivered also while no host runs pricing/1.
func (h *shardedHost) Requeue(ctx context.Context, plugin string, seqs []uint64) (int, error) {
	h.mu.Lock()
	without := h.without
	h.mu.Unlock()
	if !without {
		return h.fakeHost.Requeue(ctx, plugin, seqs)
	}
	var given, failed []uint64
	for _, seq := range seqs {
		if seq%2 == 0 {
			given = append(given, seq)
		} else {
			failed = append(failed, seq)
		}
	}
	n := 0
	if len(given) > 0 {
		n, _ = h.fakeHost.Requeue(ctx, plugin, given)
	}
	return n, &event.PartialError{Units: []string{"pricing/1"}, Seqs: failed, Err: errNoHost}
}

func newShardedHost(t *testing.T, events int) (*Runner, *shardedHost) {
	h := &shardedHost{fakeHost: newFakeHost(t, events), cursors: map[string]uint64{"pricing/0": uint64(events), "pricing/1": uint64(events)}}
	r := setup(t, h.fakeHost)
	r.cfg.Store, r.cfg.Deliveries = h, h
	return r, h
}

func (h *shardedHost) Cursors(context.Context) (list []event.Cursor, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, unit := range slices.Sorted(maps.Keys(h.cursors)) {
		list = append(list, event.Cursor{Name: "handler/" + unit, Seq: h.cursors[unit]})
	}
	return list, nil
}

func (h *shardedHost) Replay(_ context.Context, handler string, from, _ uint64) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.replays = append(h.replays, handler)
	var err error
	for unit := range h.cursors {
		switch {
		case handler != unit && handler != "pricing":
		case h.without && unit == "pricing/1":
			err = &event.PartialError{Units: []string{unit}, Err: errNoHost}
		default:
			h.cursors[unit] = from - 1
		}
	}
	return err
}

// CountRedriven has each pending event at one unit.
func (h *shardedHost) CountRedriven(ctx context.Context, unit string, from, to uint64) (int, error) {
	if unit != "pricing/1" {
		return 0, nil
	}
	return h.fakeHost.CountRedriven(ctx, unit, from, to)
}

// TestReplayEndsWithTheLastShard: it is as far as the slowest, and what is cancelled ends in those that
// are in it.
func TestReplayEndsWithTheLastShard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, h := newShardedHost(t, 100)
		in := wire.NewOperation{Kind: Replay, Plugin: "pricing", Filter: wire.OperationFilter{From: "11", To: "90"}}
		at := func(first, second uint64) {
			<-time.After(pollEvery / 2) // by the clock of the bubble
			h.do(func() { h.cursors["pricing/0"], h.cursors["pricing/1"] = first, second })
			<-time.After(pollEvery)
		}
		id := start(t, r, in).ID
		at(60, 20)
		if o, err := r.Show(id); err != nil || o.Done != 10 || o.State != wire.OperationRunning {
			t.Errorf("got %+v, %v", o, err)
		}
		at(100, 89)
		if o, _ := r.Show(id); o.State != wire.OperationRunning {
			t.Errorf("one shard has not ended: %+v", o)
		}
		at(100, 90)
		if o, _ := r.Show(id); o.State != wire.OperationDone || o.Done != 80 {
			t.Errorf("got %+v", o)
		}
		id = start(t, r, in).ID
		at(95, 20)
		if _, err := r.Cancel(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		if want := []string{"pricing", "pricing", "pricing/1"}; !slices.Equal(h.replays, want) || h.cursors["pricing/1"] != 20 || h.cursors["pricing/0"] != 95 {
			t.Errorf("got %q, %v", h.replays, h.cursors)
		}
	})
}

// TestOnlyWhatFailedIsRepeated: while no host runs one shard, the other one gets its events once, and is
// set back once.
func TestOnlyWhatFailedIsRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, h := newShardedHost(t, 100)
		run := func(f wire.OperationFilter, done uint64) {
			h.do(func() { h.without = true })
			id := start(t, r, wire.NewOperation{Kind: Replay, Plugin: "pricing", Filter: f}).ID
			<-time.After(10 * pollEvery) // by the clock of the bubble
			if o, err := r.Show(id); err != nil || o.State != wire.OperationRunning || o.Reason != "it waits: no host runs pricing/1 now" {
				t.Errorf("got %+v, %v", o, err)
			}
			h.do(func() { h.without = false })
			<-time.After(2 * pollEvery) // likewise
			h.do(func() { h.cursors["pricing/0"], h.cursors["pricing/1"] = 100, 100 })
			<-time.After(2 * pollEvery) // likewise
			if o, _ := r.Show(id); o.State != wire.OperationDone || o.Done != done {
				t.Errorf("got %+v", o)
			}
		}
		run(wire.OperationFilter{From: "11", To: "60"}, 50)
		if want := slices.Concat([]string{"pricing"}, slices.Repeat([]string{"pricing/1"}, len(h.replays)-1)); len(want) < 5 || !slices.Equal(h.replays, want) {
			t.Errorf("got %q", h.replays)
		}
		run(wire.OperationFilter{Subject: "S-1", From: "11", To: "60"}, 10)
		times := make(map[uint64]int)
		for _, call := range h.calls {
			for _, seq := range call.seqs {
				times[seq]++
			}
		}
		for seq := uint64(12); seq <= 60; seq += 5 {
			if times[seq] != 1 {
				t.Errorf("%d was given %d times", seq, times[seq])
			}
		}
	})
}

// TestCancelledReplayEndsWhereItHasBegun: also when one shard has not begun it.
func TestCancelledReplayEndsWhereItHasBegun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, h := newShardedHost(t, 100)
		h.without = true
		id := start(t, r, wire.NewOperation{Kind: Replay, Plugin: "pricing", Filter: wire.OperationFilter{From: "11", To: "60"}}).ID
		<-time.After(pollEvery / 2) // by the clock of the bubble
		h.do(func() { h.cursors["pricing/0"] = 20 })
		if o, err := r.Cancel(t.Context(), id); err != nil {
			t.Fatal(o, err)
		}
		<-time.After(pollEvery) // likewise
		if want := []string{"pricing", "pricing/0"}; !slices.Equal(h.replays, want) || h.cursors["pricing/0"] != 20 {
			t.Errorf("got %q, %v", h.replays, h.cursors)
		}
	})
}

func TestPendingEventsOfAllShardsCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, h := newShardedHost(t, 100)
		h.paused = true
		o := &operation{Operation: wire.Operation{Plugin: "pricing"}, from: 1, to: 100, ctx: t.Context()}
		if n, err := h.RetryNow(t.Context(), "pricing", []uint64{4, 14, 24}); n != 3 || err != nil {
			t.Fatal(n, err)
		}
		if n, err := r.countPending(o); n != 3 || err != nil {
			t.Errorf("got %d, %v", n, err)
		}
	})
}

// TestOperationWaitsWhileNoHostRunsItsHandler: as during a hand-over, or a change of shards.
func TestOperationWaitsWhileNoHostRunsItsHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newFakeHost(t, 100)
		r := setup(t, h)
		h.failures["retry"] = fault.New(fault.Unavailable, "no host runs it now")
		id := start(t, r, wire.NewOperation{Kind: Redrive, Plugin: "pricing"}).ID
		<-time.After(10 * time.Second) // by the clock of the bubble
		if o, err := r.Show(id); err != nil || o.State != wire.OperationRunning || o.Reason != "it waits: no host runs it now" {
			t.Errorf("got %+v, %v", o, err)
		}
		h.do(func() { delete(h.failures, "retry") })
		<-time.After(10 * time.Second) // likewise
		if o, _ := r.Show(id); o.State != wire.OperationDone || o.Done != 10 || o.Reason != "" {
			t.Errorf("got %+v", o)
		}
		h.do(func() { h.failures["retry"] = fault.New(fault.Unavailable, "no host runs it now") })
		id = start(t, r, wire.NewOperation{Kind: Retry, Plugin: "pricing"}).ID
		<-time.After(2 * unavailableFor) // likewise
		if o, _ := r.Show(id); o.State != wire.OperationFailed {
			t.Errorf("got %+v", o)
		}
	})
}
