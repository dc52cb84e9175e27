package logtest

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/berth-host/berth/host/bus"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
)

// at is a time of these tests: so many seconds after 1970.
func at(seconds int64) time.Time { return time.Unix(seconds, 0).UTC() }

func mustSave(t testing.TB, s bus.Engine, outcomes ...event.Delivery) {
	t.Helper()
	if _, _, err := s.SaveDeliveries(t.Context(), nil, nil, outcomes, nil); err != nil {
		t.Fatalf("SaveDeliveries: %v", err)
	}
}

// Names lists dead letters as "a1 b2".
func Names(list []event.DeadLetter) string {
	var texts []string
	for _, l := range list {
		texts = append(texts, fmt.Sprint(l.Handler, l.Seq))
	}
	return strings.Join(texts, " ")
}

func allDead(t testing.TB, s bus.Engine, f event.DeadFilter) string {
	t.Helper()
	list, next, err := s.DeadLetters(t.Context(), f, "", 1000)
	if err != nil || next != "" {
		t.Fatalf("DeadLetters: next %q, %v", next, err)
	}
	return Names(list)
}

func pending(t testing.TB, s bus.Engine, handler string) (seqs []uint64) {
	t.Helper()
	list, err := s.Redriven(t.Context(), handler, 0, math.MaxInt32)
	if err != nil {
		t.Fatalf("Redriven: %v", err)
	}
	for _, d := range list {
		seqs = append(seqs, d.Seq)
	}
	return seqs
}

// sixEvents appends six events, of two types and two subjects, and saves a delivery of
// each for a and b: all of b are dead, and those of a with an odd Seq.
func sixEvents(t *testing.T, s bus.Engine) []*event.Event {
	var events []*event.Event
	for i := range 6 {
		events = append(events, Make(t, event.Draft{Type: []string{"x", "y"}[i%2], Subject: []string{"s", "t", "s"}[i%3],
			IdempotencyKey: fmt.Sprint("key-", i+1)}))
	}
	mustAppend(t, s, events...)
	for i := range events {
		seq := uint64(i + 1)
		a := event.Delivery{Handler: "a", Seq: seq, Status: event.StatusOK, Attempts: 1, At: at(10 * int64(seq))}
		b := event.Delivery{Handler: "b", Seq: seq, Status: event.StatusDead, Attempts: 5, ErrorClass: event.ClassTimeout,
			ErrorMessage: "late",
			Duration:     time.Second, Fuel: 7, At: at(10 * int64(seq)), FirstAttempt: at(5)}
		if seq%2 == 1 {
			a.Status, a.ErrorClass, a.ErrorMessage = event.StatusDead, event.ClassRejected, "no"
		}
		mustSave(t, s, a, b)
	}
	return events
}

func deadLetters(t *testing.T, s bus.Engine) {
	ctx := t.Context()
	events := sixEvents(t, s)
	for _, tt := range []struct {
		filter event.DeadFilter
		want   string
	}{
		{event.DeadFilter{}, "b6 b5 a5 b4 b3 a3 b2 b1 a1"},
		{event.DeadFilter{Handler: "a"}, "a5 a3 a1"},
		{event.DeadFilter{Handler: "c"}, ""},
		{event.DeadFilter{EventID: events[2].ID()}, "b3 a3"},
		{event.DeadFilter{EventID: "key-3", Handler: "a"}, "a3"},
		{event.DeadFilter{EventID: "key-4", Handler: "a"}, ""},
		{event.DeadFilter{EventID: "no such"}, ""},
		{event.DeadFilter{Type: "x"}, "b5 a5 b3 a3 b1 a1"},
		{event.DeadFilter{Type: "none"}, ""},
		{event.DeadFilter{Subject: "t"}, "b5 a5 b2"},
		{event.DeadFilter{Subject: "s", Handler: "a", Type: "x"}, "a3 a1"},
		{event.DeadFilter{Class: event.ClassRejected}, "a5 a3 a1"},
		{event.DeadFilter{Class: event.ClassTrap}, ""},
		{event.DeadFilter{Since: at(30)}, "b6 b5 a5 b4 b3 a3"},
		{event.DeadFilter{Until: at(30)}, "b2 b1 a1"},
		{event.DeadFilter{Since: at(30), Until: at(31), Handler: "b"}, "b3"},
	} {
		if got := allDead(t, s, tt.filter); got != tt.want {
			t.Errorf("DeadLetters(%+v): got %q, want %q", tt.filter, got, tt.want)
		}
		for _, limit := range []int{1, 2, 5} {
			var pages []event.DeadLetter
			for cursor := ""; ; {
				list, next, err := s.DeadLetters(ctx, tt.filter, cursor, limit)
				if err != nil || len(list) > limit {
					t.Fatalf("a page of %d: got %d, %v", limit, len(list), err)
				}
				pages = append(pages, list...)
				if cursor = next; next == "" {
					break
				}
			}
			if got := Names(pages); got != tt.want {
				t.Errorf("DeadLetters(%+v), pages of %d: got %q, want %q", tt.filter, limit, got, tt.want)
			}
		}
	}
	list, _, err := s.DeadLetters(ctx, event.DeadFilter{EventID: events[0].ID()}, "", 10)
	if err != nil || len(list) != 2 {
		t.Fatal(list, err)
	}
	if l := list[0]; l.Event.Envelope() != events[0].Envelope() || l.Reason != event.ReasonAttempts || l.ErrorClass != event.ClassTimeout ||
		l.ErrorMessage != "late" || l.Attempts != 5 || !l.At.Equal(at(10)) || !l.FirstAt.Equal(at(5)) || l.Status != event.StatusDead {
		t.Errorf("got %+v", l)
	}
	if l := list[1]; l.Reason != event.ReasonRejected || !l.FirstAt.IsZero() {
		t.Errorf("got %+v", l)
	}
	// The position of a purged dead letter is still a valid cursor.
	_, next, err := s.DeadLetters(ctx, event.DeadFilter{}, "", 3)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := s.Purge(ctx, event.DeadFilter{Handler: "a", EventID: "key-5"}); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	if list, _, err := s.DeadLetters(ctx, event.DeadFilter{}, next, 2); Names(list) != "b4 b3" || err != nil {
		t.Errorf("after a purged position: got %s, %v", Names(list), err)
	}
	for _, cursor := range []string{"x", "5", ".a", "0.a", "-1.a", "05.a", "99999999999999999999.a"} {
		_, _, err := s.DeadLetters(ctx, event.DeadFilter{}, cursor, 2)
		WantCode(t, fmt.Sprintf("the cursor %q", cursor), err, fault.Invalid)
	}
	for _, limit := range []int{-1, 0, 1001} {
		_, _, err := s.DeadLetters(ctx, event.DeadFilter{}, "", limit)
		WantCode(t, fmt.Sprint("a limit of ", limit), err, fault.Invalid)
	}
}

func redrive(t *testing.T, s bus.Engine) {
	ctx := t.Context()
	sixEvents(t, s)
	if _, _, err := s.SaveDeliveries(ctx, nil, nil, nil, []event.Cursor{{Name: "handler/a", Seq: 6}, {Name: "handler/b", Seq: 2}}); err != nil {
		t.Fatal(err)
	}
	check := func(f event.DeadFilter, want int) {
		t.Helper()
		if n, err := s.Redrive(ctx, f); n != want || err != nil {
			t.Errorf("Redrive(%+v): got %d, %v, want %d", f, n, err, want)
		}
	}
	check(event.DeadFilter{Handler: "c"}, 0)
	check(event.DeadFilter{Handler: "a", EventID: "key-3"}, 1)
	check(event.DeadFilter{Handler: "a", EventID: "key-3"}, 0) // is pending already
	check(event.DeadFilter{Handler: "b", Since: at(40)}, 3)
	if got := allDead(t, s, event.DeadFilter{}); got != "b3 a5 b2 b1 a1" && got != "a5 b3 b2 b1 a1" {
		t.Errorf("left: %s", got)
	}
	outcomes, err := s.Deliveries(ctx, 3)
	if err != nil || len(outcomes) != 2 {
		t.Fatal(outcomes, err)
	}
	if d := outcomes[0]; d.Status != event.StatusPending || d.Attempts != 0 || d.ErrorClass != "" || d.ErrorMessage != "" ||
		d.Duration != 0 ||
		d.Fuel != 0 || d.At.IsZero() || !d.Due.IsZero() || !d.FirstAttempt.IsZero() {
		t.Errorf("got %+v", d)
	}
	if got := fmt.Sprint(pending(t, s, "a"), pending(t, s, "b"), pending(t, s, "c")); got != "[3] [4 5 6] []" {
		t.Errorf("pending: got %s", got)
	}
	if list, err := s.Redriven(ctx, "b", 4, 1); err != nil || len(list) != 1 || list[0].Seq != 5 || list[0].Handler != "b" {
		t.Errorf("a page of Redriven: got %+v, %v", list, err)
	}
	b, err := s.LoadBacklog(ctx, "b")
	if err != nil || len(b.Open) != 0 || fmt.Sprint(b.Done) != "[3]" {
		t.Errorf("the backlog: got %+v, %v", b, err)
	}
	// Open deliveries are not dead; one that is dead again is.
	mustSave(t, s, event.Delivery{Handler: "b", Seq: 4, Status: event.StatusRetrying, Attempts: 1, At: at(70), Due: at(80)},
		event.Delivery{Handler: "b", Seq: 5, Status: event.StatusDead, Attempts: 2, ErrorClass: event.ClassFuel, At: at(70)},
		event.Delivery{Handler: "b", Seq: 6, Status: event.StatusOK, Attempts: 1, At: at(70)})
	if got := allDead(t, s, event.DeadFilter{Handler: "b"}); got != "b5 b3 b2 b1" {
		t.Errorf("dead again: got %s", got)
	}
	check(event.DeadFilter{Handler: "b", Class: event.ClassFuel}, 1)
	check(event.DeadFilter{}, 6-1) // a1 a5 b1 b2 b3
	if got := allDead(t, s, event.DeadFilter{}); got != "" {
		t.Errorf("left: %s", got)
	}
}

func purge(t *testing.T, s bus.Engine) {
	ctx := t.Context()
	sixEvents(t, s)
	for _, tt := range []struct {
		filter event.DeadFilter
		want   int
	}{
		{event.DeadFilter{EventID: "key-1"}, 2}, {event.DeadFilter{EventID: "key-1"}, 0},
		{event.DeadFilter{Handler: "b", Until: at(40)}, 2}, {event.DeadFilter{Handler: "b", Type: "y"}, 2},
	} {
		if n, err := s.Purge(ctx, tt.filter); n != tt.want || err != nil {
			t.Errorf("Purge(%+v): got %d, %v, want %d", tt.filter, n, err, tt.want)
		}
	}
	if got := allDead(t, s, event.DeadFilter{}); got != "b5 a5 a3" {
		t.Errorf("left: %s", got)
	}
	// It is still dead and final, and cannot be redriven.
	if outcomes, err := s.Deliveries(ctx, 1); err != nil || len(outcomes) != 2 || outcomes[0].Status != event.StatusDead ||
		outcomes[0].ErrorMessage != "no" {
		t.Errorf("Deliveries: got %+v, %v", outcomes, err)
	}
	if n, err := s.Redrive(ctx, event.DeadFilter{EventID: "key-1"}); n != 0 || err != nil {
		t.Errorf("Redrive: got %d, %v", n, err)
	}
	if b, err := s.LoadBacklog(ctx, "b"); err != nil || fmt.Sprint(b.Done) != "[1 2 3 4 5 6]" {
		t.Errorf("the backlog: got %+v, %v", b, err)
	}
	// A replay may make it a dead letter again.
	mustSave(t, s, event.Delivery{Handler: "a", Seq: 1, Status: event.StatusDead, At: at(99)})
	if got := allDead(t, s, event.DeadFilter{Handler: "a"}); got != "a5 a3 a1" {
		t.Errorf("dead again: got %s", got)
	}
}

func manyDeadLetters(t *testing.T, s bus.Engine) {
	const n = 1500
	receipts := mustAppend(t, s, Numbered(t, "k", n)...)
	var outcomes []event.Delivery
	for i, r := range receipts {
		outcomes = append(outcomes, event.Delivery{Handler: []string{"a", "b"}[i%2], Seq: r.Seq, Status: event.StatusDead, At: at(1)})
	}
	mustSave(t, s, outcomes...)
	if got, err := s.Redrive(t.Context(), event.DeadFilter{Handler: "a"}); got != n/2 || err != nil {
		t.Errorf("Redrive: got %d, %v", got, err)
	}
	seqs := pending(t, s, "a")
	if len(seqs) != n/2 || seqs[0] != receipts[0].Seq || seqs[n/2-1] != receipts[n-2].Seq {
		t.Errorf("%d are pending", len(seqs))
	}
	if got, err := s.Purge(t.Context(), event.DeadFilter{}); got != n/2 || err != nil {
		t.Errorf("Purge: got %d, %v", got, err)
	}
	if got, err := s.Trim(t.Context(), math.MaxUint64); got != n/2 || err != nil {
		t.Errorf("Trim: got %d, %v", got, err)
	}
	for i := range outcomes {
		outcomes[i].Status = event.StatusOK
	}
	mustSave(t, s, outcomes...)
	if got, err := s.Trim(t.Context(), math.MaxUint64); got != n/2 || err != nil {
		t.Errorf("Trim when all are ok: got %d, %v", got, err)
	}
}

func trimTakesDeliveries(t *testing.T, s bus.Engine) {
	ctx := t.Context()
	receipts := mustAppend(t, s, Numbered(t, "k", 3)...)
	for _, r := range receipts {
		mustSave(t, s, event.Delivery{Handler: "a", Seq: r.Seq, Status: event.StatusOK, At: at(1)})
	}
	if n, err := s.Trim(ctx, receipts[1].Seq); n != 1 || err != nil {
		t.Fatalf("Trim: got %d, %v", n, err)
	}
	for i, want := range []int{0, 1, 1} {
		if outcomes, err := s.Deliveries(ctx, receipts[i].Seq); len(outcomes) != want || err != nil {
			t.Errorf("deliveries of event %d: got %+v, %v, want %d", i, outcomes, err, want)
		}
	}
	_, err := s.Event(ctx, "k-0")
	WantCode(t, "Event after Trim", err, fault.NotFound)
}

func wantTrim(t *testing.T, s bus.Engine, before uint64, want int) {
	t.Helper()
	if n, err := s.Trim(t.Context(), before); n != want || err != nil {
		t.Errorf("Trim(%d): got %d, %v, want %d", before, n, err, want)
	}
}

// wantLeft checks which of the first 1000 events are left, and that each is found.
func wantLeft(t *testing.T, s bus.Engine, events []*event.Event, seq func(i int) uint64, want []int) {
	t.Helper()
	var got, expect []string
	for _, r := range ReadAll(t, s, 0, 7) {
		if r.Seq >= seq(1000) {
			break
		}
		got = append(got, r.Event.Metadata().IdempotencyKey)
	}
	for _, i := range want {
		expect = append(expect, fmt.Sprint("k-", i))
		rec, err := s.Event(t.Context(), events[i].ID())
		if err != nil || rec.Seq != seq(i) || rec.Event.Envelope() != events[i].Envelope() {
			t.Errorf("Event %d: got %+v, %v", i, rec, err)
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(expect) {
		t.Errorf("left: got %v, want %v", got, expect)
	}
}

func trimKeeps(t *testing.T, s bus.Engine) {
	ctx := t.Context()
	events := Numbered(t, "k", 1100)
	receipts := mustAppend(t, s, events...)
	seq := func(i int) uint64 { return receipts[i].Seq }
	outcome := func(h string, i int, st event.Status) event.Delivery {
		return event.Delivery{Handler: h, Seq: seq(i), Status: st, At: at(1)}
	}
	mustSave(t, s, outcome("a", 5, event.StatusDead), outcome("b", 5, event.StatusOK), outcome("a", 300, event.StatusRetrying),
		outcome("c", 301, event.StatusPending),
		outcome("a", 700, event.StatusDead), outcome("b", 700, event.StatusDead), outcome("a", 701, event.StatusDead),
		outcome("a", 702, event.StatusOK))
	if n, err := s.Purge(ctx, event.DeadFilter{EventID: "k-701"}); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	trim := func(before uint64, want int) {
		t.Helper()
		wantTrim(t, s, before, want)
	}
	left := func(want ...int) {
		t.Helper()
		wantLeft(t, s, events, seq, want)
	}
	trim(seq(1000), 996)
	left(5, 300, 301, 700)
	trim(seq(1000), 0)
	// Every reader finds them, with their deliveries and their keys.
	if outcomes, err := s.Deliveries(ctx, seq(5)); len(outcomes) != 2 || err != nil {
		t.Errorf("Deliveries: got %+v, %v", outcomes, err)
	}
	if r := mustAppend(t, s, events[300])[0]; !r.Duplicate || r.Seq != seq(300) {
		t.Errorf("the key of a leftover: got %+v", r)
	}
	if list, err := s.Events(ctx, event.Query{Type: events[5].Type(), Before: seq(700), Limit: 10}); err != nil || len(list) != 3 ||
		list[2].Seq != seq(5) {
		t.Errorf("Events: got %+v, %v", list, err)
	}
	if got, err := s.SeqAt(ctx, time.Time{}); got != seq(5) || err != nil {
		t.Errorf("SeqAt: got %d, %v, want %d", got, err, seq(5))
	}
	// Each is removed when no delivery keeps it any more, and not before.
	if n, err := s.Redrive(ctx, event.DeadFilter{Handler: "a", EventID: "k-5"}); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	trim(seq(1000), 0)
	mustSave(t, s, outcome("a", 5, event.StatusRetrying))
	trim(seq(1000), 0)
	mustSave(t, s, outcome("a", 5, event.StatusOK))
	trim(seq(3), 0)
	left(5, 300, 301, 700)
	trim(seq(1000), 1)
	left(300, 301, 700)
	if outcomes, err := s.Deliveries(ctx, seq(5)); len(outcomes) != 0 || err != nil {
		t.Errorf("Deliveries of what is gone: got %+v, %v", outcomes, err)
	}
	if n, err := s.Purge(ctx, event.DeadFilter{Handler: "b"}); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	trim(seq(1000), 0) // a has it among its dead letters still
	if err := s.ForgetHandler(ctx, "a"); err != nil {
		t.Fatal(err)
	}
	trim(seq(1000), 2)
	left(301)
	// Kept again before it was taken.
	mustSave(t, s, outcome("c", 301, event.StatusOK), outcome("d", 301, event.StatusDead))
	trim(seq(1000), 0)
	left(301)
	if n, err := s.Purge(ctx, event.DeadFilter{}); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	trim(math.MaxUint64, 101)
	if all := ReadAll(t, s, 0, 10); len(all) != 0 {
		t.Errorf("%d are left", len(all))
	}
}

func trimmedEventsGetNoDeliveries(t *testing.T, s bus.Engine) {
	ctx := t.Context()
	mustAppend(t, s, Numbered(t, "k", 2)...)
	if n, err := s.Trim(ctx, 2); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	child := Make(t, event.Draft{IdempotencyKey: "child"})
	outcomes := []event.Delivery{
		{Handler: "a", Seq: 1, Status: event.StatusOK, Children: []*event.Event{child}, At: at(1)},
		{Handler: "b", Seq: 1, Status: event.StatusDead, At: at(1)}, {Handler: "b", Seq: 2, Status: event.StatusDead, At: at(1)},
	}
	if _, _, err := s.SaveDeliveries(ctx, nil, nil, outcomes, []event.Cursor{{Name: "handler/a", Seq: 1}}); err != nil {
		t.Fatal(err)
	}
	if outcomes, err := s.Deliveries(ctx, 1); len(outcomes) != 0 || err != nil {
		t.Errorf("Deliveries: got %+v, %v", outcomes, err)
	}
	if got := allDead(t, s, event.DeadFilter{}); got != "b2" {
		t.Errorf("dead: %s", got)
	}
	if _, err := s.Event(ctx, "child"); err != nil {
		t.Errorf("the child: %v", err)
	}
	if seq, _, err := s.Cursor(ctx, "handler/a"); seq != 1 || err != nil {
		t.Errorf("the cursor: %d, %v", seq, err)
	}
}
