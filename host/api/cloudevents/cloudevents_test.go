package cloudevents_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/berth-host/berth/host/api/cloudevents"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
)

const trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

// head is a CloudEvent without its end.
const head = `{"specversion":"1.0","id":"A-1","source":"/shop","type":"order_placed"`

func TestStructured(t *testing.T) {
	whole := event.Draft{Type: "order_placed", IdempotencyKey: "/shop A-1", Source: "/shop"}
	with := func(change func(*event.Draft)) event.Draft {
		d := whole
		change(&d)
		return d
	}
	data := func(text string) event.Draft { return with(func(d *event.Draft) { d.Data = []byte(text) }) }
	for _, tt := range []struct {
		text string
		want event.Draft
	}{
		{head + `}`, whole},
		{head + `,"subject":null,"time":null,"dataschema":null,"other":null,"data":null}`, data("null")},
		{head + `,"subject":"S","time":"2026-05-01T10:00:00.5+02:00","traceparent":"` + trace + `","tracestate":"a=b","correlationid":"c","causationid":"d","data":{"a": "<1>"}}`,
			with(func(d *event.Draft) {
				d.Subject, d.Time, d.TraceParent = "S", time.Date(2026, 5, 1, 8, 0, 0, 5e8, time.UTC), trace
				d.CorrelationID, d.CausationID, d.Data = "c", "d", []byte(`{"a": "<1>"}`)
			})},
		{head + `,"data":"text"}`, data(`"text"`)},
		{head + `,"datacontenttype":"application/json","data":"text"}`, data(`"text"`)},
		{head + `,"datacontenttype":"application/vnd.x+json; charset=utf-8","data":[1]}`, data(`[1]`)},
		{head + `,"datacontenttype":"text/plain","data":"a\nb"}`, data(`"a\nb"`)},
		{head + `,"datacontenttype":"application/x-thing","data":"text"}`, data(`"text"`)},
		{head + `,"data_base64":"eyJhIjoxfQ=="}`, data(`{"data_base64":"eyJhIjoxfQ=="}`)},
		{head + `,"datacontenttype":"application/json","data_base64":"eyJhIjoxfQ=="}`, data(`{"a":1}`)},
		{head + `,"datacontenttype":"text/JSON","data_base64":"eyJhIjoxfQ=\u003d"}`, data(`{"a":1}`)},
		{head + `,"datacontenttype":"text/xml","data_base64":"PGE\/Pg=="}`, data(`"<a?>"`)},
		{head + `,"datacontenttype":"text/plain","data_base64":"/w=="}`, data(`{"datacontenttype":"text/plain","data_base64":"/w=="}`)},
		{head + `,"datacontenttype":"image/png","data_base64":"iVBORw=="}`, data(`{"datacontenttype":"image/png","data_base64":"iVBORw=="}`)},
		{head + `,"datacontenttype":"text/plain; charset=latin1","data_base64":"YQ=="}`, data(`{"datacontenttype":"text/plain; charset=latin1","data_base64":"YQ=="}`)},
		{`{"data":1,"type":"t","source":"urn:x:y","id":" 7 ","specversion":"1.0"}`,
			event.Draft{Type: "t", IdempotencyKey: "urn:x:y  7 ", Source: "urn:x:y", Data: []byte("1")}},
	} {
		got, err := cloudevents.ParseStructured([]byte(tt.text))
		if err != nil {
			t.Errorf("%s: %v", tt.text, err)
			continue
		}
		same(t, tt.text, got, tt.want)
		if _, err := cloudevents.New(got); err != nil {
			t.Errorf("%s: %v", tt.text, err)
		}
	}
}

func same(t testing.TB, what string, got, want event.Draft) {
	t.Helper()
	if !got.Time.Equal(want.Time) {
		t.Errorf("%s: got the time %v, want %v", what, got.Time, want.Time)
	}
	got.Time, want.Time = time.Time{}, time.Time{}
	if string(got.Data) != string(want.Data) {
		t.Errorf("%s: got the data %s, want %s", what, got.Data, want.Data)
	}
	got.Data, want.Data = nil, nil
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s:\n got %+v\nwant %+v", what, got, want)
	}
}

func TestStructuredRefusals(t *testing.T) {
	long := strings.Repeat("x", 300)
	for text, field := range map[string]string{
		``:                  "body",
		`[]`:                "body",
		`null`:              "body",
		head:                "body",
		head + `}{}`:        "body",
		"{\"id\":\"\xff\"}": "body",
		`{}`:                "specversion",
		`{"specversion":1.0,"id":"a","source":"s","type":"t"}`:              "specversion",
		`{"specversion":"0.3","id":"a","source":"s","type":"t"}`:            "specversion",
		`{"specversion":"1.0","source":"s","type":"t"}`:                     "id",
		`{"specversion":"1.0","id":"","source":"s","type":"t"}`:             "id",
		`{"specversion":"1.0","id":"  ","source":"s","type":"t"}`:           "id",
		`{"specversion":"1.0","id":7,"source":"s","type":"t"}`:              "id",
		`{"specversion":"1.0","id":"a\nb","source":"s","type":"t"}`:         "id",
		`{"specversion":"1.0","id":"a","type":"t"}`:                         "source",
		`{"specversion":"1.0","id":"a","source":"a b","type":"t"}`:          "source",
		`{"specversion":"1.0","id":"a","source":"%","type":"t"}`:            "source",
		`{"specversion":"1.0","id":"a","source":"` + long + `","type":"t"}`: "source",
		`{"specversion":"1.0","id":"a","source":"s"}`:                       "type",
		`{"specversion":"1.0","id":"a","source":"s","type":"Com.Example"}`:  "type",
		`{"specversion":"1.0","id":"a","source":"s","type":" t"}`:           "type",
		`{"specversion":"1.0","id":"a","id":"a","source":"s","type":"t"}`:   "id",
		head + `,"":1}`:                                               "",
		head + `,"data":1,"data":1}`:                                  "data",
		head + `,"Subject":"s"}`:                                      "Subject",
		head + `,"subject":1}`:                                        "subject",
		head + `,"subject":" "}`:                                      "subject",
		head + `,"subject":""}`:                                       "subject",
		head + `,"subject":"` + long + `"}`:                           "subject",
		head + `,"time":"tomorrow"}`:                                  "time",
		head + `,"time":"1969-01-01T00:00:00Z"}`:                      "time",
		head + `,"traceparent":"x"}`:                                  "traceparent",
		head + `,"correlationid":"\u0000"}`:                           "correlationid",
		head + `,"causationid":"` + long + `"}`:                       "causationid",
		head + `,"dataschema":"https://a.example/s"}`:                 "dataschema",
		head + `,"partitionkey":"k"}`:                                 "partitionkey",
		head + `,"sequence":1}`:                                       "sequence",
		head + `,"datacontenttype":"/"}`:                              "datacontenttype",
		head + `,"datacontenttype":7}`:                                "datacontenttype",
		head + `,"datacontenttype":"text/plain","data":1}`:            "data",
		head + `,"data":1,"data_base64":"YQ=="}`:                      "data_base64",
		head + `,"data_base64":1}`:                                    "data_base64",
		head + `,"data_base64":"!"}`:                                  "data_base64",
		head + `,"datacontenttype":"a/json","data_base64":"YQ=="}`:    "data",
		head + `,"datacontenttype":"text/json","data_base64":"/w=="}`: "data",
		head + strings.Repeat(`,"a`, 1):                               "body",
	} {
		d, err := cloudevents.ParseStructured([]byte(text))
		if err == nil {
			_, err = cloudevents.New(d)
		}
		if !fault.Is(err, fault.Invalid) || field != "" && !strings.HasPrefix(err.Error(), field+":") {
			t.Errorf("%s: got %v, want an error about %s", text, err, field)
		}
	}
	var many strings.Builder
	for i := range 100 {
		fmt.Fprintf(&many, `,"x%d":null`, i)
	}
	if _, err := cloudevents.ParseStructured([]byte(head + many.String() + "}")); err == nil || !strings.Contains(err.Error(), "more than 64") {
		t.Errorf("100 members: got %v", err)
	}
}

func headers(pairs ...string) http.Header {
	h := http.Header{}
	for _, p := range pairs {
		name, value, _ := strings.Cut(p, ": ")
		h.Add(name, value)
	}
	return h
}

func TestBinary(t *testing.T) {
	required := []string{"ce-specversion: 1.0", "ce-id: A-1", "ce-source: /shop", "ce-type: order_placed", "Other: x"}
	for _, tt := range []struct {
		headers []string
		body    string
		want    string // the data, or
		field   string // of the error
	}{
		{nil, "", "", ""},
		{[]string{"Content-Type: application/json"}, ` {"a": 1}`, ` {"a": 1}`, ""},
		{[]string{"Content-Type: application/json"}, "", "", ""},
		{[]string{"Content-Type: text/plain; charset=UTF-8"}, "a<b\n", `"a<b\n"`, ""},
		{[]string{"Content-Type: application/octet-stream"}, "\x00\xff", `{"datacontenttype":"application/octet-stream","data_base64":"AP8="}`, ""},
		{[]string{"Content-Type: application/json"}, "{", "", "data"},
		{nil, "x", `{"data_base64":"eA=="}`, ""},
		{[]string{"Content-Type: ;"}, "x", "", "Content-Type"},
		{[]string{"ce-datacontenttype: text/plain"}, "", "", "Content-Type"},
		{[]string{"ce-subject: a%"}, "", "", "ce-subject"},
		{[]string{"ce-subject: %ff"}, "", "", "ce-subject"},
		{[]string{"ce-id: other"}, "", "", "ce-id"},
		{[]string{"ce-time: now"}, "", "", "ce-time"},
		{[]string{"ce-extra: 1"}, "", "", "ce-extra"},
		{[]string{"ce-dataschema: a"}, "", "", "ce-dataschema"},
		{[]string{"ce-subject: "}, "", "", "ce-subject"},
	} {
		d, err := cloudevents.ParseBinary(headers(append(required, tt.headers...)...), []byte(tt.body))
		if err == nil {
			_, err = cloudevents.New(d)
		}
		switch {
		case tt.field != "":
			if !fault.Is(err, fault.Invalid) || !strings.HasPrefix(err.Error(), tt.field+":") {
				t.Errorf("%s: got %v, want an error about %s", tt.headers, err, tt.field)
			}
		case err != nil || string(d.Data) != tt.want || d.IdempotencyKey != "/shop A-1":
			t.Errorf("%s: got %+v, %v", tt.headers, d, err)
		}
	}
	for _, missing := range []string{"specversion", "id", "source", "type"} {
		h := headers(required...)
		h.Del("ce-" + missing)
		if _, err := cloudevents.ParseBinary(h, nil); err == nil || !strings.HasPrefix(err.Error(), "ce-"+missing+":") {
			t.Errorf("without %s: got %v", missing, err)
		}
	}
	d, err := cloudevents.ParseBinary(headers(append(required, "ce-subject: Euro%20%E2%82%AC%25", "ce-traceparent: "+trace, "ce-tracestate: x=y", "ce-time: 2026-05-01T10:00:00Z")...), nil)
	if err != nil || d.Subject != "Euro €%" || d.TraceParent != trace || d.Time.IsZero() {
		t.Errorf("got %+v, %v", d, err)
	}
	if cloudevents.IsBinary(headers("Content-Type: x")) || !cloudevents.IsBinary(headers("CE-id: x")) {
		t.Error("IsBinary is wrong")
	}
}

// Keys of different sources and ids differ, also as hashes, and are short enough.
func TestKeys(t *testing.T) {
	part := rapid.StringMatching(`[a-c/%20]{1,200}`)
	parse := func(rt *rapid.T, source, id string) (string, bool) {
		text, err := json.Marshal(map[string]string{"specversion": "1.0", "id": id, "source": source, "type": "t"})
		if err != nil {
			rt.Fatal(err)
		}
		d, err := cloudevents.ParseStructured(text)
		if err == nil && len(d.IdempotencyKey) > event.MaxText {
			rt.Fatalf("a key of %d bytes", len(d.IdempotencyKey))
		}
		return d.Source + "\x00" + d.IdempotencyKey, err == nil
	}
	rapid.Check(t, func(rt *rapid.T) {
		s1, i1, s2, i2 := part.Draw(rt, "s1"), part.Draw(rt, "i1"), part.Draw(rt, "s2"), part.Draw(rt, "i2")
		if rapid.Bool().Draw(rt, "one source") {
			s2 = s1
		}
		a, ok1 := parse(rt, s1, i1)
		b, ok2 := parse(rt, s2, i2)
		if ok1 && ok2 && (a == b) != (s1 == s2 && i1 == i2) && s1 == s2 {
			rt.Fatalf("%q %q and %q %q: %q and %q", s1, i1, s2, i2, a, b)
		}
	})
}

// What is shown as a CloudEvent can be published as one, and is the same then.
func TestRoundTrip(t *testing.T) {
	for _, d := range []event.Draft{
		{Type: "t"},
		{Type: "order_placed", IdempotencyKey: "/shop A-1", Source: "/shop", Subject: "S", Data: []byte(`{"a":"<\u2028ü>","n":1.50}`),
			CorrelationID: "c", CausationID: "d", TraceParent: trace, Time: time.Date(2026, 5, 1, 10, 0, 0, 123456789, time.UTC)},
		{Type: "t", Source: "my shop", IdempotencyKey: "my shop 1", Data: []byte("null")},
		{Type: "t", Source: "1a:b", Data: []byte(`"x"`)},
		{Type: "t", Source: "%", Data: []byte(`[]`)},
		{Type: "t", Source: " ", IdempotencyKey: "   "},
		{Type: "t", Source: `"\`, Subject: `"\`, IdempotencyKey: `"\ "\`, Data: []byte(`false`)},
	} {
		ev, err := event.New(d)
		if err != nil {
			t.Fatal(err)
		}
		text, err := cloudevents.Encode(ev)
		if err != nil {
			t.Errorf("%+v: %v", d, err)
			continue
		}
		back, err := cloudevents.ParseStructured(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		again, err := cloudevents.New(back)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		got, want := again.Metadata(), ev.Metadata()
		if again.Digest() != ev.Digest() || !got.Time.Equal(want.Time) || got.TraceParent != want.TraceParent || got.CorrelationID != want.CorrelationID || got.CausationID != want.CausationID {
			t.Errorf("%s:\n got %+v\nwant %+v", text, got, want)
		}
		if d.Source == "/shop" && (got.Source != want.Source || got.IdempotencyKey != want.IdempotencyKey || !strings.Contains(string(text), `"id":"A-1"`)) {
			t.Errorf("%s: got %+v", text, got)
		}
	}
}

func TestEncodeLeavesOutABlankSubject(t *testing.T) {
	ev, err := event.New(event.Draft{Type: "t", Subject: "  "})
	if err != nil {
		t.Fatal(err)
	}
	if text, err := cloudevents.Encode(ev); err != nil || strings.Contains(string(text), "subject") {
		t.Errorf("got %s, %v", text, err)
	}
}

// check is what every decoder must hold to.
func check(t *testing.T, d event.Draft, err error) {
	if err != nil {
		if !fault.Is(err, fault.Invalid) {
			t.Fatalf("got %v, want %s", err, fault.Invalid)
		}
		return
	}
	ev, err := cloudevents.New(d)
	if err != nil {
		if !fault.Is(err, fault.Invalid) && !fault.Is(err, fault.Exhausted) {
			t.Fatalf("got %v", err)
		}
		return
	}
	text, err := cloudevents.Encode(ev)
	if err != nil {
		t.Fatalf("%s: %v", ev.Envelope(), err)
	}
	back, err := cloudevents.ParseStructured(text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	again, err := cloudevents.New(back)
	if err != nil && !fault.Is(err, fault.Exhausted) && !strings.HasPrefix(err.Error(), "source:") { // escaping may have made it too long
		t.Fatalf("%s: %v", text, err)
	}
	if err == nil && again.Digest() != ev.Digest() {
		t.Fatalf("%s became %s", ev.Envelope(), again.Envelope())
	}
}

func FuzzStructured(f *testing.F) {
	for _, text := range []string{head + "}", head + `,"data":{"a":[1,"\ud800"]},"time":"2026-05-01T10:00:00Z"}`, head + `,"data_base64":"YQ==","datacontenttype":"a/b"}`,
		head + `,"data_base64":1}`, `{"":1}`, `[`, head + `,"datacontenttype":"text/plain","data":"\u0000"}`, `{"specversion":"1.0","id":"a","source":"?a%","type":"t"}`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		d, err := cloudevents.ParseStructured(body)
		check(t, d, err)
	})
}

func FuzzBinary(f *testing.F) {
	f.Add("A-1", "/shop", "t", "subject", "S%20", "application/json", []byte("{}"))
	f.Add("A-1", "urn:x", "t", "time", "2026-05-01T10:00:00Z", "text/plain", []byte("\xff"))
	f.Add("", "#", "t", "id", "x", "", []byte("x"))
	f.Fuzz(func(t *testing.T, id, source, typ, name, value, kind string, body []byte) {
		h := http.Header{"Ce-Specversion": {"1.0"}, "Ce-Id": {id}, "Ce-Source": {source}, "Ce-Type": {typ}}
		h.Add("Ce-"+name, value)
		if kind != "" {
			h.Set("Content-Type", kind)
		}
		d, err := cloudevents.ParseBinary(h, body)
		check(t, d, err)
	})
}

func TestDataKeepsBytes(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		content := rapid.SliceOf(rapid.Byte()).Draw(rt, "content")
		raw, err := cloudevents.Data("application/octet-stream", content)
		if err != nil {
			rt.Fatal(err)
		}
		var got struct {
			Kind    string `json:"datacontenttype"`
			Content string `json:"data_base64"`
		}
		if err := event.DecodeStrict(raw, &got); err != nil || got.Kind != "application/octet-stream" {
			rt.Fatalf("%s: %v", raw, err)
		}
		if back, err := base64.StdEncoding.DecodeString(got.Content); err != nil || string(back) != string(content) {
			rt.Fatalf("got %q, %v, want %q", back, err, content)
		}
	})
}

// Data that can be published can be shown as a CloudEvent, byte for byte.
func TestEncodeTakesAllData(t *testing.T) {
	for _, data := range []string{`1e400`, `[-1e-400,12345678901234567890123]`, `{"a":"\ud800","a":"\u0000"}`, `"<&>\u2028"`,
		strings.Repeat("[", event.MaxDepth) + strings.Repeat("]", event.MaxDepth)} {
		ev, err := event.New(event.Draft{Type: "t", Data: json.RawMessage(data)})
		if err != nil {
			t.Fatal(err)
		}
		text, err := cloudevents.Encode(ev)
		if err != nil || !json.Valid(text) || !strings.Contains(string(text), `"data":`+data) {
			t.Errorf("%.40s became %.200s, %v", data, text, err)
		}
	}
}
