package scheduletest

import (
	"testing"
	"time"

	"github.com/berth-host/berth/host/bus"
	"github.com/berth-host/berth/host/bus/logtest"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
)

// bytes checks that scheduled events count, in the bound as well, and that a move changes
// nothing about that.
func bytes(t *testing.T, s bus.Engine, clock *Clock) {
	ctx := t.Context()
	one := later(t, "one", event.Deferral{At: clock.after(10)})
	two := later(t, "two", event.Deferral{})
	s.SetMaxBytes(one.Size() + max(one.Size(), two.Size()))
	appendOne(t, s, one)
	if st := status(t, s); st.Bytes != one.Size() || st.Scheduled != 1 || st.Events != 0 || st.LastSeq != 0 {
		t.Errorf("got %+v", st)
	}
	full := func(ev *event.Event) {
		t.Helper()
		if _, err := s.Append(ctx, []*event.Event{ev}); !fault.Is(err, fault.Exhausted) {
			t.Errorf("over the bound: got %v", err)
		}
	}
	appendOne(t, s, two)
	full(later(t, "three", event.Deferral{At: clock.after(10)}))
	full(later(t, "three", event.Deferral{}))
	clock.set(10)
	move(t, s, clock.now(), 10, 1, time.Time{})
	if st := status(t, s); st.Bytes != one.Size()+two.Size() || st.Scheduled != 0 || st.Events != 2 || st.LastSeq != 2 {
		t.Errorf("after the move: got %+v", st)
	}
	if n, err := s.Trim(ctx, 3); n != 2 || err != nil {
		t.Errorf("Trim: got %d, %v", n, err)
	}
	if st := status(t, s); st.Bytes != 0 {
		t.Errorf("after the trim: got %+v", st)
	}
}

// same returns events of one size that are due then; at once for the zero time.
func same(t *testing.T, due time.Time, keys ...string) (list []*event.Event) {
	t.Helper()
	for _, key := range keys { // the text of a time is shorter without zeros at its end
		list = append(list, logtest.Make(t, event.Draft{IdempotencyKey: key, Time: time.Unix(1, 1), Deferral: event.Deferral{At: due}}))
	}
	return list
}

// wantFull checks that an event was refused because too many wait for their time.
func wantFull(t *testing.T, what string, r event.Receipt) {
	t.Helper()
	if !fault.Is(r.Err, fault.Exhausted) || fault.RetryAfter(r.Err) != 0 || r.EventID != "" || !r.Due.IsZero() {
		t.Errorf("%s: got %+v", what, r)
	}
}

// share checks that events that are not due yet get half of the log's bound and no more: moved
// and cancelled ones make room, the others of a call are stored, and a repeated key is recognised.
func share(t *testing.T, s bus.Engine, clock *Clock) {
	ctx := t.Context()
	list := same(t, clock.after(10), "a", "b", "c", "d", "e")
	size := list[0].Size()
	s.SetMaxBytes(4*size + 1)
	now := same(t, time.Time{}, "n")
	receipts, err := s.Append(ctx, []*event.Event{list[0], list[1], now[0]}) // the share, exactly
	if err != nil || receipts[0].Err != nil || receipts[1].Err != nil || receipts[2].Seq != 1 {
		t.Fatalf("got %+v, %v", receipts, err)
	}
	before := status(t, s)
	if before.ScheduledBytes != 2*size {
		t.Errorf("got %+v", before)
	}
	wantFull(t, "one more", appendOne(t, s, list[2]))
	wantFull(t, "the same again", appendOne(t, s, list[2]))
	if r := appendOne(t, s, list[0]); !r.Duplicate || r.Err != nil {
		t.Errorf("a repeated key: got %+v", r)
	}
	if st := status(t, s); st != before {
		t.Errorf("the log was %+v and is %+v", before, st)
	}
	if _, err := s.CancelScheduled(ctx, "a"); err != nil {
		t.Fatal(err)
	}
	if n, err := s.TrimCancelled(ctx, clock.after(1)); n != 1 || err != nil {
		t.Fatalf("TrimCancelled: got %d, %v", n, err)
	}
	if receipts, err = s.Append(ctx, []*event.Event{list[2], list[3]}); err != nil || receipts[0].Err != nil {
		t.Fatalf("after one was cancelled: got %+v, %v", receipts, err)
	}
	wantFull(t, "the second of a call", receipts[1])
	clock.set(10)
	move(t, s, clock.now(), 10, 2, time.Time{})
	if st := status(t, s); st.ScheduledBytes != 0 || st.Bytes != 3*size {
		t.Errorf("after the move: got %+v", st)
	}
	clock.set(0)
	if r := appendOne(t, s, list[3]); r.Err != nil {
		t.Errorf("after the others were moved: got %+v", r)
	}
	s.SetMaxBytes(0)
	for _, ev := range append(list[4:], same(t, clock.after(20), "f", "g")...) {
		if r := appendOne(t, s, ev); r.Err != nil {
			t.Errorf("without a bound: got %+v", r)
		}
	}
	if st := status(t, s); st.ScheduledBytes != 4*size {
		t.Errorf("at the end: got %+v", st)
	}
}

// shareOfChildren checks that no child of a delivery is published when they need more than the
// share, with and without effects and beside others of the call, and that children which are due
// at once have no bound.
func shareOfChildren(t *testing.T, s bus.Engine, clock *Clock) {
	ctx := t.Context()
	list := same(t, clock.after(10), "a", "b", "c")
	for range 5 {
		appendOne(t, s, later(t, "", event.Deferral{}))
	}
	s.SetMaxBytes(4 * list[0].Size())
	success := func(seq uint64, e *event.Effects, children ...*event.Event) event.Delivery {
		return event.Delivery{Handler: "h", Seq: seq, Status: event.StatusOK, Attempts: 1, At: clock.now(), Effects: e, Children: children}
	}
	set := &event.Effects{Plugin: "h", Writes: []event.EffectWrite{{Kind: event.EffectSet, Key: "k", Value: []byte("v")}}}
	beside := later(t, "beside", event.Deferral{})
	saved, _, err := s.SaveDeliveries(ctx, nil, nil, []event.Delivery{
		success(1, nil, list[0]),
		success(2, nil, beside, list[1], list[2]), // one too many
		success(3, nil, list[1]),
		success(4, set, list[2]), // one too many
		success(5, nil, later(t, "at once", event.Deferral{}), list[0]),
	}, nil)
	if err != nil || len(saved.Refused) != 2 || saved.Refused[0].Seq != 2 || saved.Refused[1].Seq != 4 {
		t.Fatalf("got %+v, %v", saved, err)
	}
	for _, d := range saved.Refused {
		stored, err := s.Deliveries(ctx, d.Seq)
		if err != nil || len(stored) != 1 || stored[0].Status != event.StatusDead || stored[0].ErrorClass != event.ClassScheduledQuota {
			t.Errorf("event %d: stored %+v, %v", d.Seq, stored, err)
		}
	}
	if _, found, err := s.KVGet(ctx, "h", "k"); found || err != nil {
		t.Errorf("the effects of a refused delivery: got %v, %v", found, err)
	}
	if st := status(t, s); st.ScheduledBytes != 2*list[0].Size() || st.Scheduled != 2 || st.Events != 6 {
		t.Errorf("got %+v", st)
	}
	if dead, _, err := s.DeadLetters(ctx, event.DeadFilter{Class: event.ClassScheduledQuota}, "", 10); err != nil || len(dead) != 2 ||
		dead[0].Reason != event.ReasonConflict {
		t.Errorf("dead letters: got %+v, %v", dead, err)
	}
}
