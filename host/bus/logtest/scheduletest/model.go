package scheduletest

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/berth-host/berth/host/bus"
	"github.com/berth-host/berth/host/bus/logtest"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
)

// modelEvent is an event that was accepted.
type modelEvent struct {
	ev        *event.Event
	due       time.Time // zero: it is in the log
	cancelled time.Time
}

// model is the simplest possible schedule with its log.
type model struct {
	log    []*modelEvent // in the order of Seq, also those that were trimmed
	trims  int           // events of log that were trimmed
	events []*modelEvent // scheduled and cancelled ones, in the order of acceptance
}

func (m *model) byKey(key string) (e *modelEvent, logged bool) {
	named := func(e *modelEvent) bool { return e.ev.Metadata().IdempotencyKey == key }
	if i := slices.IndexFunc(m.log[m.trims:], named); i >= 0 {
		return m.log[m.trims+i], true
	}
	if i := slices.IndexFunc(m.events, named); i >= 0 {
		return m.events[i], false
	}
	return nil, false
}

// open returns the events that are not due yet, the first due first.
func (m *model) open() (list []*modelEvent) {
	for _, e := range m.events {
		if e.cancelled.IsZero() {
			list = append(list, e)
		}
	}
	slices.SortStableFunc(list, func(a, b *modelEvent) int { return a.due.Compare(b.due) })
	return list
}

type modelRun struct {
	t      *testing.T
	s      bus.Engine
	reopen func(*testing.T, bus.Engine) bus.Engine
	clock  *Clock
	base   uint64 // Last of the engine before the run
	m      model
}

// compare makes the same random calls to an engine and to the model.
func compare(t *testing.T, open func(t *testing.T, now func() time.Time) bus.Engine, reopen func(*testing.T, bus.Engine) bus.Engine) {
	clock := newClock()
	s := open(t, clock.now) // one for all runs, each of which empties it
	rapid.Check(t, func(rt *rapid.T) {
		clock.set(0)
		run := &modelRun{t: t, s: s, reopen: reopen, clock: clock, base: s.Last()}
		defer func() {
			s = run.s
			run.empty(rt)
		}()
		rt.Repeat(map[string]func(*rapid.T){
			"append": run.append, "move": run.move, "cancel": run.cancel, "trim": run.trim, "trim cancelled": run.trimCancelled,
			"clock": run.setClock, "reopen": run.reopenEngine, "": run.check,
		})
	})
}

func (run *modelRun) empty(rt *rapid.T) {
	ctx := run.t.Context()
	for moved := 1; moved > 0; {
		var err error
		if moved, _, err = run.s.MoveDue(ctx, run.clock.after(1000), 1000); err != nil {
			rt.Fatalf("MoveDue: %v", err)
		}
	}
	if _, err := run.s.TrimCancelled(ctx, run.clock.after(1000)); err != nil {
		rt.Errorf("TrimCancelled: %v", err)
	}
	if _, err := run.s.Trim(ctx, math.MaxUint64); err != nil {
		rt.Errorf("Trim: %v", err)
	}
	if st, err := run.s.Status(ctx); err != nil || st.Bytes != 0 || st.Scheduled != 0 || st.Events != 0 {
		rt.Errorf("Status of an empty engine: got %+v, %v", st, err)
	}
}

func (run *modelRun) append(rt *rapid.T) {
	var events []*event.Event
	for range rapid.IntRange(1, 4).Draw(rt, "events") {
		d := event.Draft{IdempotencyKey: fmt.Sprint("key-", rapid.IntRange(0, 9).Draw(rt, "key")),
			Data: fmt.Appendf(nil, "%d", rapid.IntRange(0, 1).Draw(rt, "content"))}
		switch seconds := rapid.IntRange(-3, 10).Draw(rt, "after"); rapid.IntRange(0, 2).Draw(rt, "deferral") {
		case 1:
			d.Deferral.At = run.clock.now().Add(time.Duration(seconds) * time.Second)
		case 2:
			d.Deferral.After = time.Duration(max(seconds, 0)) * time.Second
		}
		events = append(events, logtest.Make(run.t, d))
	}
	receipts, err := run.s.Append(run.t.Context(), events)
	if err != nil {
		rt.Fatalf("Append: %v", err)
	}
	for i, ev := range events {
		key, got := ev.Metadata().IdempotencyKey, receipts[i]
		first, logged := run.m.byKey(key)
		want := event.Receipt{IdempotencyKey: key, Duplicate: first != nil}
		if first == nil {
			first = &modelEvent{ev: ev}
			if due := ev.Deferral().Due(run.clock.now()); due.After(run.clock.now()) {
				first.due = due
				run.m.events = append(run.m.events, first)
			} else {
				run.m.log, logged = append(run.m.log, first), true
			}
		}
		want.EventID = first.ev.ID()
		if logged {
			want.Seq = run.base + uint64(slices.Index(run.m.log, first)) + 1
		} else if want.Cancelled = !first.cancelled.IsZero(); !want.Cancelled {
			want.Due = first.due
		}
		if conflict := first.ev.Data() != ev.Data(); conflict {
			if !fault.Is(got.Err, fault.Conflict) || got.Duplicate {
				rt.Fatalf("key %s: got %+v, want a conflict", key, got)
			}
			continue
		}
		if !got.Due.Equal(want.Due) {
			rt.Fatalf("key %s: due at %v, want %v", key, got.Due, want.Due)
		}
		if got.Due = want.Due; got != want {
			rt.Fatalf("key %s: got %+v, want %+v", key, got, want)
		}
	}
}

func (run *modelRun) move(rt *rapid.T) {
	limit := rapid.IntRange(1, 4).Draw(rt, "limit")
	now, want := run.clock.now(), 0
	for _, e := range run.m.open() {
		if want == limit || e.due.After(now) {
			break
		}
		want++
		e.due = time.Time{}
		run.m.log = append(run.m.log, e)
	}
	run.m.events = slices.DeleteFunc(run.m.events, func(e *modelEvent) bool { return e.due.IsZero() })
	moved, next, err := run.s.MoveDue(run.t.Context(), now, limit)
	if moved != want || err != nil {
		rt.Fatalf("MoveDue: got %d, %v, want %d", moved, err, want)
	}
	if open := run.m.open(); len(open) > 0 && (next.IsZero() || next.After(open[0].due)) {
		rt.Fatalf("MoveDue: the next one is at %v, want %v", next, open[0].due)
	}
}

func (run *modelRun) cancel(rt *rapid.T) {
	key := fmt.Sprint("key-", rapid.IntRange(0, 9).Draw(rt, "key"))
	e, logged := run.m.byKey(key)
	got, err := run.s.CancelScheduled(run.t.Context(), key)
	if e == nil || logged || !e.cancelled.IsZero() {
		if !fault.Is(err, fault.NotFound) {
			rt.Fatalf("CancelScheduled: got %v", err)
		}
		return
	}
	e.cancelled = run.clock.now()
	if err != nil || got.Event.ID() != e.ev.ID() || !got.Cancelled.Equal(e.cancelled) {
		rt.Fatalf("CancelScheduled: got %+v, %v", got, err)
	}
}

func (run *modelRun) trim(rt *rapid.T) {
	n := rapid.IntRange(run.m.trims, len(run.m.log)).Draw(rt, "before")
	if got, err := run.s.Trim(run.t.Context(), run.base+uint64(n)+1); got != n-run.m.trims || err != nil {
		rt.Fatalf("Trim: got %d, %v, want %d", got, err, n-run.m.trims)
	}
	run.m.trims = n
}

func (run *modelRun) trimCancelled(rt *rapid.T) {
	before, now := run.clock.after(rapid.IntRange(-20, 300).Draw(rt, "before")), run.clock.now()
	count := len(run.m.events)
	run.m.events = slices.DeleteFunc(run.m.events, func(e *modelEvent) bool {
		if e.cancelled.After(now.Add(event.ClockSlack)) {
			e.cancelled = now
		}
		return !e.cancelled.IsZero() && e.cancelled.Before(before)
	})
	if got, err := run.s.TrimCancelled(run.t.Context(), before); got != count-len(run.m.events) || err != nil {
		rt.Fatalf("TrimCancelled: got %d, %v, want %d", got, err, count-len(run.m.events))
	}
}

// setClock sets the clock, also back.
func (run *modelRun) setClock(rt *rapid.T) {
	run.clock.set(rapid.IntRange(-10, 200).Draw(rt, "seconds"))
}

func (run *modelRun) reopenEngine(rt *rapid.T) {
	if run.reopen == nil {
		rt.Skip("it stores nothing")
	}
	run.s = run.reopen(run.t, run.s)
}

// check compares everything that the engine shows.
func (run *modelRun) check(rt *rapid.T) {
	ctx, open := run.t.Context(), run.m.open()
	want := event.LogStatus{LastSeq: run.base + uint64(len(run.m.log)), Events: int64(len(run.m.log) - run.m.trims), Scheduled: int64(len(open))}
	for _, e := range slices.Concat(run.m.log[run.m.trims:], run.m.events) {
		want.Bytes += e.ev.Size()
	}
	for _, e := range open {
		want.ScheduledBytes += e.ev.Size()
	}
	got, err := run.s.Status(ctx)
	want.FirstSeq, want.OldestAt = got.FirstSeq, got.OldestAt
	if got != want || err != nil {
		rt.Fatalf("Status: got %+v, %v, want %+v", got, err, want)
	}
	list, _, err := run.s.ScheduledEvents(ctx, event.ScheduledQuery{Limit: 1000}, "")
	if len(list) != len(open) || err != nil {
		rt.Fatalf("%d scheduled events, %v, want %d", len(list), err, len(open))
	}
	for i, e := range list {
		if e.Event.ID() != open[i].ev.ID() || !e.Due.Equal(open[i].due) {
			rt.Fatalf("scheduled event %d: got %+v, want one due at %v", i, e, open[i].due)
		}
	}
	records := logtest.ReadAll(run.t, run.s, run.base+uint64(run.m.trims)+1, 100)
	if len(records) != len(run.m.log)-run.m.trims {
		rt.Fatalf("the log has %d events, want %d", len(records), len(run.m.log)-run.m.trims)
	}
	for i, rec := range records {
		if want := run.m.log[run.m.trims+i].ev; rec.Event.Envelope() != want.Envelope() {
			rt.Fatalf("event %d: got %s, want %s", rec.Seq, rec.Event.Envelope(), want.Envelope())
		}
	}
}
