package api_test

import (
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/wire"
)

const (
	structured   = "Content-Type: application/cloudevents+json"
	batched      = "Content-Type: application/cloudevents-batch+json; charset=utf-8"
	orderCreated = `{"specversion":"1.0","id":"A-1","source":"/shop","type":"order_placed","subject":"A-1","data":{"n":1}}`
)

// One event, said in each of the modes, is the same event.
func TestCloudEvents(t *testing.T) {
	binary := []string{"Ce-Specversion: 1.0", "Ce-Id: A-1", "Ce-Source: /shop", "Ce-Type: order_placed", "Ce-Subject: A%2D1"}
	p := seeded(t)
	h := newServer(t, config(p)).Handler()
	for i, tt := range []struct {
		body    string
		headers []string
		want    string
	}{
		{orderCreated, []string{structured}, `"idempotency_key":"/shop A-1","duplicate":false,"routed":true}`},
		{orderCreated, []string{structured}, `"duplicate":true,"routed":true}`},
		{`{"n": 1}`, binary, `"duplicate":true,"routed":true}`},
		{"[" + orderCreated + "]", []string{batched}, `"duplicate":true,"routed":true}],"next":null}`},
		{`{"event_type":"order_placed","data":{"n":1},"metadata":{"idempotency_key":"/shop A-1","subject":"A-1"}}`, nil, `"duplicate":true,"routed":true}`},
	} {
		w := call(h, "POST", "/api/v1/events", tt.body, tt.headers...)
		if w.Code != 202 || !strings.Contains(w.Body.String(), tt.want) {
			t.Errorf("%d: got %d: %s", i, w.Code, w.Body)
		}
	}
	if len(p.log) != 2 {
		t.Errorf("there are %d events", len(p.log))
	}

	for accept, kind := range map[string]string{
		"": "application/json", "*/*": "application/json", "application/json": "application/json", "application/*": "application/json", ";": "application/json",
		"application/cloudevents+json":                                   "application/cloudevents+json",
		"text/html, application/cloudevents+json;q=0.5, */*;q=0.9":       "application/cloudevents+json",
		"application/json, application/cloudevents+json":                 "application/cloudevents+json",
		"application/json;q=0.8, application/cloudevents+json;q=0.9":     "application/cloudevents+json",
		"application/json, application/cloudevents+json;q=0.9":           "application/json",
		"application/cloudevents+json;q=0":                               "application/json",
		"application/cloudevents+json;q=often, application/json;q=0.001": "application/json",
	} {
		w := call(h, "GET", "/api/v1/events/%2Fshop%20A-1", "", "Accept: "+accept)
		if w.Code != 200 || w.Header().Get("Content-Type") != kind || w.Header().Get("Vary") != "Accept" {
			t.Errorf("%s: got %d, %s: %s", accept, w.Code, w.Header().Get("Content-Type"), w.Body)
		}
		if kind == "application/json" {
			continue
		}
		var got struct {
			ID, Source, Type, Subject, SpecVersion, Time, CorrelationID, DataContentType string
			Data                                                                         json.RawMessage
		}
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || got.ID != "A-1" || got.Source != "/shop" || got.Type != "order_placed" ||
			got.Subject != "A-1" || got.SpecVersion != "1.0" || got.Time == "" || got.CorrelationID == "" || string(got.Data) != `{"n":1}` {
			t.Errorf("got %+v, %v", got, err)
		}
	}
}

func TestCloudEventRefusals(t *testing.T) {
	big := strings.Repeat("x", 1<<20)
	with := func(old, new string) string { return strings.Replace(orderCreated, old, new, 1) }
	for _, tt := range []struct {
		name, body    string
		headers       []string
		status        int
		code          fault.Code
		field, detail string
	}{
		{"another type", with("order_placed", "Com.Example.Placed"), []string{structured}, 400, fault.Invalid, "type", "does not match"},
		{"a repeated key", with(`"id"`, `"id":"A-2","id"`), []string{structured}, 400, fault.Invalid, "id", "duplicate key"},
		{"an extension", with(`"id"`, `"partitionkey":"x","id"`), []string{structured}, 400, fault.Invalid, "partitionkey", "traceparent"},
		{"a list", "[" + orderCreated + "]", []string{structured}, 400, fault.Invalid, "body", "application/cloudevents-batch+json"},
		{"no list", orderCreated, []string{batched}, 400, fault.Invalid, "body", "application/cloudevents+json"},
		{"one is wrong", "[" + orderCreated + `,{"specversion":"1.0"}]`, []string{batched}, 400, fault.Invalid, "[1].id", "required"},
		{"one is native", `[{"event_type":"t"}]`, []string{batched}, 400, fault.Invalid, "[0].specversion", "required"},
		{"a taken key", with(`{"n":1}`, `{"n":2}`), []string{structured}, 409, fault.Conflict, "id", ""},
		{"an idempotency key", orderCreated, []string{structured, "Idempotency-Key: k"}, 400, fault.Invalid, "Idempotency-Key", "source and id"},
		{"compressed", orderCreated, []string{structured, "Content-Encoding: gzip"}, 415, fault.Invalid, "Content-Type", "gzip"},
		{"as XML", "<event/>", []string{"Content-Type: application/cloudevents+xml"}, 415, fault.Invalid, "Content-Type", "application/cloudevents+json"},
		{"as Avro, with a header", "x", []string{"Content-Type: application/cloudevents+avro", "Ce-Id: 1"}, 415, fault.Invalid, "Content-Type", ""},
		{"large", with(`{"n":1}`, `"`+big+`"`), []string{structured}, 413, fault.Exhausted, "data", "1048576"},
		{"a large body", with(`{"n":1}`, `"`+big+big+`"`), []string{structured}, 413, fault.Exhausted, "body", ""},
		{"a large binary one", `"` + big + big + `"`, []string{"Ce-Id: 1"}, 413, fault.Exhausted, "body", ""},
		{"binary, half", `{}`, []string{"Ce-Type: order_placed"}, 400, fault.Invalid, "ce-specversion", "required"},
		{"binary, an old version", `{}`, []string{"Ce-Specversion: 0.3"}, 400, fault.Invalid, "ce-specversion", "0.3"},
		{"an order", `{"customer_id":"c"}`, []string{structured}, 415, fault.Invalid, "Content-Type", "must be application/json"},
		{"scope publish", orderCreated, []string{structured, "Authorization: Bearer narrow"}, 403, fault.Denied, "", "publish"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := seeded(t)
			h := newServer(t, config(p)).Handler()
			if w := call(h, "POST", "/api/v1/events", orderCreated, structured); w.Code != 202 {
				t.Fatalf("got %d: %s", w.Code, w.Body)
			}
			path := "/api/v1/events"
			if tt.name == "an order" {
				path = "/api/v1/orders"
			}
			w := call(h, "POST", path, tt.body, tt.headers...)
			if w.Code != tt.status {
				t.Fatalf("got %d, want %d: %s", w.Code, tt.status, w.Body)
			}
			if got := problemIn(t, w); got.Code != string(tt.code) || got.Field != tt.field || !strings.Contains(got.Detail, tt.detail) {
				t.Errorf("got %+v", got)
			}
			if len(p.log) != 2 {
				t.Errorf("something was stored: %d events", len(p.log))
			}
		})
	}
	// In a batch a taken key concerns its event only.
	p := seeded(t)
	h := newServer(t, config(p)).Handler()
	w := call(h, "POST", "/api/v1/events", "["+orderCreated+","+with(`{"n":1}`, `{"n":2}`)+"]", batched)
	list := decode[wire.List[struct {
		wire.Receipt
		Error *wire.Problem
	}]](t, w)
	if w.Code != 207 || len(list.Items) != 2 || list.Items[1].Error == nil || list.Items[1].Error.Field != "[1].id" {
		t.Errorf("got %d: %s", w.Code, w.Body)
	}
}

// FuzzCloudEvents: no request of a producer is answered with a 5xx or a panic,
// and only a 202 or 207 stores something, but for an empty batch.
func FuzzCloudEvents(f *testing.F) {
	f.Add([]byte(orderCreated), "application/cloudevents+json", "", "")
	f.Add([]byte("["+orderCreated+","+orderCreated+"]"), "application/cloudevents-batch+json", "", "")
	f.Add([]byte("{}"), "application/json", "Ce-Id", "1")
	f.Add([]byte(`[ ]`), "application/cloudevents-batch+json", "", "")
	f.Add([]byte(`{}`), "application/json", "Ce-Subject", `"a\"%20"`)
	f.Add([]byte(`[{"":1}]`), "application/cloudevents-batch+json", "Ce-Time", "%")
	f.Fuzz(func(t *testing.T, body []byte, kind, name, value string) {
		p := &parts{}
		r := httptest.NewRequest("POST", "/api/v1/events", strings.NewReader(string(body)))
		r.Host = "localhost"
		r.Header.Set("Authorization", "Bearer "+secret)
		r.Header.Set("Content-Type", kind)
		if strings.HasPrefix(name, "Ce-") {
			r.Header["Ce-Specversion"], r.Header["Ce-Id"], r.Header["Ce-Source"], r.Header["Ce-Type"] = []string{"1.0"}, []string{"1"}, []string{"s"}, []string{"t"}
			r.Header[name] = []string{value}
		}
		w := httptest.NewRecorder()
		newServer(t, config(p)).Handler().ServeHTTP(w, r)
		switch w.Code {
		case 202, 207:
			if len(p.log) == 0 && !strings.HasPrefix(w.Body.String(), `{"items":[],`) { // of an empty batch
				t.Errorf("%d and nothing is stored: %s", w.Code, w.Body)
			}
			for _, rec := range p.log {
				if _, err := event.Parse(rec.Event.Envelope()); err != nil {
					t.Errorf("%s: %v", rec.Event.Envelope(), err)
				}
			}
		case 400, 409, 413, 415:
			problemIn(t, w)
			if len(p.log) != 0 {
				t.Errorf("%d and something is stored: %s", w.Code, w.Body)
			}
		default:
			t.Errorf("got %d: %s", w.Code, w.Body)
		}
	})
}
