package logtest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/berth-host/berth/host/bus"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
)

// Run runs the tests of a log. open returns an empty one with this clock, and closes
// it when the test ends.
func Run(t *testing.T, open func(t *testing.T, now func() time.Time) bus.Log) {
	tests := []struct {
		name string
		run  func(*testing.T, bus.Log)
	}{
		{"an empty log", emptyLog},
		{"append and read", appendAndRead},
		{"reads in pages", readsInPages},
		{"duplicates and conflicts", duplicates},
		{"duplicates in one call", duplicatesInOneCall},
		{"refused calls", refusedCalls},
		{"waiting", waiting},
		{"trimming", trimming},
		{"one event", oneEvent},
		{"lists of events", listsOfEvents},
		{"status", status},
		{"a full log", fullLog},
		{"a full log for many", fullForMany},
		{"an ended context", endedContext},
		{"hammer", hammer},
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
}

// Make makes an event; an error fails the test.
func Make(t testing.TB, d event.Draft) *event.Event {
	t.Helper()
	if d.Type == "" {
		d.Type = "order_status_changed"
	}
	ev, err := event.New(d)
	if err != nil {
		t.Fatal(err)
	}
	return ev
}

// Numbered makes n events whose keys are prefix-0 and on.
func Numbered(t testing.TB, prefix string, n int) []*event.Event {
	t.Helper()
	events := make([]*event.Event, n)
	for i := range events {
		events[i] = Make(t, event.Draft{IdempotencyKey: fmt.Sprintf("%s-%d", prefix, i), Data: fmt.Appendf(nil, `{"n":%d}`, i)})
	}
	return events
}

func mustAppend(t testing.TB, l bus.Log, events ...*event.Event) []event.Receipt {
	t.Helper()
	receipts, err := l.Append(t.Context(), events)
	if err != nil {
		t.Fatalf("Append: %v", err)
	}
	if len(receipts) != len(events) {
		t.Fatalf("Append answered %d receipts for %d events", len(receipts), len(events))
	}
	return receipts
}

// ReadAll reads a log to its end, in pages.
func ReadAll(t testing.TB, l bus.Log, from uint64, page int) []event.Record {
	t.Helper()
	var all []event.Record
	for {
		records, err := l.Read(t.Context(), from, page)
		if err != nil {
			t.Fatalf("Read(%d): %v", from, err)
		}
		if len(records) == 0 {
			return all
		}
		if len(records) > page {
			t.Fatalf("Read(%d, %d) answered %d records", from, page, len(records))
		}
		for _, r := range records {
			if r.Seq < from {
				t.Fatalf("Read: got Seq %d after %d", r.Seq, from-1)
			}
			from = r.Seq + 1
		}
		all = append(all, records...)
	}
}

// WantCode reports an error without this code; "" is that of no error.
func WantCode(t testing.TB, what string, err error, want fault.Code) {
	t.Helper()
	if got := fault.CodeOf(err); got != want {
		t.Errorf("%s: got code %q (%v), want %q", what, got, err, want)
	}
}

func emptyLog(t *testing.T, l bus.Log) {
	if got := l.Last(); got != 0 {
		t.Errorf("Last: got %d, want 0", got)
	}
	for _, from := range []uint64{0, 1, 7, math.MaxUint64} {
		if records, err := l.Read(t.Context(), from, 10); err != nil || len(records) != 0 {
			t.Errorf("Read(%d): got %d records, %v", from, len(records), err)
		}
	}
	if n, err := l.Trim(t.Context(), math.MaxUint64); n != 0 || err != nil {
		t.Errorf("Trim: got %d, %v", n, err)
	}
	if receipts, err := l.Append(t.Context(), nil); len(receipts) != 0 || err != nil {
		t.Errorf("Append of nothing: got %v, %v", receipts, err)
	}
}

func appendAndRead(t *testing.T, l bus.Log) {
	events := []*event.Event{
		Make(t, event.Draft{Type: "a", Data: []byte(`{"x": [1, 2]}`), Subject: "order 1"}),
		Make(t, event.Draft{Type: "b.c-d_e", Subject: `"quoted" \ ü 漢`, Source: "test", CorrelationID: "c", CausationID: "d",
			TraceParent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", Hops: 3, Time: time.Unix(1, 5)}),
		Make(t, event.Draft{Type: "a"}),
	}
	var last uint64
	for i, r := range mustAppend(t, l, events...) {
		if r.Seq <= last || r.EventID != events[i].ID() || r.IdempotencyKey != events[i].Metadata().IdempotencyKey || r.Duplicate ||
			r.Err != nil {
			t.Errorf("receipt %d: got %+v after Seq %d", i, r, last)
		}
		last = r.Seq
	}
	if got := l.Last(); got != last {
		t.Errorf("Last: got %d, want %d", got, last)
	}
	for i, r := range ReadAll(t, l, 0, 10) {
		if got, want := r.Event.Envelope(), events[i].Envelope(); got != want {
			t.Errorf("event %d: got %s, want %s", i, got, want)
		}
		if r.Event.Digest() != events[i].Digest() || r.Event.ID() != events[i].ID() {
			t.Errorf("event %d is not the one that was appended", i)
		}
	}
}

func readsInPages(t *testing.T, l bus.Log) {
	const n = 300
	events := Numbered(t, "k", n)
	for i := 0; i < n; i += 50 {
		mustAppend(t, l, events[i:i+50]...)
	}
	for _, page := range []int{1, 7, 299, 300, 301, math.MaxInt} {
		all := ReadAll(t, l, 1, page)
		if len(all) != n {
			t.Fatalf("pages of %d: got %d events, want %d", page, len(all), n)
		}
		for i, r := range all {
			if r.Event.ID() != events[i].ID() {
				t.Fatalf("pages of %d: event %d is at the wrong position", page, i)
			}
		}
	}
}

func duplicates(t *testing.T, l bus.Log) {
	first := Make(t, event.Draft{IdempotencyKey: "k", Data: []byte(`{"a":1}`), Subject: "s"})
	value := Make(t, event.Draft{IdempotencyKey: "v", Data: []byte(`{"a":1,"b":[{"c":"é","d":1.50}]}`)})
	large := Make(t, event.Draft{IdempotencyKey: "large",
		Data: []byte(`{"a":"` + strings.Repeat("x", 1<<19) + `","b":[` + strings.Repeat("1,", 1<<17) + `1]}`)})
	seq := mustAppend(t, l, first)[0].Seq
	tests := []struct {
		name string
		d    event.Draft
		same bool
	}{
		{"the same", event.Draft{IdempotencyKey: "k", Data: []byte(`{"a":1}`), Subject: "s"}, true},
		{"other spacing and metadata", event.Draft{IdempotencyKey: "k", Data: []byte(` {"a": 1}`), Subject: "s", Source: "other",
			Time: time.Unix(9, 0)}, true},
		{"other data", event.Draft{IdempotencyKey: "k", Data: []byte(`{"a":2}`), Subject: "s"}, false},
		{"other subject", event.Draft{IdempotencyKey: "k", Data: []byte(`{"a":1}`), Subject: "t"}, false},
		{"other type", event.Draft{IdempotencyKey: "k", Data: []byte(`{"a":1}`), Subject: "s", Type: "x"}, false},
	}
	for _, tt := range tests {
		r := mustAppend(t, l, Make(t, tt.d))[0]
		if r.Seq != seq || r.EventID != first.ID() || r.IdempotencyKey != "k" || r.Duplicate != tt.same {
			t.Errorf("%s: got %+v, want Seq %d, id %s, duplicate %v", tt.name, r, seq, first.ID(), tt.same)
		}
		want := fault.Conflict
		if tt.same {
			want = ""
		}
		WantCode(t, tt.name, r.Err, want)
	}
	if got := l.Last(); got != seq {
		t.Errorf("Last: got %d, want %d: a duplicate was stored", got, seq)
	}
	// The value counts, not its spelling.
	mustAppend(t, l, value, large)
	for _, tt := range []struct {
		name string
		d    event.Draft
		same bool
	}{
		{"members in another order", event.Draft{IdempotencyKey: "v", Data: []byte(`{"b":[{"d":1.50,"c":"é"}],"a":1}`)}, true},
		{"numbers and strings in another spelling", event.Draft{IdempotencyKey: "v",
			Data: []byte(`{"b":[{"d":15e-1,"c":"\u00e9"}],"a":1.0}`)}, true},
		{"a list in another order", event.Draft{IdempotencyKey: "v", Data: []byte(`{"a":1,"b":[{"d":1.50},{"c":"é"}]}`)}, false},
		{"a number as a string", event.Draft{IdempotencyKey: "v", Data: []byte(`{"a":"1","b":[{"c":"é","d":1.50}]}`)}, false},
		{"a member that is null", event.Draft{IdempotencyKey: "v", Data: []byte(`{"a":1,"b":[{"c":"é","d":1.50}],"e":null}`)}, false},
		{"a large one in another order", event.Draft{IdempotencyKey: "large",
			Data: []byte(`{"b":[` + strings.Repeat("1,", 1<<17) + `1],"a":"` + strings.Repeat("x", 1<<19) + `"}`)}, true},
		{"a large one with another number", event.Draft{IdempotencyKey: "large",
			Data: []byte(`{"b":[` + strings.Repeat("1,", 1<<17) + `2],"a":"` + strings.Repeat("x", 1<<19) + `"}`)}, false},
	} {
		r := mustAppend(t, l, Make(t, tt.d))[0]
		want := fault.Conflict
		if tt.same {
			want = ""
		}
		WantCode(t, tt.name, r.Err, want)
		if r.Duplicate != tt.same || r.EventID != value.ID() && r.EventID != large.ID() {
			t.Errorf("%s: got %+v", tt.name, r)
		}
	}
	// Another event's id as a key is that event's key: the default one.
	plain := Make(t, event.Draft{})
	mustAppend(t, l, plain)
	if r := mustAppend(t, l, Make(t, event.Draft{IdempotencyKey: plain.ID()}))[0]; !r.Duplicate || r.EventID != plain.ID() {
		t.Errorf("an event id as the key: got %+v", r)
	}
	if got := len(ReadAll(t, l, 1, 10)); got != 4 {
		t.Errorf("the log has %d events, want 4", got)
	}
}

func duplicatesInOneCall(t *testing.T, l bus.Log) {
	one := Make(t, event.Draft{IdempotencyKey: "k", Data: []byte(`1`)})
	receipts := mustAppend(t, l, one, one,
		Make(t, event.Draft{IdempotencyKey: "k", Data: []byte(`2`)}),
		Make(t, event.Draft{IdempotencyKey: "k", Data: []byte(`1.0`)}),
		Make(t, event.Draft{IdempotencyKey: "l"}))
	for i, want := range []struct {
		duplicate bool
		code      fault.Code
	}{{false, ""}, {true, ""}, {false, fault.Conflict}, {true, ""}, {false, ""}} {
		r := receipts[i]
		WantCode(t, fmt.Sprint("receipt ", i), r.Err, want.code)
		if r.Duplicate != want.duplicate || i < 4 && (r.Seq != receipts[0].Seq || r.EventID != one.ID()) {
			t.Errorf("receipt %d: got %+v", i, r)
		}
	}
	if got := len(ReadAll(t, l, 1, 10)); got != 2 {
		t.Errorf("the log has %d events, want 2", got)
	}
}

func refusedCalls(t *testing.T, l bus.Log) {
	_, err := l.Append(t.Context(), []*event.Event{Make(t, event.Draft{}), nil})
	WantCode(t, "Append of nil", err, fault.Invalid)
	_, err = l.Read(t.Context(), 1, 0)
	WantCode(t, "Read of none", err, fault.Invalid)
	if got := l.Last(); got != 0 {
		t.Errorf("Last: got %d, want 0", got)
	}
}

func waiting(t *testing.T, l bus.Log) {
	ctx := t.Context()
	const waiters = 8
	woken := make(chan error, waiters)
	for range waiters {
		go func() { woken <- l.Wait(ctx, 0) }()
	}
	mustAppend(t, l, Make(t, event.Draft{}))
	for range waiters {
		if err := <-woken; err != nil {
			t.Errorf("Wait: %v", err)
		}
	}
	if err := l.Wait(ctx, 0); err != nil {
		t.Errorf("Wait for an existing event: %v", err)
	}
	// An append that stores nothing ends no Wait.
	canceled, cancel := context.WithCancel(ctx)
	go func() { woken <- l.Wait(canceled, l.Last()) }()
	cancel()
	if err := <-woken; !errors.Is(err, context.Canceled) {
		t.Errorf("Wait: got %v, want the context's error", err)
	}
}

func trimming(t *testing.T, l bus.Log) {
	events := Numbered(t, "k", 1200)
	receipts := mustAppend(t, l, events...)
	last := l.Last()
	trim := func(before uint64, want int) {
		t.Helper()
		if n, err := l.Trim(t.Context(), before); n != want || err != nil {
			t.Errorf("Trim(%d): got %d, %v, want %d", before, n, err, want)
		}
	}
	trim(0, 0)
	trim(receipts[0].Seq, 0)
	trim(receipts[100].Seq, 100)
	trim(receipts[100].Seq, 0)
	all := ReadAll(t, l, 0, 1000)
	if len(all) != 1100 || all[0].Seq != receipts[100].Seq {
		t.Fatalf("after Trim: %d events from Seq %d", len(all), all[0].Seq)
	}
	// The key of a removed event is free again, that of a kept one is not.
	again := mustAppend(t, l, Make(t, event.Draft{IdempotencyKey: "k-99", Data: []byte(`"new"`)}),
		Make(t, event.Draft{IdempotencyKey: "k-100", Data: []byte(`{"n":100}`)}))
	if again[0].Duplicate || again[0].Err != nil || again[0].Seq <= last || !again[1].Duplicate {
		t.Errorf("keys after Trim: got %+v", again)
	}
	// A log that was trimmed to nothing continues where it was.
	last = l.Last()
	trim(math.MaxUint64, 1101)
	if got := l.Last(); got != last {
		t.Errorf("Last after Trim: got %d, want %d", got, last)
	}
	if all := ReadAll(t, l, 0, 10); len(all) != 0 {
		t.Errorf("%d events are left", len(all))
	}
	if seq := mustAppend(t, l, Make(t, event.Draft{}))[0].Seq; seq <= last {
		t.Errorf("Seq %d was used again", seq)
	}
}

func endedContext(t *testing.T, l bus.Log) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	calls := map[string]func() error{
		"Append": func() error { _, err := l.Append(ctx, Numbered(t, "k", 1)); return err },
		"Read":   func() error { _, err := l.Read(ctx, 1, 1); return err },
		"Wait":   func() error { return l.Wait(ctx, 5) },
		"Trim":   func() error { _, err := l.Trim(ctx, 5); return err },
		"Status": func() error { _, err := l.Status(ctx); return err },
	}
	for name, call := range calls {
		if err := call(); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: got %v, want the context's error", name, err)
		}
	}
	if got := l.Last(); got != 0 {
		t.Errorf("Last: got %d, want 0: an append with an ended context was stored", got)
	}
}
