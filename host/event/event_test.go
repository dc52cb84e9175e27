package event_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
)

// errorIs compares a code and the field that is named.
func errorIs(err error, code fault.Code, field string) bool {
	if code == "" || err == nil {
		return code == "" && err == nil
	}
	return fault.Is(err, code) && (field == "" || strings.HasPrefix(err.Error(), field+":"))
}

func TestNew(t *testing.T) {
	long := strings.Repeat("x", event.MaxText)
	for _, tt := range []struct {
		name  string
		draft event.Draft
		code  fault.Code
		field string
	}{
		{"least", event.Draft{Type: "t"}, "", ""},
		{"everything", event.Draft{Type: "order_status-changed.v1", Data: []byte(` {"a" : [1, 2.50, "\u00e9"]} `), IdempotencyKey: long, Source: long,
			Subject: `quote " backslash \ ü 漢 <>&` + "\u2028", Time: time.Unix(1e9, 123456789), CorrelationID: "c", CausationID: "d",
			TraceParent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", Hops: event.MaxHops}, "", ""},
		{"longest type", event.Draft{Type: strings.Repeat("a", 128)}, "", ""},
		{"no type", event.Draft{}, fault.Invalid, "event_type"},
		{"too long a type", event.Draft{Type: strings.Repeat("a", 129)}, fault.Invalid, "event_type"},
		{"upper case", event.Draft{Type: "Order"}, fault.Invalid, "event_type"},
		{"a type that starts with a dot", event.Draft{Type: ".a"}, fault.Invalid, "event_type"},
		{"a glob as a type", event.Draft{Type: "a*"}, fault.Invalid, "event_type"},
		{"no JSON", event.Draft{Type: "t", Data: []byte(`{"a":}`)}, fault.Invalid, "data"},
		{"two values", event.Draft{Type: "t", Data: []byte(`1 2`)}, fault.Invalid, "data"},
		{"only spaces", event.Draft{Type: "t", Data: []byte(`  `)}, fault.Invalid, "data"},
		{"no UTF-8 in the data", event.Draft{Type: "t", Data: []byte("\"\xff\"")}, fault.Invalid, "data"},
		{"too large", event.Draft{Type: "t", Data: []byte(`"` + strings.Repeat("x", event.MaxSize) + `"`)}, fault.Exhausted, "data"},
		{"long key", event.Draft{Type: "t", IdempotencyKey: long + "x"}, fault.Invalid, "metadata.idempotency_key"},
		{"control character", event.Draft{Type: "t", Source: "a\nb"}, fault.Invalid, "metadata.source"},
		{"delete", event.Draft{Type: "t", Subject: "a\x7f"}, fault.Invalid, "metadata.subject"},
		{"no UTF-8", event.Draft{Type: "t", CorrelationID: "\xc3"}, fault.Invalid, "metadata.correlation_id"},
		{"zero byte", event.Draft{Type: "t", CausationID: "\x00"}, fault.Invalid, "metadata.causation_id"},
		{"traceparent", event.Draft{Type: "t", TraceParent: "00-x"}, fault.Invalid, "metadata.traceparent"},
		{"hops", event.Draft{Type: "t", Hops: event.MaxHops + 1}, fault.Invalid, "metadata.hops"},
		{"negative hops", event.Draft{Type: "t", Hops: -1}, fault.Invalid, "metadata.hops"},
		{"early", event.Draft{Type: "t", Time: time.Unix(-1, 0)}, fault.Invalid, "metadata.time"},
		{"late", event.Draft{Type: "t", Time: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)}, fault.Invalid, "metadata.time"},
		{"late in UTC only", event.Draft{Type: "t", Time: time.Date(9999, 12, 31, 23, 0, 0, 0, time.FixedZone("", -7200))}, fault.Invalid, "metadata.time"},
		{"early here only", event.Draft{Type: "t", Time: time.Date(1969, 12, 31, 23, 0, 0, 0, time.FixedZone("", -7200))}, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ev, err := event.New(tt.draft)
			if !errorIs(err, tt.code, tt.field) {
				t.Fatalf("got %v, want %q in %q", err, tt.code, tt.field)
			}
			if err == nil {
				checkEvent(t, tt.draft, ev)
			}
		})
	}
}

// checkEvent looks at what New made of a draft.
func checkEvent(t testing.TB, d event.Draft, ev *event.Event) {
	t.Helper()
	m := ev.Metadata()
	if id, err := uuid.Parse(ev.ID()); err != nil || id.Version() != 7 {
		t.Errorf("the id is %q, want a UUIDv7", ev.ID())
	}
	for _, f := range []struct{ name, got, given, otherwise string }{
		{"idempotency_key", m.IdempotencyKey, d.IdempotencyKey, ev.ID()},
		{"source", m.Source, d.Source, "api"},
		{"subject", m.Subject, d.Subject, ""},
		{"correlation_id", m.CorrelationID, d.CorrelationID, ev.ID()},
		{"causation_id", m.CausationID, d.CausationID, ""},
		{"traceparent", m.TraceParent, d.TraceParent, ""},
		{"event_type", string(ev.Type()), d.Type, ""},
	} {
		want := f.given
		if want == "" {
			want = f.otherwise
		}
		if f.got != want {
			t.Errorf("%s: got %q, want %q", f.name, f.got, want)
		}
	}
	if !d.Time.IsZero() && !m.Time.Equal(d.Time) || m.Time.Location() != time.UTC || m.Hops != d.Hops {
		t.Errorf("got time %v and %d hops, want %v and %d", m.Time, m.Hops, d.Time, d.Hops)
	}
	if len(ev.Envelope()) > event.MaxSize {
		t.Errorf("the envelope is %d bytes", len(ev.Envelope()))
	}

	// The envelope is the JSON that the ABI says, with nothing else in it.
	var wire struct {
		Type     string          `json:"event_type"`
		Data     json.RawMessage `json:"data"`
		Metadata event.Metadata  `json:"metadata"`
	}
	if err := event.DecodeStrict([]byte(ev.Envelope()), &wire); err != nil {
		t.Fatalf("the envelope: %v: %s", err, ev.Envelope())
	}
	if wire.Type != d.Type || string(wire.Data) != ev.Data() || wire.Metadata != m {
		t.Errorf("the envelope says %+v, the event %+v", wire, m)
	}
	sameEvent(t, ev)
}

// sameEvent reads an event's envelope back.
func sameEvent(t testing.TB, ev *event.Event) {
	t.Helper()
	again, err := event.Parse(ev.Envelope())
	if err != nil {
		t.Fatalf("Parse: %v: %s", err, ev.Envelope())
	}
	if *again != *ev { // every field is comparable, and time is in UTC in both
		t.Errorf("Parse gave another event:\n got %+v\nwant %+v", again, ev)
	}
	if b, err := json.Marshal(ev); err != nil {
		t.Errorf("Marshal: %v", err)
	} else if again, err := event.Parse(string(b)); err != nil || again.Digest() != ev.Digest() {
		t.Errorf("after Marshal: %v, or another digest", err)
	}
}

// drafts draws valid drafts.
func drafts() *rapid.Generator[event.Draft] {
	text := rapid.StringOfN(rapid.OneOf(rapid.RuneFrom([]rune(`ab"\/<>&'{}`+"\u2028ü漢")), rapid.Rune()), 0, 60, event.MaxText).
		Filter(func(s string) bool {
			return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
		})
	value := rapid.Custom(func(t *rapid.T) any {
		return rapid.OneOf(
			rapid.Just[any](nil), rapid.Map(rapid.Bool(), func(b bool) any { return b }),
			rapid.Map(rapid.Int64(), func(n int64) any { return n }), rapid.Map(rapid.String(), func(s string) any { return s }),
			rapid.Map(rapid.SliceOfN(rapid.String(), 0, 4), func(s []string) any { return s }),
			rapid.Map(rapid.MapOfN(rapid.String(), rapid.Int32(), 0, 4), func(m map[string]int32) any { return m }),
		).Draw(t, "value")
	})
	return rapid.Custom(func(t *rapid.T) event.Draft {
		data, err := json.MarshalIndent(value.Draw(t, "data"), " ", "  ")
		if err != nil {
			t.Fatal(err)
		}
		d := event.Draft{
			Type:           rapid.StringMatching(`[a-z0-9][a-z0-9_.-]{0,20}`).Draw(t, "type"),
			Data:           data,
			IdempotencyKey: text.Draw(t, "key"), Source: text.Draw(t, "source"), Subject: text.Draw(t, "subject"),
			CorrelationID: text.Draw(t, "correlation"), CausationID: text.Draw(t, "causation"),
			Hops: rapid.IntRange(0, event.MaxHops).Draw(t, "hops"),
		}
		if rapid.Bool().Draw(t, "with a time") {
			d.Time = time.Unix(rapid.Int64Range(0, 253402300799-86400).Draw(t, "seconds"), rapid.Int64Range(0, 999999999).Draw(t, "ns"))
		}
		return d
	})
}

func TestNewKeepsWhatItIsGiven(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		d := drafts().Draw(rt, "draft")
		ev, err := event.New(d)
		if err != nil {
			rt.Fatalf("%+v: %v", d, err)
		}
		checkEvent(t, d, ev)
		if t.Failed() {
			rt.Fatalf("draft %+v", d)
		}
	})
}

func TestDigestIsOfTheContent(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		a, b := drafts().Draw(rt, "a"), drafts().Draw(rt, "b")
		// Few values, so that equal ones meet.
		texts := rapid.SampledFrom([]string{"", "x", "y"})
		a.Subject, b.Subject = texts.Draw(rt, "subject"), texts.Draw(rt, "subject")
		a.Type, b.Type = "t"+texts.Draw(rt, "type"), "t"+texts.Draw(rt, "type")
		if rapid.Bool().Draw(rt, "same data") {
			b.Data = append([]byte("\n "), a.Data...)
		}
		x, err := event.New(a)
		if err != nil {
			rt.Fatal(err)
		}
		y, err := event.New(b)
		if err != nil {
			rt.Fatal(err)
		}
		same := x.Type() == y.Type() && x.Metadata().Subject == y.Metadata().Subject && x.Data() == y.Data()
		if got := x.Digest() == y.Digest(); got != same {
			rt.Fatalf("equal digests: %v, equal content: %v\n%s\n%s", got, same, x.Envelope(), y.Envelope())
		}
		if x.ID() == y.ID() {
			rt.Fatal("two events have one id")
		}
	})
}

func TestParseRefuses(t *testing.T) {
	for _, envelope := range []string{
		"", "{", "null", "[]", `"x"`, `{}`, `{"event_type":"t","data":null,"metadata":{}}`,
		`{"event_type":"T","data":null,"metadata":{"event_id":"x"}}`,
		`{"event_type":"t","data":null,"metadata":{"event_id":"x"}} x`,
		`{"event_type":"t","data":null,"metadata":{"event_id":1}}`,
	} {
		if _, err := event.Parse(envelope); !fault.Is(err, fault.Internal) {
			t.Errorf("%q: got %v, want %s", envelope, err, fault.Internal)
		}
	}
}

func TestParseType(t *testing.T) {
	for name, want := range map[string]bool{
		"a": true, "0": true, "order_status_changed": true, "a.b-c_d": true, "": false, "_a": false, "-": false, "A": false,
		"a b": false, "a/b": false, "é": false, "a\x00": false,
	} {
		if typ, err := event.ParseType(name); (err == nil) != want || want && string(typ) != name {
			t.Errorf("%q: got %q, %v", name, typ, err)
		}
	}
}

func TestStatusFinal(t *testing.T) {
	for s, want := range map[event.Status]bool{event.StatusPending: false, event.StatusDelivering: false,
		event.StatusRetrying: false, event.StatusOK: true, event.StatusDead: true} {
		if got := s.Final(); got != want {
			t.Errorf("%s: got %v, want %v", s, got, want)
		}
	}
}

func BenchmarkNew(b *testing.B) {
	d := event.Draft{Type: "order_status_changed", Subject: "order-17", Data: []byte(`{"order_id":"order-17","status":"shipped"}`)}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := event.New(d); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParse(b *testing.B) {
	ev, err := event.New(event.Draft{Type: "order_status_changed", Subject: "order-17", Data: []byte(`{"order_id":"order-17","status":"shipped"}`)})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := event.Parse(ev.Envelope()); err != nil {
			b.Fatal(err)
		}
	}
}
