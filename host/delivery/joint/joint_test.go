package joint_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/berth-host/berth/host/delivery"
	"github.com/berth-host/berth/host/delivery/joint"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/wire"
)

// filled returns the shards of the only host, each of which has at least so many events, without
// order keys, that are read.
func filled(t *testing.T, shards, each int, p delivery.Policy) (*cluster, *delivery.Dispatcher, *joint.Source) {
	t.Helper()
	c, d := alone(t, delivery.Config{})
	c.publish(t, make([]string, shards*each)...)
	s := open(t, d, shards, p)
	await(t, "all are read", func() bool { return s.Stats().Open == uint64(shards*each) })
	return c, d, s
}

// begin starts an attempt without waiting.
func begin(x *joint.Lease) (event.Attempt, bool) {
	taken, ok := x.NextBuffered()
	if !ok {
		taken, ok = x.Next(nil, elapsed)
	}
	return taken.Attempt, ok
}

// TestShardsAlternate: an instance takes from each shard that has events before it takes from one
// of them again.
func TestShardsAlternate(t *testing.T) {
	const shards = 4
	_, _, s := filled(t, shards, 200, delivery.Policy{})
	x := s.Lease()
	defer x.Close()
	var order []int
	for a, ok := begin(x); ok; a, ok = begin(x) {
		if shard := int(a.Seq % shards); len(order) == 0 || order[len(order)-1] != shard {
			order = append(order, shard)
		}
		x.Done(&event.Outcome{})
	}
	if len(order) < 4*shards {
		t.Fatalf("the order is %v only", order)
	}
	for i := range order[:2*shards] { // all have events for so long
		round := slices.Clone(order[i : i+shards])
		slices.Sort(round)
		if !slices.Equal(round, []int{0, 1, 2, 3}) {
			t.Fatalf("the order is %v", order)
		}
	}
	if st := s.Stats(); st.Delivered != 800 || st.Open != 0 || st.Lag != 0 {
		t.Errorf("got %+v", st)
	}
}

// TestBatchIsOfOneShard: a batch that is full does not wait for that of another shard, and one that
// is not waits for its own time.
func TestBatchIsOfOneShard(t *testing.T) {
	c, d := alone(t, delivery.Config{})
	s := open(t, d, 2, delivery.Policy{})
	x := s.Lease()
	defer x.Close()
	c.publish(t, "", "", "", "", "") // 1, 3 and 5 of shard 1, 2 and 4 of shard 0
	await(t, "all are read", func() bool { return s.Stats().Open == 5 })
	next := func(wait time.Duration, want ...uint64) {
		t.Helper()
		list, ok := x.NextBatch(3, wait, nil, nil)
		var got []uint64
		for _, a := range list {
			got = append(got, a.Seq)
		}
		if !ok || !slices.Equal(got, want) {
			t.Fatalf("got %v, want %v", got, want)
		}
		x.DoneBatch(make([]event.Outcome, len(list)))
	}
	next(time.Hour, 1, 3, 5)
	next(time.Millisecond, 2, 4)
	if _, ok := x.NextBatch(3, time.Hour, nil, elapsed); ok {
		t.Error("there is another one")
	}
	c.publish(t, "", "")
	await(t, "both are read", func() bool { return s.Stats().Open == 2 })
	next(0, 7)
	next(0, 6)
}

// TestInstanceEnds: it ends when it is stopped, and before it waits when it is retired.
func TestInstanceEnds(t *testing.T) {
	_, _, s := filled(t, 3, 1, delivery.Policy{})
	x := s.Lease()
	if _, ok := x.Next(elapsed, nil); ok {
		t.Error("a stopped instance gets an attempt")
	}
	for range 3 {
		if _, ok := x.Next(nil, elapsed); !ok {
			t.Error("a retired one gets no attempt that is ready")
		}
		x.Done(&event.Outcome{})
	}
	ended := make(chan bool)
	for _, channels := range []struct{ stop, retire chan struct{} }{{make(chan struct{}), nil}, {nil, make(chan struct{})}} {
		go func() {
			_, ok := x.Next(channels.stop, channels.retire)
			ended <- ok
		}()
		if channels.stop != nil {
			close(channels.stop)
		} else {
			close(channels.retire)
		}
		if <-ended {
			t.Error("it gets an attempt that is not there")
		}
	}
	x.Close()
}

// TestAttemptWithoutALease: the pool fails events when no instance starts.
func TestAttemptWithoutALease(t *testing.T) {
	_, _, s := filled(t, 3, 2, delivery.Policy{})
	shards := make(map[uint64]int)
	var list []event.Attempt
	for a, ok := s.TryNext(); ok; a, ok = s.TryNext() {
		shards[a.Seq%3]++
		list = append(list, a)
	}
	if len(list) != 6 || len(shards) != 3 || list[0].Seq%3 == list[1].Seq%3 {
		t.Fatalf("got %v", list)
	}
	for _, a := range list {
		s.Done(a, event.Outcome{Verdict: event.Reject, Class: event.ClassRejected})
		s.Done(a, event.Outcome{}) // it is completed
	}
	if st := s.Stats(); st.Failed != 6 || st.Delivered != 0 || st.Open != 0 {
		t.Errorf("got %+v", st)
	}
}

// TestCloseReturnsAttempts: what an instance has not started goes to another one, and successes
// are stored when the source has closed.
func TestCloseReturnsAttempts(t *testing.T) {
	const shards, each = 3, 100
	c, _, s := filled(t, shards, each, delivery.Policy{})
	x, y := s.Lease(), s.Lease()
	for range 4 {
		if _, ok := begin(x); !ok {
			t.Fatal("no attempt")
		}
		x.Done(&event.Outcome{})
	}
	x.Close()
	n := 4
	for _, ok := begin(y); ok; _, ok = begin(y) {
		y.Done(&event.Outcome{})
		n++
	}
	if n != shards*each {
		t.Fatalf("%d of %d attempts", n, shards*each)
	}
	y.Close()
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, unit := range spec.Units("p", shards) {
		if got := c.cursor(t, unit); got != shards*each {
			t.Errorf("the position of %s is %d", unit, got)
		}
	}
}

// TestFullBufferIsRecordedAtTheNextShard: the successes of a shard are recorded before an instance
// goes on with another one.
func TestFullBufferIsRecordedAtTheNextShard(t *testing.T) {
	_, _, s := filled(t, 2, 100, delivery.Policy{})
	x := s.Lease()
	defer x.Close()
	first, _ := begin(x)
	n := uint64(0)
	for a := first; a.Seq%2 == first.Seq%2; a, _ = begin(x) {
		x.Done(&event.Outcome{})
		n++
	}
	if st := s.Stats(); st.Delivered != n || st.Open != 200-n {
		t.Errorf("%d are done: %+v", n, st)
	}
	x.Done(&event.Outcome{})
}

// TestCondition: it is the worst one of the shards that run here.
func TestCondition(t *testing.T) {
	c, stop := newCluster(t)
	defer stop()
	d := c.host(delivery.Config{Shared: true, Owner: func(string) string { return "other" }})
	defer d.Close(context.Background())
	s := open(t, d, 3, delivery.Policy{Breaker: spec.BreakerPolicy{Failures: 2, Cooldown: time.Hour, MaxCooldown: time.Hour},
		Retry: spec.RetryPolicy{MaxAttempts: 1}})
	want := func(state wire.PluginState, reason string) {
		t.Helper()
		if got := s.Stats().Condition; got.State != state || !strings.Contains(got.Reason, reason) {
			t.Errorf("got %+v, want %q", got, state)
		}
	}
	want(wire.Standby, "other")
	units := spec.Units("p", 3)
	if err := d.Own(t.Context(), units[1], c.take(units[1])); err != nil {
		t.Fatal(err)
	}
	want("", "")
	c.publish(t, make([]string, 12)...)
	await(t, "the shard has read its events", func() bool { return s.Stats().Open == 4 })
	x := s.Lease()
	defer x.Close()
	for range 2 {
		if taken, ok := x.Next(nil, nil); !ok || taken.Seq%3 != 1 {
			t.Fatalf("got %d", taken.Seq)
		}
		if f, ok := spec.FenceOf(x.Context()); !ok || f.Unit != "p/1" {
			t.Errorf("it has the fence %v", f)
		}
		x.Done(&event.Outcome{Verdict: event.Failed, Class: event.ClassTrap})
	}
	want(wire.BreakerOpen, "shard 1: ")
	if _, ok := begin(x); ok {
		t.Error("an attempt starts while the breaker is open")
	}
	s.Probe()
	if _, ok := begin(x); !ok {
		t.Error("no attempt starts after Probe")
	}
	x.Done(&event.Outcome{})
	want("", "")
	s.Update(func(p *delivery.Policy) { p.Paused = true })
	want(wire.Paused, "")
	s.UpdateEach(func(shard int, p *delivery.Policy) { p.Paused = shard != 1 })
	if _, ok := begin(x); !ok {
		t.Error("no attempt starts after the pause")
	}
	x.Done(&event.Outcome{})
}

// TestUncommittedWritesOfTheShard: an attempt sees what finished ones of its shard write.
func TestUncommittedWritesOfTheShard(t *testing.T) {
	_, _, s := filled(t, 2, 2, delivery.Policy{Atomic: true})
	x := s.Lease()
	defer x.Close()
	if _, pending := x.Pending("k"); pending || x.Context() != nil || x.TraceParent() != "" || x.PendingKeys("", "", 1) != nil {
		t.Error("a lease without attempts has something")
	}
	x.Fenced()
	x.Flush()
	if _, ok := begin(x); !ok {
		t.Fatal("no attempt")
	}
	if _, pending := x.Pending("k"); pending || len(x.PendingKeys("", "", 10)) > 0 {
		t.Error("something is pending")
	}
	x.Done(&event.Outcome{})
}
