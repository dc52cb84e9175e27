package logtest

import (
	"fmt"
	"math"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/berth-host/berth/host/bus"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
)

func oneEvent(t *testing.T, l bus.Log) {
	ctx := t.Context()
	named := Make(t, event.Draft{IdempotencyKey: "order:7:v1"})
	plain := Make(t, event.Draft{})
	// Its key is another event's id: a look-up finds that event.
	claims := Make(t, event.Draft{IdempotencyKey: named.ID()})
	mustAppend(t, l, named, plain, claims)
	for id, want := range map[string]*event.Event{
		"order:7:v1": named, named.ID(): named, plain.ID(): plain, claims.ID(): claims,
	} {
		if got, err := l.Event(ctx, id); err != nil || got.Event.ID() != want.ID() || got.Seq == 0 {
			t.Errorf("Event(%q): got %+v, %v, want %s", id, got, err, want.ID())
		}
	}
	// Each is found by its key, also the one whose key is another event's id.
	for _, ev := range []*event.Event{named, plain, claims} {
		key := ev.Metadata().IdempotencyKey
		list, err := l.Events(ctx, event.Query{Key: key, Limit: 2})
		if err != nil || len(list) != 1 || list[0].Event.ID() != ev.ID() || list[0].Seq == 0 {
			t.Errorf("Events by the key %q: got %+v, %v, want %s", key, list, err, ev.ID())
		}
	}
	for _, q := range []event.Query{{Key: "ORDER:7:V1"}, {Key: "order:7:v1", Type: "other"}, {Key: "order:7:v1", Subject: "x"},
		{Key: "order:7:v1", Before: 1}} {
		q.Limit = 1
		if list, err := l.Events(ctx, q); err != nil || len(list) != 0 {
			t.Errorf("Events(%+v): got %+v, %v, want none", q, list, err)
		}
	}
	for _, id := range []string{"", "order:7:v2", "ORDER:7:V1"} {
		_, err := l.Event(ctx, id)
		WantCode(t, fmt.Sprintf("Event(%q)", id), err, fault.NotFound)
	}
}

func listsOfEvents(t *testing.T, l bus.Log) {
	ctx := t.Context()
	var all []event.Record
	for i := range 60 {
		ev := Make(t, event.Draft{Type: []string{"a", "b"}[i%2], Subject: []string{"", "x", "y"}[i%3]})
		all = append(all, event.Record{Seq: mustAppend(t, l, ev)[0].Seq, Event: ev})
	}
	for _, q := range []event.Query{
		{Limit: 1000}, {Limit: 7}, {Type: "a", Limit: 5}, {Type: "none", Limit: 5}, {Subject: "x", Limit: 100},
		{Type: "b", Subject: "y", Limit: 3}, {Before: all[30].Seq, Limit: 4}, {Before: 1, Limit: 4},
		{Before: math.MaxUint64, Type: "a", Subject: "x", Limit: 1}, {Subject: "none", Limit: 2},
	} {
		var want []string
		for i := len(all) - 1; i >= 0 && len(want) < q.Limit; i-- {
			ev := all[i].Event
			if (q.Type == "" || q.Type == ev.Type()) && (q.Subject == "" || q.Subject == ev.Metadata().Subject) &&
				(q.Before == 0 || all[i].Seq < q.Before) {
				want = append(want, ev.ID())
			}
		}
		records, err := l.Events(ctx, q)
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
	// A rare event, far back.
	var many []*event.Event
	for i := range 3000 {
		many = append(many, Make(t, event.Draft{Type: "many", Subject: fmt.Sprint(i % 7)}))
	}
	mustAppend(t, l, many...)
	if records, err := l.Events(ctx, event.Query{Type: "b", Subject: "x", Limit: 1}); err != nil || len(records) != 1 ||
		records[0].Seq != all[55].Seq {
		t.Errorf("a rare one: got %+v, %v, want Seq %d", records, err, all[55].Seq)
	}
	if records, err := l.Events(ctx, event.Query{Type: "many", Subject: "3", Limit: 400}); err != nil || len(records) != 400 ||
		records[399].Event.ID() != many[2999-7*399].ID() {
		t.Errorf("many: got %d, %v", len(records), err)
	}
	for _, limit := range []int{-1, 0, 1001} {
		_, err := l.Events(ctx, event.Query{Limit: limit})
		WantCode(t, fmt.Sprint("a limit of ", limit), err, fault.Invalid)
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

func times(t *testing.T, l bus.Log, clock *clock) {
	ctx := t.Context()
	var seqs []uint64
	for _, at := range []int64{100, 100, 110, 105 /* back: taken as 110 */, 120, 130} {
		clock.set(at)
		seqs = append(seqs, mustAppend(t, l, Make(t, event.Draft{}))[0].Seq)
	}
	check := func(at int64, want uint64) {
		t.Helper()
		if got, err := l.SeqAt(ctx, time.Unix(at, 0)); got != want || err != nil {
			t.Errorf("SeqAt(%d): got %d, %v, want %d", at, got, err, want)
		}
	}
	end := l.Last() + 1
	check(0, seqs[0])
	check(100, seqs[0])
	check(101, seqs[2])
	check(110, seqs[2])
	check(111, seqs[4])
	check(130, seqs[5])
	check(131, end)
	if _, err := l.Trim(ctx, seqs[3]); err != nil {
		t.Fatal(err)
	}
	check(0, seqs[3])
	check(111, seqs[4])
	if _, err := l.Trim(ctx, end); err != nil {
		t.Fatal(err)
	}
	check(0, end)
	if got, err := l.SeqAt(ctx, time.Time{}); got != end || err != nil {
		t.Errorf("SeqAt of the zero time: got %d, %v, want %d", got, err, end)
	}
}

// timesOfTheFuture sets the clock far back again. Trim then replaces the future
// timestamps by the present one.
func timesOfTheFuture(t *testing.T, l bus.Log, clock *clock) {
	ctx := t.Context()
	clock.set(1000)
	first := mustAppend(t, l, Make(t, event.Draft{}))[0].Seq
	clock.set(1 << 30)
	ahead := mustAppend(t, l, Numbered(t, "ahead", 1200)...)[0].Seq
	clock.set(2000)
	mustAppend(t, l, Make(t, event.Draft{}))
	check := func(what string, at int64, want uint64) {
		t.Helper()
		if got, err := l.SeqAt(ctx, time.Unix(at, 0)); got != want || err != nil {
			t.Errorf("%s: SeqAt(%d): got %d, %v, want %d", what, at, got, err, want)
		}
	}
	check("before", 2001, ahead)
	before, err := l.Status(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := l.Trim(ctx, 0); n != 0 || err != nil {
		t.Fatalf("Trim: got %d, %v", n, err)
	}
	if after, err := l.Status(ctx); after != before || err != nil {
		t.Errorf("Status: got %+v, %v, want %+v", after, err, before)
	}
	check("after", 1000, first)
	check("after", 1001, ahead)
	check("after", 2000, ahead)
	check("after", 2001, l.Last()+1)
	clock.set(3000)
	next := mustAppend(t, l, Make(t, event.Draft{}))[0].Seq
	check("the next event", 2001, next)
	check("the next event", 3001, next+1)
}
