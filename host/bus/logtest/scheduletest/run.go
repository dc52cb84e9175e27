// Package scheduletest tests the part of an engine that keeps events until they are due; see
// bus.Schedule. For tests only. Read this file first, then model.go.
package scheduletest

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/berth-host/berth/host/bus"
	"github.com/berth-host/berth/host/bus/logtest"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
)

// Clock is a clock that a test sets, also back.
type Clock struct {
	mu    sync.Mutex
	begin time.Time
	at    time.Time
}

func newClock() *Clock {
	now := time.Now().UTC().Truncate(time.Second)
	return &Clock{begin: now, at: now}
}

func (c *Clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

// set sets the clock to so many seconds after its begin.
func (c *Clock) set(seconds int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.after(seconds)
}

func (c *Clock) after(seconds int) time.Time {
	return c.begin.Add(time.Duration(seconds) * time.Second)
}

// Run tests an engine. open returns an empty one with this clock, and closes it when the
// test ends. reopen closes one and opens it again with what it stored; nil for an engine
// that stores nothing.
func Run(t *testing.T, open func(t *testing.T, now func() time.Time) bus.Engine, reopen func(*testing.T, bus.Engine) bus.Engine) {
	for name, run := range map[string]func(*testing.T, bus.Engine, *Clock){
		"accepted and moved": acceptedAndMoved,
		"keys":               keys,
		"cancelled":          cancelled,
		"children":           children,
		"bytes":              bytes,
		"share":              share,
		"share of children":  shareOfChildren,
		"pages":              pages,
		"signals":            signals,
		"at once":            atOnce,
		"many":               many,
	} {
		t.Run(name, func(t *testing.T) {
			clock := newClock()
			run(t, open(t, clock.now), clock)
		})
	}
	t.Run("model", func(t *testing.T) { compare(t, open, reopen) })
}

func later(t *testing.T, key string, d event.Deferral) *event.Event {
	t.Helper()
	return logtest.Make(t, event.Draft{IdempotencyKey: key, Subject: "s-" + key, Deferral: d})
}

func appendOne(t *testing.T, s bus.Engine, ev *event.Event) event.Receipt {
	t.Helper()
	receipts, err := s.Append(t.Context(), []*event.Event{ev})
	if err != nil || len(receipts) != 1 {
		t.Fatalf("Append: got %+v, %v", receipts, err)
	}
	return receipts[0]
}

func move(t *testing.T, s bus.Engine, now time.Time, limit, want int, wantNext time.Time) {
	t.Helper()
	moved, next, err := s.MoveDue(t.Context(), now, limit)
	if moved != want || !next.Equal(wantNext) || err != nil {
		t.Fatalf("MoveDue: got %d, %v, %v, want %d, %v", moved, next, err, want, wantNext)
	}
}

// wantKeys checks the keys of the log, and that no event in it is deferred.
func wantKeys(t *testing.T, s bus.Engine, want ...string) {
	t.Helper()
	var got []string
	for _, rec := range logtest.ReadAll(t, s, 1, 100) {
		got = append(got, rec.Event.Metadata().IdempotencyKey)
		if !rec.Event.Deferral().IsZero() {
			t.Errorf("event %d is deferred", rec.Seq)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("the log has %v, want %v", got, want)
	}
}

func status(t *testing.T, s bus.Engine) event.LogStatus {
	t.Helper()
	st, err := s.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return st
}

// acceptedAndMoved checks that events get their Seqs in the order of their due times.
func acceptedAndMoved(t *testing.T, s bus.Engine, clock *Clock) {
	ctx := t.Context()
	origin := event.Origin{Only: "h"}
	receipts, err := s.Append(ctx, []*event.Event{
		later(t, "c", event.Deferral{At: clock.after(30)}).WithOrigin(origin),
		later(t, "now", event.Deferral{}),
		later(t, "a", event.Deferral{After: 10 * time.Second}),
		later(t, "b", event.Deferral{At: clock.after(20)}),
		later(t, "b2", event.Deferral{At: clock.after(20)}),
	})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []int{30, 0, 10, 20, 20} {
		r := receipts[i]
		if want == 0 && (r.Seq != 1 || !r.Due.IsZero()) || want > 0 && (r.Seq != 0 || !r.Due.Equal(clock.after(want))) || r.Duplicate || r.Err != nil {
			t.Errorf("event %d: got %+v", i, r)
		}
	}
	wantKeys(t, s, "now")
	if _, err := s.Event(ctx, receipts[0].EventID); !fault.Is(err, fault.NotFound) {
		t.Errorf("Event: got %v", err)
	}
	got, err := s.ScheduledEvent(ctx, receipts[0].EventID)
	if err != nil || !got.Due.Equal(clock.after(30)) || !got.Accepted.Equal(clock.after(0)) || got.Event.Origin() != origin {
		t.Errorf("ScheduledEvent: got %+v, %v", got, err)
	}
	move(t, s, clock.after(9), 10, 0, clock.after(10))
	clock.set(25)
	move(t, s, clock.now(), 2, 2, clock.after(20))
	move(t, s, clock.now(), 2, 1, clock.after(30))
	wantKeys(t, s, "now", "a", "b", "b2")
	clock.set(15) // set back
	move(t, s, clock.now(), 10, 0, clock.after(30))
	clock.set(1000)
	move(t, s, clock.now(), 10, 1, time.Time{})
	wantKeys(t, s, "now", "a", "b", "b2", "c")
	rec, err := s.Event(ctx, "c")
	origin.Due = clock.after(30).UTC()
	if err != nil || rec.Seq != 5 || rec.Event.ID() != receipts[0].EventID || rec.Event.Origin() != origin || !rec.Event.Start().Equal(origin.Due) {
		t.Errorf("Event: got %+v, %v; want the origin %+v", rec, err, origin)
	}
	if rec, err = s.Event(ctx, "now"); err != nil || !rec.Event.Start().Equal(rec.Event.Time()) {
		t.Errorf("an event that was not deferred starts at %v, %v", rec.Event.Start(), err)
	}
	if _, err := s.ScheduledEvent(ctx, "c"); !fault.Is(err, fault.NotFound) {
		t.Errorf("ScheduledEvent after the move: got %v", err)
	}
}

// keys checks that a key is taken from acceptance on, in one call and in several.
func keys(t *testing.T, s bus.Engine, clock *Clock) {
	first := later(t, "k", event.Deferral{At: clock.after(10)})
	other := logtest.Make(t, event.Draft{IdempotencyKey: "k", Data: []byte(`1`)})
	receipts, err := s.Append(t.Context(), []*event.Event{first, later(t, "k", event.Deferral{At: clock.after(5)}), later(t, "k", event.Deferral{}), other})
	if err != nil {
		t.Fatal(err)
	}
	check := func(seq uint64, due time.Time, receipts ...event.Receipt) {
		t.Helper()
		for i, r := range receipts[:2] {
			if !r.Duplicate || r.EventID != first.ID() || r.Seq != seq || !r.Due.Equal(due) || r.Err != nil {
				t.Errorf("duplicate %d: got %+v", i, r)
			}
		}
		if r := receipts[2]; r.Duplicate || !fault.Is(r.Err, fault.Conflict) {
			t.Errorf("other content: got %+v", r)
		}
	}
	check(0, clock.after(10), receipts[1:]...)
	again := func() []event.Receipt {
		return []event.Receipt{appendOne(t, s, later(t, "k", event.Deferral{At: clock.after(90)})), appendOne(t, s, later(t, "k", event.Deferral{})),
			appendOne(t, s, other)}
	}
	check(0, clock.after(10), again()...)
	// The other way round: an event of the log is no scheduled one.
	published := appendOne(t, s, later(t, "p", event.Deferral{}))
	if r := appendOne(t, s, later(t, "p", event.Deferral{At: clock.after(5)})); !r.Duplicate || r.Seq != published.Seq || !r.Due.IsZero() {
		t.Errorf("a duplicate of an event of the log: got %+v", r)
	}
	clock.set(10)
	move(t, s, clock.now(), 10, 1, time.Time{})
	check(published.Seq+1, time.Time{}, again()...)
	wantKeys(t, s, "p", "k")
}

// cancelled checks that a cancelled event never gets a Seq, and its key is taken until it is
// trimmed.
func cancelled(t *testing.T, s bus.Engine, clock *Clock) {
	ctx := t.Context()
	ev := later(t, "k", event.Deferral{At: clock.after(10)})
	appendOne(t, s, ev)
	byID := later(t, "by id", event.Deferral{At: clock.after(10)})
	appendOne(t, s, byID)
	clock.set(5)
	got, err := s.CancelScheduled(ctx, "k")
	if err != nil || got.Event.ID() != ev.ID() || !got.Cancelled.Equal(clock.after(5)) || !got.Due.Equal(clock.after(10)) {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, err := s.CancelScheduled(ctx, byID.ID()); err != nil {
		t.Errorf("by its id: %v", err)
	}
	appendOne(t, s, later(t, "published", event.Deferral{}))
	for _, key := range []string{"k", "none", "published"} {
		if _, err := s.CancelScheduled(ctx, key); !fault.Is(err, fault.NotFound) {
			t.Errorf("%s: got %v", key, err)
		}
	}
	if got, err := s.ScheduledEvent(ctx, "k"); err != nil || got.Cancelled.IsZero() {
		t.Errorf("ScheduledEvent: got %+v, %v", got, err)
	}
	if list, _, err := s.ScheduledEvents(ctx, event.ScheduledQuery{Limit: 10}, ""); len(list) != 0 || err != nil {
		t.Errorf("ScheduledEvents: got %+v, %v", list, err)
	}
	if r := appendOne(t, s, ev); !r.Duplicate || !r.Cancelled || !r.Due.IsZero() || r.Seq != 0 {
		t.Errorf("a duplicate: got %+v", r)
	}
	if st := status(t, s); st.Scheduled != 0 || st.Events != 1 || st.Bytes <= ev.Size()+byID.Size() {
		t.Errorf("Status: got %+v", st)
	}
	clock.set(20)
	move(t, s, clock.now(), 10, 0, time.Time{})
	if n, err := s.TrimCancelled(ctx, clock.after(5)); n != 0 || err != nil {
		t.Errorf("TrimCancelled: got %d, %v", n, err)
	}
	clock.set(-1000) // its time is one of the future now, and becomes this one
	if n, err := s.TrimCancelled(ctx, clock.after(-999)); n != 2 || err != nil {
		t.Errorf("TrimCancelled: got %d, %v", n, err)
	}
	if r := appendOne(t, s, ev); r.Duplicate || r.Due.IsZero() {
		t.Errorf("after the trim: got %+v", r)
	}
	wantKeys(t, s, "published")
}

// children checks that the delay of a child counts from the commit of its parent, that a
// known child is skipped and that one in conflict refuses all.
func children(t *testing.T, s bus.Engine, clock *Clock) {
	ctx := t.Context()
	appendOne(t, s, later(t, "parent", event.Deferral{}))
	child := later(t, "child", event.Deferral{After: 10 * time.Second})
	clock.set(100)
	save := func(handler string, children ...*event.Event) event.Saved {
		t.Helper()
		saved, _, err := s.SaveDeliveries(ctx, nil, nil, []event.Delivery{{Handler: handler, Seq: 1, Status: event.StatusOK, Attempts: 1,
			Children: children}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		return saved
	}
	if saved := save("a", child, later(t, "at once", event.Deferral{})); len(saved.Refused) != 0 {
		t.Errorf("got %+v", saved)
	}
	if saved := save("b", child); len(saved.Refused) != 0 {
		t.Errorf("a known child: got %+v", saved)
	}
	clash := logtest.Make(t, event.Draft{IdempotencyKey: "child", Data: []byte(`1`)})
	before := status(t, s)
	saved := save("c", later(t, "beside", event.Deferral{After: time.Second}), clash)
	if len(saved.Refused) != 1 || saved.Refused[0].ErrorClass != event.ClassConflict {
		t.Errorf("a child in conflict: got %+v", saved)
	}
	if st := status(t, s); st != before {
		t.Errorf("the log was %+v and is %+v", before, st)
	}
	list, _, err := s.ScheduledEvents(ctx, event.ScheduledQuery{Limit: 10}, "")
	if err != nil || len(list) != 1 || !list[0].Due.Equal(clock.after(110)) {
		t.Errorf("got %+v, %v", list, err)
	}
	clock.set(110)
	move(t, s, clock.now(), 10, 1, time.Time{})
	wantKeys(t, s, "parent", "at once", "child")
}

// pages checks that a list has every event once, in order, also while others are moved, and
// the filters.
func pages(t *testing.T, s bus.Engine, clock *Clock) {
	ctx := t.Context()
	var want []string
	for i := range 25 {
		key := fmt.Sprintf("k-%02d", i)
		appendOne(t, s, later(t, key, event.Deferral{At: clock.after(10 + i/5)}))
		want = append(want, key)
	}
	var got []string
	for cursor := ""; ; {
		list, next, err := s.ScheduledEvents(ctx, event.ScheduledQuery{Limit: 7}, cursor)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range list {
			got = append(got, e.Event.Metadata().IdempotencyKey)
		}
		if cursor = next; cursor == "" {
			break
		}
		clock.set(10)
		if _, _, err := s.MoveDue(ctx, clock.now(), 100); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
	for what, q := range map[string]event.ScheduledQuery{
		"subject": {Subject: "s-k-07", Limit: 5}, "key": {Key: "k-07", Limit: 5}, "both": {Key: "k-07", Type: "order_status_changed", Limit: 1},
	} {
		list, next, err := s.ScheduledEvents(ctx, q, "")
		if err != nil || len(list) != 1 || list[0].Event.Subject() != "s-k-07" || next != "" {
			t.Errorf("%s: got %+v, %q, %v", what, list, next, err)
		}
	}
	if list, _, err := s.ScheduledEvents(ctx, event.ScheduledQuery{Type: "other", Limit: 5}, ""); len(list) != 0 || err != nil {
		t.Errorf("another type: got %+v, %v", list, err)
	}
	for _, cursor := range []string{"x", "1", "1-", "-1-2", "01-2", "1-2-3"} {
		if _, _, err := s.ScheduledEvents(ctx, event.ScheduledQuery{Limit: 5}, cursor); !fault.Is(err, fault.Invalid) {
			t.Errorf("cursor %q: got %v", cursor, err)
		}
	}
	for _, limit := range []int{0, 1001} {
		if _, _, err := s.ScheduledEvents(ctx, event.ScheduledQuery{Limit: limit}, ""); !fault.Is(err, fault.Invalid) {
			t.Errorf("limit %d: got %v", limit, err)
		}
	}
}

// signals checks that the mover learns of events that are due before the one it waits for.
func signals(t *testing.T, s bus.Engine, clock *Clock) {
	signaled := func() bool {
		select {
		case <-s.EarlierDue():
			return true
		default:
			return false
		}
	}
	move(t, s, clock.now(), 10, 0, time.Time{})
	signaled() // an engine may signal after its start
	for _, tt := range []struct {
		due  int
		want bool
	}{{20, true}, {30, false}, {10, true}} {
		appendOne(t, s, later(t, fmt.Sprint(tt.due), event.Deferral{At: clock.after(tt.due)}))
		if got := signaled(); got != tt.want {
			t.Errorf("due after %d s: signaled is %v", tt.due, got)
		}
		move(t, s, clock.now(), 10, 0, clock.after(min(tt.due, 20)))
	}
	if _, err := s.CancelScheduled(t.Context(), "10"); err != nil {
		t.Fatal(err)
	}
	clock.set(10) // too early, and never too late
	move(t, s, clock.now(), 10, 0, clock.after(20))
}

// atOnce checks that a time in the past is now.
func atOnce(t *testing.T, s bus.Engine, clock *Clock) {
	for i, d := range []event.Deferral{{At: clock.after(-5)}, {At: clock.after(0)}, {After: 0}} {
		if r := appendOne(t, s, later(t, fmt.Sprint(i), d)); r.Seq != uint64(i+1) || !r.Due.IsZero() {
			t.Errorf("%+v: got %+v", d, r)
		}
	}
	wantKeys(t, s, "0", "1", "2")
}

// many checks that publishers, cancelling callers and movers side by side lose and double
// nothing.
func many(t *testing.T, s bus.Engine, clock *Clock) {
	const publishers, each = 4, 40
	ctx := t.Context()
	clock.set(-10)
	var publishing, movers sync.WaitGroup
	done := make(chan struct{})
	for p := range publishers {
		publishing.Go(func() {
			for i := range each {
				ev := logtest.Make(t, event.Draft{IdempotencyKey: fmt.Sprint(p, "-", i), Deferral: event.Deferral{At: clock.after(i % 3)}})
				if r, err := s.Append(ctx, []*event.Event{ev, ev}); err != nil || r[0].Err != nil || r[1].Err != nil || !r[1].Duplicate {
					t.Errorf("Append: got %+v, %v", r, err)
				}
				if i%8 == 0 {
					if _, err := s.CancelScheduled(ctx, ev.ID()); err != nil && !fault.Is(err, fault.NotFound) {
						t.Errorf("CancelScheduled: %v", err)
					}
				}
			}
		})
	}
	for range 2 {
		movers.Go(func() {
			for {
				if _, _, err := s.MoveDue(ctx, clock.after(5), 7); err != nil {
					t.Errorf("MoveDue: %v", err)
				}
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	publishing.Wait()
	close(done)
	movers.Wait()
	for moved := 1; moved > 0; {
		var err error
		if moved, _, err = s.MoveDue(ctx, clock.after(5), 100); err != nil {
			t.Fatal(err)
		}
	}
	seen := make(map[string]int)
	for _, rec := range logtest.ReadAll(t, s, 1, 100) {
		seen[rec.Event.ID()]++
	}
	for p := range publishers {
		for i := range each {
			key := fmt.Sprint(p, "-", i)
			rec, err := s.Event(ctx, key)
			if err != nil {
				if got, err := s.ScheduledEvent(ctx, key); err != nil || got.Cancelled.IsZero() || i%8 != 0 {
					t.Errorf("%s: got %+v, %v", key, got, err)
				}
			} else if seen[rec.Event.ID()] != 1 {
				t.Errorf("%s is in the log %d times", key, seen[rec.Event.ID()])
			}
		}
	}
	if st := status(t, s); st.Scheduled != 0 {
		t.Errorf("got %+v", st)
	}
}
