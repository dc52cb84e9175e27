package eventtypes_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/eventtypes"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
)

// refusing is a schema that refuses data with a word.
type refusing string

func (r refusing) Check(data string) (pointer, reason string, work int) {
	if strings.Contains(data, string(r)) {
		return "/items/0", "must not be " + string(r), 7
	}
	return "", "", 5
}

func compile(text []byte) (eventtypes.Schema, error) {
	if string(text) == "broken" {
		return nil, fault.New(fault.Invalid, "it is not a JSON Schema")
	}
	return refusing(text), nil
}

// setup is Types with a log of some keys.
type setup struct {
	*eventtypes.Types
	log   map[string]bool
	fails error
	clock time.Time
	lines bytes.Buffer
	finds int
}

func newSetup(t *testing.T, list ...spec.EventType) *setup {
	t.Helper()
	table, problems := eventtypes.Compile(list, compile)
	if problems != nil {
		t.Fatal(problems)
	}
	s := &setup{log: map[string]bool{}, clock: time.Date(2026, 1, 1, 10, 0, 0, 0, time.UTC)}
	s.Types = eventtypes.New(eventtypes.Config{Table: func() *eventtypes.Table { return table }, Now: func() time.Time { return s.clock },
		Taken: func(_ context.Context, key string) (bool, error) {
			s.finds++
			return s.log[key] && s.fails == nil, s.fails
		},
		Logger: slog.New(slog.NewTextHandler(&s.lines, nil))})
	return s
}

func newEvent(t testing.TB, typ, key, word string) *event.Event {
	t.Helper()
	ev, err := event.New(event.Draft{Type: typ, IdempotencyKey: key, Data: []byte(`"` + word + `"`)})
	if err != nil {
		t.Fatal(err)
	}
	return ev
}

func TestCheck(t *testing.T) {
	s := newSetup(t, spec.EventType{Type: "strict", Schema: []byte("bad")}, spec.EventType{Type: "lenient", Schema: []byte("bad"), Warn: true},
		spec.EventType{Type: "described", Owner: "o"})
	s.log["known"] = true
	for _, tt := range []struct {
		typ, key, word string
		refused        bool
	}{
		{"strict", "", "good", false},
		{"strict", "", "bad", true},
		{"strict", "new", "bad", true},
		{"strict", "known", "bad", false},
		{"lenient", "", "bad", false},
		{"lenient", "known", "bad", false},
		{"described", "", "bad", false},
		{"other", "", "bad", false},
	} {
		err := s.Check(newEvent(t, tt.typ, tt.key, tt.word))
		if (err != nil) != tt.refused {
			t.Errorf("%+v: got %v", tt, err)
		}
		var wrong *fault.Error
		if tt.refused && (!errors.As(err, &wrong) || wrong.Code != fault.Invalid || wrong.Field != "data/items/0" || wrong.Reason != "must not be bad: the schema of this event type demands it (event_types.strict.schema)") {
			t.Errorf("%+v: got %#v", tt, err)
		}
	}
	if got := fmt.Sprint(s.Violations()); got != "map[lenient:1 strict:2]" {
		t.Errorf("got %s", got)
	}
	if s.finds != 3 {
		t.Errorf("the log was asked %d times, want once for each key of an event that was refused", s.finds)
	}
}

// TestWorkOfAChildsCheck: a guest pays for the check, and for the look-up of a refused key.
func TestWorkOfAChildsCheck(t *testing.T) {
	s := newSetup(t, spec.EventType{Type: "strict", Schema: []byte("bad")})
	for word, want := range map[string]int{"good": 5, "bad": 27} {
		if work, err := s.CheckChild(newEvent(t, "strict", "", word)); work != want || (err != nil) != (word == "bad") {
			t.Errorf("%s: got %d, %v, want %d", word, work, err, want)
		}
	}
	if work, err := s.CheckChild(newEvent(t, "other", "", "bad")); work != 0 || err != nil {
		t.Errorf("without a schema: got %d, %v", work, err)
	}
}

func TestLogThatCannotBeReadIsNoRefusal(t *testing.T) {
	s := newSetup(t, spec.EventType{Type: "strict", Schema: []byte("bad")})
	s.fails = fault.New(fault.Unavailable, "closed")
	if err := s.Check(newEvent(t, "strict", "key", "bad")); !fault.Is(err, fault.Unavailable) {
		t.Errorf("got %v", err)
	}
}

func TestWarningsAreLoggedOnceAMinute(t *testing.T) {
	s := newSetup(t, spec.EventType{Type: "lenient", Schema: []byte("bad"), Warn: true}, spec.EventType{Type: "also", Schema: []byte("bad"), Warn: true})
	for range 3 {
		for _, typ := range []string{"lenient", "also"} {
			if err := s.Check(newEvent(t, typ, "", "bad")); err != nil {
				t.Error(err)
			}
		}
	}
	if n := strings.Count(s.lines.String(), "\n"); n != 2 || strings.Contains(s.lines.String(), `"bad"`) {
		t.Errorf("got\n%s", s.lines.String())
	}
	s.clock = s.clock.Add(time.Minute)
	_ = s.Check(newEvent(t, "also", "", "bad"))
	if !strings.Contains(s.lines.String(), "violations=4") {
		t.Errorf("got\n%s", s.lines.String())
	}
}

func TestPublishKeepsTheOrder(t *testing.T) {
	s := newSetup(t, spec.EventType{Type: "strict", Schema: []byte("bad")})
	var passed []*event.Event
	publish := func(_ context.Context, events []*event.Event) (receipts []event.Receipt, err error) {
		passed = events
		for _, ev := range events {
			receipts = append(receipts, event.Receipt{EventID: ev.ID()})
		}
		return receipts, s.fails
	}
	var list []*event.Event
	for i, word := range []string{"bad", "good", "bad", "good", "good"} {
		list = append(list, newEvent(t, "strict", fmt.Sprint("k", i), word))
	}
	receipts, err := s.Publish(t.Context(), list, publish)
	if err != nil || len(receipts) != 5 || len(passed) != 3 {
		t.Fatalf("got %+v, %v", receipts, err)
	}
	for i, r := range receipts {
		if refused := i == 0 || i == 2; (r.Err != nil) != refused || !refused && r.EventID != list[i].ID() || refused && r.IdempotencyKey != fmt.Sprint("k", i) {
			t.Errorf("event %d: got %+v", i, r)
		}
	}
	passed = nil
	if receipts, err := s.Publish(t.Context(), list[:1], publish); err != nil || passed != nil || receipts[0].Err == nil {
		t.Errorf("got %+v, %v", receipts, err)
	}
	s.fails = fault.New(fault.Unavailable, "closed")
	if _, err := s.Publish(t.Context(), list[1:2], publish); !fault.Is(err, fault.Unavailable) {
		t.Errorf("got %v", err)
	}
}

func TestList(t *testing.T) {
	s := newSetup(t, spec.EventType{Type: "strict", Schema: []byte("bad"), Description: "d", Owner: "o", File: "f"}, spec.EventType{Type: "described", Owner: "p"})
	note := func(typ string, n int) {
		for range n {
			s.Note([]event.Record{{Event: newEvent(t, typ, "", "good")}})
		}
	}
	note("strict", 30)
	s.clock = s.clock.Add(30 * time.Minute)
	note("seen", 3)
	note("strict", 30)
	_ = s.Check(newEvent(t, "strict", "", "bad"))
	subscribers := func(typ event.Type) []string {
		if typ == "strict" {
			return []string{"a", "b"}
		}
		return nil
	}
	const want = `[{described 0 false   p [] 0  []} {seen 0.1 false    [] 0  []} {strict 2 true reject d o [a b] 1 f []}]`
	if got := fmt.Sprint(s.List(subscribers)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	s.clock = s.clock.Add(45 * time.Minute) // the first ones are older than an hour
	if got := s.List(subscribers)[2].PerMinute; got != 0.5 {
		t.Errorf("got %v a minute", got)
	}
	one, err := s.Type("strict", subscribers)
	if err != nil || string(one.Schema) != "bad" {
		t.Errorf("got %+v, %v", one, err)
	}
	if _, err := s.Type("unseen", subscribers); !fault.Is(err, fault.NotFound) {
		t.Errorf("got %v", err)
	}
}

func TestRatesOfManyTypesAreBounded(t *testing.T) {
	s := newSetup(t)
	for i := range 1500 {
		s.Note([]event.Record{{Event: newEvent(t, fmt.Sprint("t", i), "", "x")}})
	}
	if n := len(s.List(func(event.Type) []string { return nil })); n != 1000 {
		t.Errorf("got %d types", n)
	}
	s.clock = s.clock.Add(2 * time.Hour)
	s.Note([]event.Record{{Event: newEvent(t, "fresh", "", "x")}})
	if list := s.List(func(event.Type) []string { return nil }); len(list) != 1 || list[0].EventType != "fresh" {
		t.Errorf("got %v", list)
	}
}

func TestConcurrentChecks(t *testing.T) {
	s := newSetup(t, spec.EventType{Type: "strict", Schema: []byte("bad")})
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 100 {
				_ = s.Check(newEvent(t, "strict", "", "bad"))
				s.Note([]event.Record{{Event: newEvent(t, "strict", "", "x")}})
				s.List(func(event.Type) []string { return nil })
			}
		})
	}
	group.Wait()
	if got := s.Violations()["strict"]; got != 800 {
		t.Errorf("got %d", got)
	}
}

// TestCompileCompilesATextOnce: 10,000 types may have one large schema.
func TestCompileCompilesATextOnce(t *testing.T) {
	compiled := 0
	table, problems := eventtypes.Compile([]spec.EventType{{Type: "a", Schema: []byte("x")}, {Type: "b", Schema: []byte("x")}, {Type: "c", Schema: []byte("y")}},
		func(text []byte) (eventtypes.Schema, error) {
			compiled++
			return compile(text)
		})
	if problems != nil || compiled != 2 {
		t.Errorf("compiled %d times: %v", compiled, problems)
	}
	for typ, word := range map[string]string{"a": "x", "b": "x", "c": "y"} {
		ev, err := event.New(event.Draft{Type: typ, Data: []byte(`"` + word + `"`)})
		if err != nil {
			t.Fatal(err)
		}
		if err := table.Check(ev); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: got %v", typ, err)
		}
	}
}

func TestCompileListsProblems(t *testing.T) {
	table, problems := eventtypes.Compile([]spec.EventType{{Type: "a", Schema: []byte("x")}, {Type: "b", Schema: []byte("broken")}}, compile)
	if table != nil || len(problems) != 1 || problems[0] != (eventtypes.Problem{Index: 1, Reason: "it is not a JSON Schema"}) {
		t.Errorf("got %v, %+v", table, problems)
	}
}

// A type without a schema must cost next to nothing.
func TestTypeWithoutASchemaIsNotAllocated(t *testing.T) {
	s := newSetup(t, spec.EventType{Type: "strict", Schema: []byte("bad")})
	ev := newEvent(t, "other", "", "bad")
	if n := testing.AllocsPerRun(100, func() { _ = s.Check(ev) }); n != 0 {
		t.Errorf("got %v allocations", n)
	}
}

func BenchmarkCheck(b *testing.B) {
	table, problems := eventtypes.Compile([]spec.EventType{{Type: "strict", Schema: []byte("bad")}}, compile)
	if problems != nil {
		b.Fatal(problems)
	}
	none, _ := eventtypes.Compile(nil, compile)
	for name, tt := range map[string]struct {
		table *eventtypes.Table
		typ   string
	}{"no schemas": {none, "other"}, "another type": {table, "other"}} {
		b.Run(name, func(b *testing.B) {
			types := eventtypes.New(eventtypes.Config{Table: func() *eventtypes.Table { return tt.table }, Now: time.Now, Logger: slog.New(slog.DiscardHandler)})
			ev := newEvent(b, tt.typ, "", "good")
			for b.Loop() {
				if err := types.Check(ev); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
