package logtest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
)

// RunState runs the tests of an engine that keeps deliveries. open returns an
// empty one with this clock, and closes it when the test ends. reopen closes one
// and opens it again with what it kept; nil for an engine that keeps nothing.
func RunState(t *testing.T, open func(t *testing.T, now func() time.Time) State, reopen func(*testing.T, State) State) {
	tests := []struct {
		name string
		run  func(*testing.T, State)
	}{
		{"one event", oneEvent},
		{"lists of events", listsOfEvents},
		{"deliveries", deliveries},
		{"backlog", backlog},
		{"children", children},
		{"dead letters", deadLetters},
		{"redrive", redrive},
		{"purge", purge},
		{"many dead letters", manyDeadLetters},
		{"children of a full log", childrenOfAFullLog},
		{"trim takes deliveries", trimTakesDeliveries},
		{"trim keeps what is open or dead", trimKeeps},
		{"trimmed events get no deliveries", trimmedEventsGetNoDeliveries},
		{"replay", replay},
		{"replay while another is under way", replayAgain},
		{"replay ahead of the cursor", replayAhead},
		{"replay after the clock was set back", replayEarlier},
		{"closing", closing},
		{"closing while busy", closingWhileBusy},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { tt.run(t, open(t, time.Now)) })
	}
	t.Run("times", func(t *testing.T) {
		var clock clock
		times(t, open(t, clock.now), &clock)
	})
	t.Run("times of the future", func(t *testing.T) {
		var clock clock
		timesOfTheFuture(t, open(t, clock.now), &clock)
	})
	t.Run("against a model", func(t *testing.T) { againstModel(t, open, reopen) })
}

func oneEvent(t *testing.T, s State) {
	ctx := t.Context()
	named := Make(t, event.Draft{IdempotencyKey: "order:7:v1"})
	plain := Make(t, event.Draft{})
	// Its key is another event's id: that event's id wins a look-up.
	claims := Make(t, event.Draft{IdempotencyKey: named.ID()})
	mustAppend(t, s, named, plain, claims)
	for id, want := range map[string]*event.Event{
		"order:7:v1": named, named.ID(): named, plain.ID(): plain, claims.ID(): claims,
	} {
		if got, err := s.Event(ctx, id); err != nil || got.Event.ID() != want.ID() || got.Seq == 0 {
			t.Errorf("Event(%q): got %+v, %v, want %s", id, got, err, want.ID())
		}
	}
	// By its key each is found, also one whose key is another event's id.
	for _, ev := range []*event.Event{named, plain, claims} {
		key := ev.Metadata().IdempotencyKey
		list, err := s.Events(ctx, event.Query{Key: key, Limit: 2})
		if err != nil || len(list) != 1 || list[0].Event.ID() != ev.ID() || list[0].Seq == 0 {
			t.Errorf("Events by the key %q: got %+v, %v, want %s", key, list, err, ev.ID())
		}
	}
	for _, q := range []event.Query{{Key: "ORDER:7:V1"}, {Key: "order:7:v1", Type: "other"}, {Key: "order:7:v1", Subject: "x"}, {Key: "order:7:v1", Before: 1}} {
		q.Limit = 1
		if list, err := s.Events(ctx, q); err != nil || len(list) != 0 {
			t.Errorf("Events(%+v): got %+v, %v, want none", q, list, err)
		}
	}
	for _, id := range []string{"", "order:7:v2", "ORDER:7:V1"} {
		_, err := s.Event(ctx, id)
		wantCode(t, fmt.Sprintf("Event(%q)", id), err, fault.NotFound)
	}
}

func listsOfEvents(t *testing.T, s State) {
	ctx := t.Context()
	var all []event.Record
	for i := range 60 {
		ev := Make(t, event.Draft{Type: []string{"a", "b"}[i%2], Subject: []string{"", "x", "y"}[i%3]})
		all = append(all, event.Record{Seq: mustAppend(t, s, ev)[0].Seq, Event: ev})
	}
	for _, q := range []event.Query{
		{Limit: 1000}, {Limit: 7}, {Type: "a", Limit: 5}, {Type: "none", Limit: 5}, {Subject: "x", Limit: 100},
		{Type: "b", Subject: "y", Limit: 3}, {Before: all[30].Seq, Limit: 4}, {Before: 1, Limit: 4},
		{Before: math.MaxUint64, Type: "a", Subject: "x", Limit: 1}, {Subject: "none", Limit: 2},
	} {
		var want []string
		for i := len(all) - 1; i >= 0 && len(want) < q.Limit; i-- {
			ev := all[i].Event
			if (q.Type == "" || q.Type == ev.Type()) && (q.Subject == "" || q.Subject == ev.Metadata().Subject) && (q.Before == 0 || all[i].Seq < q.Before) {
				want = append(want, ev.ID())
			}
		}
		records, err := s.Events(ctx, q)
		if err != nil {
			t.Fatalf("Events(%+v): %v", q, err)
		}
		var got []string
		for _, r := range records {
			got = append(got, r.Event.ID())
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("Events(%+v): got %v, want %v", q, got, want)
		}
	}
	// A rare one, far back.
	var many []*event.Event
	for i := range 3000 {
		many = append(many, Make(t, event.Draft{Type: "many", Subject: fmt.Sprint(i % 7)}))
	}
	mustAppend(t, s, many...)
	if records, err := s.Events(ctx, event.Query{Type: "b", Subject: "x", Limit: 1}); err != nil || len(records) != 1 || records[0].Seq != all[55].Seq {
		t.Errorf("a rare one: got %+v, %v, want Seq %d", records, err, all[55].Seq)
	}
	if records, err := s.Events(ctx, event.Query{Type: "many", Subject: "3", Limit: 400}); err != nil || len(records) != 400 || records[399].Event.ID() != many[2999-7*399].ID() {
		t.Errorf("many: got %d, %v", len(records), err)
	}
	for _, limit := range []int{-1, 0, 1001} {
		_, err := s.Events(ctx, event.Query{Limit: limit})
		wantCode(t, fmt.Sprint("a limit of ", limit), err, fault.Invalid)
	}
}

func deliveries(t *testing.T, s State) {
	ctx := t.Context()
	at := time.Date(2026, 5, 1, 12, 0, 0, 123456789, time.UTC)
	outcomes := []event.Delivery{
		{Handler: "b", Seq: 1, Status: event.StatusOK, Attempts: 1, Result: `{"ok":true}`, Duration: 1234, Fuel: math.MaxUint64, At: at},
		{Handler: "a", Seq: 1, Status: event.StatusRetrying, Attempts: 2, ErrorClass: event.ClassTrap, ErrorMessage: "unreachable\x00\n\"", Duration: time.Hour, Fuel: 1, At: at, Due: at.Add(time.Second), FirstAttempt: at.Add(-time.Hour)},
		{Handler: "a", Seq: 2, Status: event.StatusPending, At: at},
	}
	if _, err := s.SaveDeliveries(ctx, outcomes, []event.Cursor{{Name: "handler/a", Seq: 1}, {Name: "handler/b", Seq: 5}}); err != nil {
		t.Fatal(err)
	}
	check := func(seq uint64, want ...event.Delivery) {
		t.Helper()
		got, err := s.Deliveries(ctx, seq)
		if err != nil || len(got) != len(want) || len(want) > 0 && !reflect.DeepEqual(got, want) {
			t.Errorf("Deliveries(%d): got %+v, %v, want %+v", seq, got, err, want)
		}
	}
	check(1, outcomes[1], outcomes[0])
	check(2, outcomes[2])
	check(3)
	if seq, _, _ := s.Cursor(ctx, "handler/b"); seq != 5 {
		t.Errorf("Cursor: got %d, want 5", seq)
	}
	next := event.Delivery{Handler: "a", Seq: 1, Status: event.StatusOK, Attempts: 3, At: at.Add(time.Minute)}
	if _, err := s.SaveDeliveries(ctx, []event.Delivery{next}, nil); err != nil {
		t.Fatal(err)
	}
	check(1, next, outcomes[0])
	if _, err := s.SaveDeliveries(ctx, nil, nil); err != nil {
		t.Errorf("saving nothing: %v", err)
	}
}

func backlog(t *testing.T, s State) {
	ctx := t.Context()
	check := func(handler string, want event.Backlog) {
		t.Helper()
		got, err := s.LoadBacklog(ctx, handler)
		if err != nil {
			t.Fatal(err)
		}
		var open []uint64
		for _, d := range got.Open {
			if d.Handler != handler {
				t.Errorf("%s has a delivery of %s", handler, d.Handler)
			}
			open = append(open, d.Seq)
		}
		var wantOpen []uint64
		for _, d := range want.Open {
			wantOpen = append(wantOpen, d.Seq)
		}
		if got.Found != want.Found || got.Cursor != want.Cursor || !reflect.DeepEqual(open, wantOpen) || fmt.Sprint(got.Done) != fmt.Sprint(want.Done) {
			t.Errorf("LoadBacklog(%s): got %+v, want %+v", handler, got, want)
		}
	}
	check("a", event.Backlog{})
	outcome := func(handler string, seq uint64, st event.Status) event.Delivery {
		return event.Delivery{Handler: handler, Seq: seq, Status: st, At: time.Unix(1, 0)}
	}
	if _, err := s.SaveDeliveries(ctx, []event.Delivery{
		outcome("a", 9, event.StatusOK), outcome("a", 3, event.StatusRetrying), outcome("a", 4, event.StatusOK), outcome("a", 8, event.StatusDead),
		outcome("a", 6, event.StatusPending), outcome("a", 7, event.StatusDelivering), outcome("b", 2, event.StatusOK),
	}, []event.Cursor{{Name: "handler/a", Seq: 5}, {Name: "handler/c", Seq: 0}, {Name: "thinned-from/a", Seq: 1}, {Name: "thinned-to/a", Seq: 2}}); err != nil {
		t.Fatal(err)
	}
	open := func(seqs ...uint64) (list []event.Delivery) {
		for _, seq := range seqs {
			list = append(list, event.Delivery{Seq: seq})
		}
		return list
	}
	check("a", event.Backlog{Found: true, Cursor: 5, Open: open(3, 7), Done: []uint64{8, 9}}) // 6 is Redriven's
	check("b", event.Backlog{Found: true, Done: []uint64{2}})
	check("c", event.Backlog{Found: true})
	if err := s.ForgetHandler(ctx, "a"); err != nil {
		t.Fatal(err)
	}
	check("a", event.Backlog{})
	for _, name := range []string{"thinned-from/a", "thinned-to/a"} {
		if _, found, err := s.Cursor(ctx, name); found || err != nil {
			t.Errorf("the cursor %s is still there: %v, %v", name, found, err)
		}
	}
	check("b", event.Backlog{Found: true, Done: []uint64{2}})
	if err := s.ForgetHandler(ctx, "never seen"); err != nil {
		t.Error(err)
	}
}

// clock is a clock that a test sets, also back.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) set(seconds int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = time.Unix(seconds, 0)
}

func times(t *testing.T, s State, clock *clock) {
	ctx := t.Context()
	var seqs []uint64
	for _, at := range []int64{100, 100, 110, 105 /* back: taken as 110 */, 120, 130} {
		clock.set(at)
		seqs = append(seqs, mustAppend(t, s, Make(t, event.Draft{}))[0].Seq)
	}
	check := func(at int64, want uint64) {
		t.Helper()
		if got, err := s.SeqAt(ctx, time.Unix(at, 0)); got != want || err != nil {
			t.Errorf("SeqAt(%d): got %d, %v, want %d", at, got, err, want)
		}
	}
	end := s.Last() + 1
	check(0, seqs[0])
	check(100, seqs[0])
	check(101, seqs[2])
	check(110, seqs[2])
	check(111, seqs[4])
	check(130, seqs[5])
	check(131, end)
	if _, err := s.Trim(ctx, seqs[3]); err != nil {
		t.Fatal(err)
	}
	check(0, seqs[3])
	check(111, seqs[4])
	if _, err := s.Trim(ctx, end); err != nil {
		t.Fatal(err)
	}
	check(0, end)
	if got, err := s.SeqAt(ctx, time.Time{}); got != end || err != nil {
		t.Errorf("SeqAt of the zero time: got %d, %v, want %d", got, err, end)
	}
}

// timesOfTheFuture sets the clock far back again. Trim then gives the events that
// bear times of the future the present one.
func timesOfTheFuture(t *testing.T, s State, clock *clock) {
	ctx := t.Context()
	clock.set(1000)
	first := mustAppend(t, s, Make(t, event.Draft{}))[0].Seq
	clock.set(1 << 30)
	ahead := mustAppend(t, s, Numbered(t, "ahead", 1200)...)[0].Seq
	clock.set(2000)
	mustAppend(t, s, Make(t, event.Draft{}))
	check := func(what string, at int64, want uint64) {
		t.Helper()
		if got, err := s.SeqAt(ctx, time.Unix(at, 0)); got != want || err != nil {
			t.Errorf("%s: SeqAt(%d): got %d, %v, want %d", what, at, got, err, want)
		}
	}
	check("before", 2001, ahead)
	before, err := s.Status(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := s.Trim(ctx, 0); n != 0 || err != nil {
		t.Fatalf("Trim: got %d, %v", n, err)
	}
	if after, err := s.Status(ctx); after != before || err != nil {
		t.Errorf("Status: got %+v, %v, want %+v", after, err, before)
	}
	check("after", 1000, first)
	check("after", 1001, ahead)
	check("after", 2000, ahead)
	check("after", 2001, s.Last()+1)
	clock.set(3000)
	next := mustAppend(t, s, Make(t, event.Draft{}))[0].Seq
	check("what came then", 2001, next)
	check("what came then", 3001, next+1)
}

func closing(t *testing.T, s State) {
	ctx := t.Context()
	mustAppend(t, s, Make(t, event.Draft{}))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	calls := map[string]func() error{
		"Append":         func() error { _, err := s.Append(ctx, Numbered(t, "k", 1)); return err },
		"Read":           func() error { _, err := s.Read(ctx, 1, 1); return err },
		"Wait":           func() error { return s.Wait(ctx, 1) },
		"Trim":           func() error { _, err := s.Trim(ctx, 5); return err },
		"Cursors":        func() error { _, err := s.Cursors(ctx); return err },
		"Status":         func() error { _, err := s.Status(ctx); return err },
		"Cursor":         func() error { _, _, err := s.Cursor(ctx, "x"); return err },
		"SetCursor":      func() error { return s.SetCursor(ctx, event.Cursor{Name: "x"}) },
		"Event":          func() error { _, err := s.Event(ctx, "x"); return err },
		"Events":         func() error { _, err := s.Events(ctx, event.Query{Limit: 1}); return err },
		"SeqAt":          func() error { _, err := s.SeqAt(ctx, time.Now()); return err },
		"LoadBacklog":    func() error { _, err := s.LoadBacklog(ctx, "x"); return err },
		"SaveDeliveries": func() error { _, err := s.SaveDeliveries(ctx, []event.Delivery{{Handler: "a"}}, nil); return err },
		"Deliveries":     func() error { _, err := s.Deliveries(ctx, 1); return err },
		"DeadCounts":     func() error { _, err := s.DeadCounts(ctx); return err },
		"DeadLetters":    func() error { _, _, err := s.DeadLetters(ctx, event.DeadFilter{}, "", 1); return err },
		"Redrive":        func() error { _, err := s.Redrive(ctx, event.DeadFilter{}); return err },
		"Purge":          func() error { _, err := s.Purge(ctx, event.DeadFilter{}); return err },
		"Redriven":       func() error { _, err := s.Redriven(ctx, "x", 0, 1); return err },
		"CountRedriven":  func() error { _, err := s.CountRedriven(ctx, "x", 0, 1); return err },
		"StartReplay":    func() error { return s.StartReplay(ctx, "x", 1, 1, time.Now()) },
		"ForgetHandler":  func() error { return s.ForgetHandler(ctx, "x") },
	}
	for name, call := range calls {
		wantCode(t, name+" after Close", call(), fault.Unavailable)
	}
	if err := s.Close(); err != nil {
		t.Errorf("the second Close: %v", err)
	}
	if got := s.Last(); got != 1 {
		t.Errorf("Last after Close: got %d, want 1", got)
	}
}

func closingWhileBusy(t *testing.T, s State) {
	ctx := t.Context()
	var wg sync.WaitGroup
	until := func(call func() error) {
		wg.Go(func() {
			for {
				if err := call(); err != nil {
					if errors.Is(err, context.Canceled) || !fault.Is(err, fault.Unavailable) {
						t.Errorf("while closing: %v", err)
					}
					return
				}
			}
		})
	}
	var started sync.WaitGroup
	for i := range 4 {
		started.Add(1)
		once := sync.OnceFunc(started.Done)
		n := 0
		until(func() error {
			n++
			_, err := s.Append(ctx, Numbered(t, fmt.Sprintf("%d-%d", i, n), 2))
			if n > 3 {
				once()
			}
			return err
		})
	}
	until(func() error { _, err := s.Read(ctx, 1, 100); return err })
	until(func() error { return s.Wait(ctx, s.Last()) })
	until(func() error { _, err := s.LoadBacklog(ctx, "a"); return err })
	until(func() error { return s.SetCursor(ctx, event.Cursor{Name: "handler/a", Seq: 1}) })
	until(func() error { _, err := s.Trim(ctx, s.Last()); return err })
	started.Wait()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	wg.Wait()
}
