package event_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
)

func TestParseDraft(t *testing.T) {
	at := time.Date(2026, 5, 1, 10, 0, 0, 5e8, time.FixedZone("", 7200))
	for _, tt := range []struct {
		name, body string
		want       event.Draft
		code       fault.Code
		field      string
	}{
		{name: "least", body: `{"event_type":"t"}`, want: event.Draft{Type: "t"}},
		{name: "everything", body: ` {"metadata": {"idempotency_key":"k","source":"s","subject":"o","time":"2026-05-01T10:00:00.5+02:00",
			"correlation_id":"c","causation_id":"d","traceparent":"p"}, "data": {"a": 1}, "event_type": "t"} `,
			want: event.Draft{Type: "t", Data: json.RawMessage(`{"a": 1}`), IdempotencyKey: "k", Source: "s", Subject: "o", Time: at,
				CorrelationID: "c", CausationID: "d", TraceParent: "p"}},
		{name: "data null", body: `{"event_type":"t","data":null}`, want: event.Draft{Type: "t", Data: json.RawMessage(`null`)}},
		{name: "metadata null", body: `{"event_type":"t","metadata":null}`, want: event.Draft{Type: "t"}},
		{name: "time null", body: `{"event_type":"t","metadata":{"time":null}}`, want: event.Draft{Type: "t"}},
		{name: "empty", body: ``, code: fault.Invalid},
		{name: "cut", body: `{"event_type":"t"`, code: fault.Invalid},
		{name: "a list", body: `[]`, code: fault.Invalid},
		{name: "two values", body: `{"event_type":"t"}{}`, code: fault.Invalid},
		{name: "no UTF-8", body: "{\"event_type\":\"\xff\"}", code: fault.Invalid},
		{name: "no type", body: `{}`, code: fault.Invalid, field: "event_type"},
		{name: "type null", body: `{"event_type":null}`, code: fault.Invalid, field: "event_type"},
		{name: "type a number", body: `{"event_type":1}`, code: fault.Invalid, field: "event_type"},
		{name: "unknown key", body: `{"event_type":"t","datas":1}`, code: fault.Invalid, field: "datas"},
		{name: "unknown key of the metadata", body: `{"event_type":"t","metadata":{"sauce":"x"}}`, code: fault.Invalid, field: "metadata.sauce"},
		{name: "metadata a text", body: `{"event_type":"t","metadata":"x"}`, code: fault.Invalid, field: "metadata"},
		{name: "subject a number", body: `{"event_type":"t","metadata":{"subject":7}}`, code: fault.Invalid, field: "metadata.subject"},
		{name: "not a time", body: `{"event_type":"t","metadata":{"time":"tomorrow"}}`, code: fault.Invalid},
		{name: "due at a time", body: `{"event_type":"t","metadata":{"deliver_at":"2026-05-01T10:00:00.5+02:00"}}`,
			want: event.Draft{Type: "t", Deferral: event.Deferral{At: at.UTC()}}},
		{name: "due after a while", body: `{"event_type":"t","metadata":{"deliver_after":"15m"}}`,
			want: event.Draft{Type: "t", Deferral: event.Deferral{After: 15 * time.Minute}}},
		{name: "due never", body: `{"event_type":"t","metadata":{"deliver_at":null,"deliver_after":null}}`, want: event.Draft{Type: "t"}},
		{name: "due twice", body: `{"event_type":"t","metadata":{"deliver_at":"2026-05-01T10:00:00Z","deliver_after":"15m"}}`,
			code: fault.Invalid, field: "metadata.deliver_after"},
		{name: "due at no time", body: `{"event_type":"t","metadata":{"deliver_at":"tomorrow"}}`, code: fault.Invalid, field: "metadata.deliver_at"},
		{name: "due after no while", body: `{"event_type":"t","metadata":{"deliver_after":"15"}}`, code: fault.Invalid, field: "metadata.deliver_after"},
		{name: "due after nothing", body: `{"event_type":"t","metadata":{"deliver_after":""}}`, code: fault.Invalid, field: "metadata.deliver_after"},
		{name: "an event id", body: `{"event_type":"t","metadata":{"event_id":"x"}}`, code: fault.Invalid, field: "metadata.event_id"},
		{name: "hops", body: `{"event_type":"t","metadata":{"hops":0}}`, code: fault.Invalid, field: "metadata.hops"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := event.ParseDraft([]byte(tt.body))
			if !errorIs(err, tt.code, tt.field) {
				t.Fatalf("got %v, want %q in %q", err, tt.code, tt.field)
			}
			if !got.Time.Equal(tt.want.Time) || string(got.Data) != string(tt.want.Data) {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
			got.Time, got.Data, tt.want.Time, tt.want.Data = time.Time{}, nil, time.Time{}, nil
			if got.Type != tt.want.Type || got.IdempotencyKey != tt.want.IdempotencyKey || got.Source != tt.want.Source ||
				got.Subject != tt.want.Subject || got.CorrelationID != tt.want.CorrelationID ||
				got.CausationID != tt.want.CausationID || got.TraceParent != tt.want.TraceParent || got.Deferral != tt.want.Deferral || got.Hops != tt.want.Hops {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

// FuzzParseDraft: any body is an event or an error of the producer.
func FuzzParseDraft(f *testing.F) {
	for _, body := range []string{
		``, `{}`, `{"event_type":"t"}`, `{"event_type":"t","data":{"a":[1,2.5e3,"\u00e9\ud83d\ude00"]},"metadata":{"subject":"\"\\","time":"2026-05-01T10:00:00Z"}}`,
		`{"event_type":"t","metadata":{"idempotency_key":"\u0000"}}`, `{"event_type":"t","metadata":{"time":"9999-12-31T23:59:59-01:00"}}`,
		`{"event_type":"t","EVENT_TYPE":"u"}`, `{"event_type":"t","data":"\ud800"}`,
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		d, err := event.ParseDraft(body)
		if err != nil {
			if !fault.Is(err, fault.Invalid) {
				t.Fatalf("%q: got %v, want %s", body, err, fault.Invalid)
			}
			return
		}
		ev, err := event.New(d)
		if err != nil {
			if !fault.Is(err, fault.Invalid) && !fault.Is(err, fault.Exhausted) {
				t.Fatalf("%q: got %v", body, err)
			}
			return
		}
		sameEvent(t, ev)
		if !json.Valid([]byte(ev.Envelope())) {
			t.Fatalf("the envelope is not JSON: %s", ev.Envelope())
		}
	})
}

// FuzzParse: the reader takes any stored bytes without a panic, and keeps the bytes and
// the content of those it accepts.
func FuzzParse(f *testing.F) {
	for _, d := range []event.Draft{{Type: "t"}, {Type: "a.b", Data: []byte(`{"x":"\u2028"}`), Subject: `"\`, Hops: 3}} {
		ev, err := event.New(d)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(ev.Envelope())
	}
	f.Add(`{"metadata":{"event_id":"x"},"data": 1 ,"event_type":"t"}`)
	f.Add(`{"event_type":"t","metadata":{"event_id":"x"}}`)
	f.Add(`{"event_type":"t","data":1,"metadata":{"event_id":"x"},"data":2}`)
	f.Fuzz(func(t *testing.T, envelope string) {
		ev, err := event.Parse(envelope)
		if err != nil {
			if !fault.Is(err, fault.Internal) {
				t.Fatalf("got %v, want %s", err, fault.Internal)
			}
			return
		}
		if ev.Envelope() != envelope {
			t.Fatalf("got %q, want %q", ev.Envelope(), envelope)
		}
		if !json.Valid([]byte(ev.Data())) {
			t.Fatalf("the data of %q is %q", envelope, ev.Data())
		}
		again, err := event.Parse(envelope)
		if err != nil || again.Digest() != ev.Digest() || again.Data() != ev.Data() {
			t.Fatalf("Parse is not the same twice: %v", err)
		}
	})
}
