package event

import (
	"strings"
	"testing"
	"time"
)

// envelopes are of every shape that New writes, and near misses of them.
func envelopes(tb testing.TB) (ours, others []string) {
	full := Draft{Type: "order_status-changed.v1", Subject: `quote " backslash \ ü 漢 <>&` + "\u2028", Source: "s", IdempotencyKey: `"`,
		Time: time.Unix(1e9, 120), CorrelationID: "c", CausationID: "d", Hops: MaxHops,
		TraceParent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
		Data:        []byte(`{"a":[1,-2.50e+3,0,true,false,null,"\u00e9\\\"",{"metadata":{"event_id":"x"}},[],{}],"":{"b":{}}}`)}
	for _, data := range []string{`null`, `1`, `-0`, `0.5`, `1e9`, `1E-9`, `"x"`, `""`, `[]`, `{}`, `[[]]`, `[{}]`, `{"a":{}}`, `[1,2]`, `{"a":1,"b":[2]}`,
		`",\"metadata\":{\"event_id\":\""`, strings.Repeat("[", 200) + strings.Repeat("]", 200)} {
		d := full
		d.Data = []byte(data)
		ours = append(ours, encoded(tb, d), encoded(tb, Draft{Type: "t", Data: []byte(data)}))
	}
	ours = append(ours, encoded(tb, full), encoded(tb, Draft{Type: "t", Time: time.Unix(0, 0)}),
		encoded(tb, Draft{Type: "t", CausationID: "d"}), encoded(tb, Draft{Type: "t", Time: time.Date(9999, 12, 31, 23, 59, 59, 999999999, time.UTC)}))

	const plain = `{"event_type":"t","data":1,"metadata":{"event_id":"i","idempotency_key":"k","source":"s","subject":"u","time":"2026-02-28T12:34:56.5Z","correlation_id":"c","hops":0}}`
	others = append(others, "", plain[:len(plain)-1], plain+" ", plain+"}")
	for _, change := range [][2]string{
		{`"data":1`, `"data":01`}, {`"data":1`, `"data":1.`}, {`"data":1`, `"data":-`}, {`"data":1`, `"data":1e`}, {`"data":1`, `"data": 1`},
		{`"data":1`, `"data":`}, {`"data":1`, `"data":[1,]`}, {`"data":1`, `"data":[,1]`}, {`"data":1`, `"data":{"a":1,}`}, {`"data":1`, `"data":{a:1}`},
		{`"data":1`, `"data":{"a" :1}`}, {`"data":1`, `"data":[1}`}, {`"data":1`, `"data":{"a":1]`}, {`"data":1`, `"data":"\x"`}, {`"data":1`, `"data":"\u12g4"`},
		{`"data":1`, "\"data\":\"\xff\""}, {`"data":1`, "\"data\":\"\n\""}, {`"data":1`, `"data":nul`}, {`"data":1`, `"data":1,"data":2`},
		{`"data":1`, `"data":` + strings.Repeat("[", 300) + strings.Repeat("]", 300)},
		{`"i"`, `""`}, {`"i"`, `"\u0069"`}, {`"i"`, `"\""`}, {`"k"`, `"\n"`}, {`"k"`, "\"\xff\""}, {`"k"`, "\"\x01\""}, {`"k"`, `"\u00e9"`}, {`"k"`, `null`},
		{`"t"`, `"T"`}, {`"t"`, `"\u0074"`}, {`event_type`, `Event_Type`}, {`"source":"s",`, ``}, {`"source":"s"`, `"source":"s","source":"z"`},
		{`02-28`, `02-30`}, {`02-28`, `2-28`}, {`02-28`, `13-01`}, {`02-28`, `00-01`}, {`02-28`, `01-00`}, {`12:34`, `24:34`}, {`12:34`, `12:60`}, {`:56`, `:60`},
		{`.5Z`, `.Z`}, {`.5Z`, `Z`}, {`.5Z`, `,5Z`}, {`.5Z`, `.1234567891Z`}, {`.5Z`, `.123456789Z`}, {`.5Z`, `.5+02:00`}, {`.5Z`, `.5z`}, {`.5Z`, `.5`},
		{`"hops":0`, `"hops":-1`}, {`"hops":0`, `"hops":00`}, {`"hops":0`, `"hops":12345`}, {`"hops":0`, `"hops":1.0`}, {`"hops":0`, `"hops":`}, {`"hops":0`, `"hops":16`},
	} {
		others = append(others, strings.Replace(plain, change[0], change[1], 1))
	}
	return ours, others
}

func encoded(tb testing.TB, d Draft) string {
	tb.Helper()
	ev, err := New(d)
	if err != nil {
		tb.Fatal(err)
	}
	return ev.Envelope()
}

// sameAsDecoded compares the scanner with the decoder.
func sameAsDecoded(t *testing.T, envelope string) (scanned bool) {
	t.Helper()
	got, ok := scanEnvelope(envelope)
	if !ok {
		return false
	}
	want, err := decodeEnvelope(envelope)
	if err != nil {
		t.Fatalf("the scanner accepts a text that the decoder refuses (%v): %q", err, envelope)
	}
	if *got != *want {
		t.Fatalf("of %q\ngot  %+v\nwant %+v", envelope, got, want)
	}
	return true
}

func TestScanEnvelope(t *testing.T) {
	ours, others := envelopes(t)
	for _, envelope := range ours {
		if !sameAsDecoded(t, envelope) {
			t.Errorf("left to the decoder, though New made it: %s", envelope)
		}
	}
	for _, envelope := range others {
		sameAsDecoded(t, envelope)
	}
}

func FuzzScanEnvelope(f *testing.F) {
	ours, others := envelopes(f)
	for _, envelope := range append(ours, others...) {
		f.Add(envelope)
	}
	f.Fuzz(func(t *testing.T, envelope string) {
		sameAsDecoded(t, envelope)
		ev, err := Parse(envelope)
		if err == nil && ev.Envelope() != envelope {
			t.Errorf("got %q, want %q", ev.Envelope(), envelope)
		}
	})
}

func BenchmarkParseBy(b *testing.B) {
	envelope := encoded(b, Draft{Type: "order_status_changed", Subject: "order-17",
		Data: []byte(`{"order_id":"order-17","status":"shipped","previous_status":"processing","total_cents":4200}`)})
	b.Run("scanner", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, ok := scanEnvelope(envelope); !ok {
				b.Fatal("it was left to the decoder")
			}
		}
	})
	b.Run("decoder", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := decodeEnvelope(envelope); err != nil {
				b.Fatal(err)
			}
		}
	})
}
