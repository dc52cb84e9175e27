package delivery_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/berth-host/berth/host/delivery"
	"github.com/berth-host/berth/host/delivery/fair"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/spec"
)

var cancelled = event.Outcome{Verdict: event.Failed, Class: event.ClassCancelled}

// broken has the store refuse all writes of the hosts, or none.
func (x *twoHosts) broken(broken bool) {
	x.engine.mu.Lock()
	defer x.engine.mu.Unlock()
	x.engine.fate = func() (bool, bool) { return broken, false }
}

// TestLostAtomicHandlerReleasesEffects: what a lost handler has not written is neither read by
// later attempts nor kept in memory, and its next owner starts from what is stored.
func TestLostAtomicHandlerReleasesEffects(t *testing.T) {
	x := hosts(t, delivery.Policy{Atomic: true})
	x.publish(t, "k")
	l := x.own(t, x.a)
	a := x.ha.Lease()
	next(t, a)
	x.broken(true)
	var released atomic.Int32
	effects := &event.Effects{Plugin: "h", Writes: []event.EffectWrite{{Kind: event.EffectSet, Key: "k", Value: []byte("a")}},
		Release: func() { released.Add(1) }}
	a.Done(&event.Outcome{Effects: effects})
	if w, found := a.Pending("k"); !found || string(w.Value) != "a" {
		t.Errorf("got %+v, %v", w, found)
	}
	close(l.done)
	await(t, "it is given up", func() bool { return standby(x.ha) })
	await(t, "the effects are released", func() bool { return released.Load() == 1 })
	if w, found := a.Pending("k"); found {
		t.Errorf("got %+v", w)
	}
	a.Close()
	x.broken(false)
	x.own(t, x.b)
	b := x.hb.Lease()
	defer b.Close()
	if taken := next(t, b); taken.Number != 1 {
		t.Errorf("got %+v", taken)
	}
	b.Done(&event.Outcome{Effects: &event.Effects{Plugin: "h", Writes: []event.EffectWrite{{Kind: event.EffectSet, Key: "k", Value: []byte("b")}}}})
	await(t, "it is stored", func() bool { return x.stored(t, "h", 1).Status == event.StatusOK })
	if value, found, err := x.KVGet(t.Context(), "h", "k"); string(value) != "b" || !found || err != nil {
		t.Errorf("got %s, %v, %v", value, found, err)
	}
	if err := x.ha.Close(t.Context()); err != nil || released.Load() != 1 {
		t.Errorf("%v; released %d times", err, released.Load())
	}
}

// TestBatchEndsWithTenure: the events of an open batch are delivered by the next owner.
func TestBatchEndsWithTenure(t *testing.T) {
	x := hosts(t, delivery.Policy{})
	x.publish(t, "a", "b", "c")
	l := x.own(t, x.a)
	await(t, "the events are read", func() bool { return x.ha.Stats().Open == 3 })
	a := x.ha.Lease()
	list, ok := a.NextBatch(8, 0, nil, nil)
	if f, fenced := spec.FenceOf(a.Context()); !ok || len(list) != 3 || !fenced || f.Epoch != 1 {
		t.Fatalf("got %d, %v, the fence %+v", len(list), ok, f)
	}
	close(l.done)
	<-a.Context().Done()
	a.DoneBatch([]event.Outcome{cancelled, cancelled, cancelled})
	a.Close()
	await(t, "it is given up", func() bool { return standby(x.ha) })
	x.own(t, x.b)
	b := x.hb.Lease()
	defer b.Close()
	for range 3 {
		if taken := next(t, b); taken.Number != 1 {
			t.Errorf("got %+v", taken)
		}
		b.Done(&event.Outcome{})
	}
}

// TestSharedEventsMove: the next owner also gets the events of which the former one only kept
// the Seqs.
func TestSharedEventsMove(t *testing.T) {
	x := hosts(t, delivery.Policy{Fair: &fair.Policy{By: "/key", Value: bySubject, Window: 2},
		Retry: spec.RetryPolicy{MaxAttempts: 3, Backoff: time.Nanosecond, MaxBackoff: time.Nanosecond}})
	const events = 40
	for i := range events {
		x.publish(t, string(rune('a'+i%3)))
	}
	done := make(map[uint64]int)
	for n := 0; len(done) < events; n++ {
		d, s := x.a, x.ha
		if n%2 == 1 {
			d, s = x.b, x.hb
		}
		x.own(t, d)
		in := s.Lease()
		for range min(7, events-len(done)) {
			taken := next(t, in)
			done[taken.Seq]++
			in.Done(&event.Outcome{})
		}
		in.Close()
		if err := d.Disown(t.Context(), "h"); err != nil {
			t.Fatal(err)
		}
	}
	for seq, n := range done {
		if d := x.stored(t, "h", seq); n != 1 || d.Status != event.StatusOK {
			t.Errorf("%d was delivered %d times and is %q", seq, n, d.Status)
		}
	}
	if wrong := x.fault(); wrong != "" {
		t.Error(wrong)
	}
}
