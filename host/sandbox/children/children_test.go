package children_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/sandbox/children"
)

const (
	spanOfFirst = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	ofFirst     = "00-4bf92f3577b34da6a3ce929d0e0e4736-1111111111111111-01"
	ofSecond    = "00-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-2222222222222222-01"
)

// batch has so many events: the first and the second have traces.
func batch(t testing.TB, n int) (list []event.Attempt) {
	t.Helper()
	for i := range n {
		d := event.Draft{Type: "parent", Data: json.RawMessage("1")}
		switch i {
		case 0:
			d.TraceParent = ofFirst
		case 1:
			d.TraceParent = ofSecond
		}
		ev, err := event.New(d)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, event.Attempt{Seq: uint64(i + 1), Event: ev, Number: 1})
	}
	return list
}

func maker(batch bool) *children.Maker {
	return &children.Maker{Plugin: "p", Batch: batch, May: func(eventType string) bool { return eventType != "secret" }}
}

// TestParentIndex: it is refused without batches, required for more than one event, and in
// range.
func TestParentIndex(t *testing.T) {
	for _, tt := range []struct {
		batches bool
		events  int
		index   string
		parent  int
		reason  string
	}{
		{false, 1, ``, 0, ""},
		{false, 1, `,"parent_index":0`, 0, "belongs to batches"},
		{true, 1, ``, 0, ""},
		{true, 1, `,"parent_index":0`, 0, ""},
		{true, 1, `,"parent_index":1`, 0, "from 0 to 0"},
		{true, 3, ``, 0, "is required: the batch has 3 events"},
		{true, 3, `,"parent_index":2`, 2, ""},
		{true, 3, `,"parent_index":3`, 0, "from 0 to 2"},
		{true, 3, `,"parent_index":-1`, 0, "from 0 to 2"},
		{true, 3, `,"parent_index":1.5`, 0, "parent_index"},
		{true, 3, `,"parent_index":null`, 0, "parent_index"},
		{true, 3, `,"parent_index":"1"`, 0, "parent_index"},
		{true, 3, `,"parent_index":1,"parent_index":2`, 0, "duplicate"},
	} {
		var s children.Set
		list := batch(t, tt.events)
		_, err := s.Add(maker(tt.batches), list, "", []byte(`{"event_type":"child","data":1`+tt.index+`}`))
		if (err == nil) != (tt.reason == "") || err != nil && (!fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), tt.reason)) {
			t.Errorf("%+v: got %v", tt, err)
		}
		for i := range list {
			want := 0
			if err == nil && i == tt.parent {
				want = 1
			}
			if got := s.Of(i); len(got) != want || want == 1 && got[0].Metadata().CausationID != list[i].Event.ID() {
				t.Errorf("%+v: the event %d has %d children", tt, i, len(got))
			}
		}
	}
}

// TestTraceOfAChild: it is the span of the attempt, unless that is in the trace of another
// event of the batch.
func TestTraceOfAChild(t *testing.T) {
	for _, tt := range []struct {
		events, parent int
		span, want     string
	}{
		{1, 0, "", ofFirst},
		{1, 0, spanOfFirst, spanOfFirst},
		{1, 0, ofSecond, ofSecond}, // alone it has the span whatever its trace is
		{3, 0, spanOfFirst, spanOfFirst},
		{3, 1, spanOfFirst, ofSecond},
		{3, 2, spanOfFirst, ""},
		{3, 0, "", ofFirst},
	} {
		var s children.Set
		text := fmt.Sprintf(`{"event_type":"child","data":1,"parent_index":%d}`, tt.parent)
		if _, err := s.Add(maker(true), batch(t, tt.events), tt.span, []byte(text)); err != nil {
			t.Fatal(err)
		}
		if got := s.Of(tt.parent)[0].Metadata().TraceParent; got != tt.want {
			t.Errorf("%+v: got %q", tt, got)
		}
	}
}

// TestBoundsOfTheChildren: 8 MiB of one event, 32 MiB of a batch, and 64 for one event.
func TestBoundsOfTheChildren(t *testing.T) {
	const size, perEvent = 1<<20 - 1000, 8
	list := batch(t, 6)
	var s children.Set
	add := func(parent int, data string) error {
		_, err := s.Add(maker(true), list, "", fmt.Appendf(nil, `{"event_type":"child","parent_index":%d,"data":%s}`, parent, data))
		return err
	}
	large := `"` + strings.Repeat("x", size) + `"`
	refused := map[string]int{}
	for parent := range list {
		for range perEvent + 1 {
			err := add(parent, large)
			if err == nil {
				continue
			}
			var known *fault.Error
			if !errors.As(err, &known) || known.Code != fault.Exhausted || known.Field == "" { // TOO_LARGE
				t.Fatalf("got %v", err)
			}
			refused[known.Reason]++
		}
	}
	together := 0
	for parent := range list {
		of := 0
		for _, c := range s.Of(parent) {
			of += len(c.Envelope())
		}
		if of > 8<<20 {
			t.Errorf("the event %d has %d bytes", parent, of)
		}
		together += of
	}
	if together > 32<<20 || together < 31<<20 || len(refused) != 2 {
		t.Errorf("%d bytes are taken together; refused were %v", together, refused)
	}
	if err := add(5, "1"); err != nil {
		t.Errorf("a small one that fits: %v", err)
	}
	s.Reset()
	for n := range abi.MaxChildren {
		if err := add(0, "1"); err != nil {
			t.Fatalf("child %d: %v", n, err)
		}
	}
	var past children.PastBound
	if err := add(0, "1"); !errors.As(err, &past) || add(1, "1") != nil || len(s.Of(0)) != abi.MaxChildren {
		t.Errorf("got %v after %d children", err, len(s.Of(0)))
	}
}

// TestRefusedChildAddsNothing: its work is reported, and the next one has its number.
func TestRefusedChildAddsNothing(t *testing.T) {
	m := maker(false)
	m.Check = func(ev *event.Event) (work int, err error) {
		if ev.Data() == `"bad"` {
			return 3, fault.Field("data", "must be a number")
		}
		return 2, nil
	}
	var s children.Set
	list := batch(t, 1)
	for _, tt := range []struct {
		data string
		work int
		good bool
	}{{`"bad"`, 3, false}, {`1`, 2, true}, {`}`, 0, false}, {`"bad"`, 3, false}, {`2`, 2, true}} {
		work, err := s.Add(m, list, "", []byte(`{"event_type":"child","data":`+tt.data+`}`))
		if work != tt.work || (err == nil) != tt.good {
			t.Errorf("%s: got %d, %v", tt.data, work, err)
		}
	}
	for n, c := range s.Of(0) {
		if want := event.ChildKey("p", list[0].Event.ID(), n, ""); c.Metadata().IdempotencyKey != want {
			t.Errorf("child %d has the key %s, want %s", n, c.Metadata().IdempotencyKey, want)
		}
	}
}

// FuzzAdd: any text of a guest adds a valid child to its parent, or nothing.
func FuzzAdd(f *testing.F) {
	for _, text := range []string{
		`{"event_type":"child","data":1}`, `{"event_type":"secret","data":1}`, `{"data":{},"event_type":"c","parent_index":1}`, `[]`, ``, `{"event_type":"c"`,
		`{"event_type":"c","data":null,"metadata":{"idempotency_key":"k","subject":"s","deliver_at":"2026-01-02T03:04:05Z"},"parent_index":0}`,
		`{"event_type":"c","data":"\ud800","metadata":{"deliver_after":"15m"}}`, `{"event_type":"c","data":1,"metadata":{"deliver_after":"-1s"},"parent_index":1e0}`,
		`{"event_type":"c","data":1,"metadata":{"deliver_after":"9000h","deliver_at":""}}`, `{"event_type":"order_status_changed","data":[[[]]],"metadata":null}`,
	} {
		f.Add([]byte(text), uint8(1))
		f.Add([]byte(text), uint8(3))
	}
	lists := [][]event.Attempt{batch(f, 1), batch(f, 2), batch(f, 3)}
	f.Fuzz(func(t *testing.T, text []byte, events uint8) {
		list := lists[int(events)%len(lists)]
		var s children.Set
		_, err := s.Add(maker(true), list, spanOfFirst, text)
		added := 0
		for i, a := range list {
			for _, c := range s.Of(i) {
				added++
				m := c.Metadata()
				if m.CausationID != a.Event.ID() || m.Source != "p" || m.Hops != 1 || c.Type() == "secret" || !json.Valid([]byte(c.Envelope())) {
					t.Errorf("%q adds %s", text, c.Envelope())
				}
				if d := c.Deferral(); d.After < 0 || d.After > abi.MaxDeferral || d.After > 0 && !d.At.IsZero() {
					t.Errorf("%q is due %+v", text, d)
				}
			}
		}
		var known *fault.Error
		var past children.PastBound
		if err != nil && (added != 0 || !errors.As(err, &known) && !errors.As(err, &past)) || err == nil && added != 1 {
			t.Errorf("%q adds %d children: %v", text, added, err)
		}
	})
}
