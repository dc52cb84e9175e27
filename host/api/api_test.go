package api_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/berth-host/berth/host/api"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/wire"
)

// exchange is a request and its answer.
type exchange struct {
	name, method, path, body string
	headers                  []string
	status                   int
	want                     []string // in the body
	header                   map[string]string
}

// succeed checks the answer to each request.
func succeed(t *testing.T, list []exchange) {
	t.Helper()
	for _, tt := range list {
		t.Run(tt.name, func(t *testing.T) {
			h := newServer(t, setup(t).cfg).Handler()
			w := call(h, tt.method, tt.path, tt.body, tt.headers...)
			if w.Code != tt.status {
				t.Fatalf("got %d, want %d: %s", w.Code, tt.status, w.Body)
			}
			for _, want := range tt.want {
				if !strings.Contains(w.Body.String(), want) {
					t.Errorf("%s is missing in\n%s", want, w.Body)
				}
			}
			for name, want := range tt.header {
				if got := w.Header().Get(name); got != want {
					t.Errorf("%s is %q, want %q", name, got, want)
				}
			}
			if w.Header().Get("X-Content-Type-Options") != "nosniff" {
				t.Error("the type may be sniffed")
			}
		})
	}
}

func TestEventAndPluginEndpoints(t *testing.T) {
	succeed(t, []exchange{
		{"publish", "POST", "/api/v1/events", `{"event_type":"t","metadata":{"idempotency_key":"k"}}`, nil, 202,
			[]string{`"event_id":"`, `"idempotency_key":"k"`, `"duplicate":false`}, nil},
		{"publish with a charset and white space", "POST", "/api/v1/events", "\n {\"event_type\":\"t\"} \n",
			[]string{"Content-Type: application/json; charset=utf-8"}, 202, nil, nil},
		{"publish with a key in the header", "POST", "/api/v1/events", `{"event_type":"t"}`,
			[]string{"Idempotency-Key: h"}, 202, []string{`"idempotency_key":"h"`}, nil},
		{"publish with the same key twice", "POST", "/api/v1/events", `{"event_type":"t","metadata":{"idempotency_key":"h"}}`,
			[]string{"Idempotency-Key: h"}, 202, []string{`"idempotency_key":"h"`}, nil},
		{"publish again", "POST", "/api/v1/events", `{"event_type":"seed","data":1,"metadata":{"idempotency_key":"first"}}`, nil, 202,
			[]string{`"duplicate":true`}, nil},
		{"batch", "POST", "/api/v1/events", ` [{"event_type":"a"},{"event_type":"b"}]`, nil, 202,
			[]string{`{"items":[{"event_id":"`, `"next":null}`}, nil},
		{"batch with a taken key", "POST", "/api/v1/events",
			`[{"event_type":"a"},{"event_type":"seed","data":2,"metadata":{"idempotency_key":"first"}}]`, nil, 207,
			[]string{`"event_id":"","idempotency_key":"first","duplicate":false,"error":{`, `"field":"[1].metadata.idempotency_key"`, `"status":409`}, nil},
		{"list events", "GET", "/api/v1/events", "", nil, 200,
			[]string{`{"items":[{"seq":1,"event_type":"seed","data":1,"metadata":{"event_id":"`, `"next":null`}, nil},
		{"list no events", "GET", "/api/v1/events?type=other&subject=s&limit=1", "", nil, 200, []string{`{"items":[],"next":null}`}, nil},
		{"show an event", "GET", "/api/v1/events/first", "", nil, 200,
			[]string{`"deliveries":[{"plugin":"order-audit","status":"ok","attempts":1,"result":{"seen":true},"error":null`}, nil},
		{"a key with a slash is escaped", "GET", "/api/v1/events/a/b", "", nil, 404, []string{"there is nothing at /api/v1/events/a/b"}, nil},
		{"show an event by an escaped key", "GET", "/api/v1/events/a%2Fb%20c", "", nil, 404, []string{"a/b c"}, nil},
		{"reload", "POST", "/api/v1/events/reload-config", "", nil, 200, []string{`{"changed":[],"needs_restart":[]}`}, nil},
		{"explain", "POST", "/api/v1/events/explain", `{"event_type":"t","data":{}}`, []string{"Authorization: Bearer narrow"}, 200,
			[]string{`{"event_type":"t","route":null,"reason":"there are no routes","handlers":[]}`}, nil},
		{"list plugins", "GET", "/api/v1/events/plugins", "", nil, 200,
			[]string{`{"items":[{"name":"order-audit","state":"active"`, `"subscribes":[],"capabilities":[]`, `"next":null`}, nil},
		{"show a plugin", "GET", "/api/v1/events/plugins/order-audit", "", nil, 200, []string{`"name":"order-audit"`}, nil},
		{"disable", "POST", "/api/v1/events/plugins/order-audit/disable", "", nil, 200, []string{`"state":"disabled"`}, nil},
		{"enable", "POST", "/api/v1/events/plugins/order-audit/enable", "", nil, 200, []string{`"state":"active"`}, nil},
		{"approve", "POST", "/api/v1/events/plugins/order-audit/approve", `{"sha256":"` + strings.Repeat("0a", 32) + `"}`, nil, 200, []string{`"name":"order-audit"`}, nil},
		{"approve some of a module", "POST", "/api/v1/events/plugins/order-audit/approve", `{"capabilities":["kv"],"sha256":"` + strings.Repeat("0a", 32) + `"}`, nil, 200, []string{`"name":"order-audit"`}, nil},
		{"install", "POST", "/api/v1/plugins/install", `{"url":"https://a.example/x.wasm","sha256":"00ff","name":"x"}`, nil, 201,
			[]string{`"name":"x","state":"active"`, `"sha256":"00ff"`, `"subscribes":[],"capabilities":[]`}, map[string]string{"Location": "/api/v1/events/plugins/x"}},
	})
}

func TestOrderEndpointsAndProbes(t *testing.T) {
	succeed(t, []exchange{
		{"create an order", "POST", "/api/v1/orders", `{"id":"B-1","customer_id":"c<d"}`, nil, 201, []string{`"customer_id":"c<d"`},
			map[string]string{"Location": "/api/v1/orders/B-1", "Etag": `"1"`, "Berth-Event-Id": "event-of-B-1"}},
		{"list orders", "GET", "/api/v1/orders?customer_id=cust&limit=5", "", nil, 200, []string{`{"items":[{"id":"A-1"`, `"next":null`}, nil},
		{"list no orders", "GET", "/api/v1/orders?customer_id=x", "", nil, 200, []string{`{"items":[],"next":null}`}, nil},
		{"show an order", "GET", "/api/v1/orders/A-1", "", nil, 200, []string{`"id":"A-1"`}, map[string]string{"Etag": `"1"`}},
		{"move an order", "POST", "/api/v1/orders/A-1/status", `{"status":"confirmed"}`, []string{`If-Match: "1"`}, 200,
			[]string{`"status":"confirmed"`}, map[string]string{"Etag": `"2"`, "Berth-Event-Id": "event-of-A-1-2"}},
		{"move with a bare version", "POST", "/api/v1/orders/A-1/status", `{"status":"confirmed"}`, []string{`If-Match: 1`}, 200, nil, nil},
		{"move with any version", "POST", "/api/v1/orders/A-1/status", `{"status":"confirmed"}`, []string{`If-Match: *`}, 200, nil, nil},
		{"move with one of two versions", "POST", "/api/v1/orders/A-1/status", `{"status":"confirmed"}`, []string{`If-Match: "7", W/"1","1"`}, 200, nil, nil},
		{"an order that is not what the caller has", "GET", "/api/v1/orders/A-1", "", []string{`If-None-Match: "2"`}, 200, []string{`"id":"A-1"`}, nil},
		{"healthz", "GET", "/healthz", "", []string{"Authorization: -", "Host: 10.1.2.3:80"}, 200, []string{`{"status":"ok"}`}, nil},
		{"readyz", "GET", "/readyz", "", []string{"Authorization: -", "Host: 10.1.2.3:80"}, 200, []string{`{"status":"ready"}`}, nil},
		{"narrow token", "GET", "/api/v1/orders", "", []string{"Authorization: bearer narrow"}, 200, nil, nil},
		{"host: loopback", "GET", "/api/v1/orders", "", []string{"Host: 127.0.0.9"}, 200, nil, nil},
		{"host: loopback v6", "GET", "/api/v1/orders", "", []string{"Host: [::1]:8080"}, 200, nil, nil},
		{"host: loopback v6 without port", "GET", "/api/v1/orders", "", []string{"Host: [::1]"}, 200, nil, nil},
		{"host: listen address", "GET", "/api/v1/orders", "", []string{"Host: BERTH.internal.:8080"}, 200, nil, nil},
		{"host: allowed, with its origin", "GET", "/api/v1/orders", "",
			[]string{"Host: berth.example.com", "Origin: https://berth.example.com"}, 200, nil, nil},
	})
}

// seeded has one event, "first", and one order, "A-1".
func seeded(t testing.TB) *parts {
	p := &parts{orders: []wire.Order{{ID: "A-1", CustomerID: "cust", Items: []wire.OrderItem{}, Status: "pending", Version: 1}}}
	if _, err := p.Publish(context.Background(), event.Draft{Type: "seed", Data: []byte("1"), IdempotencyKey: "first"}); err != nil {
		t.Fatal(err)
	}
	return p
}

// refusal is a request that is refused.
type refusal struct {
	name, method, path, body string
	headers                  []string
	status                   int
	code                     fault.Code
	field, detail            string
}

// big is half of the largest event.
var big = strings.Repeat("x", 1<<20)

// refuse checks that each request is refused as it should be, and stores nothing.
func refuse(t *testing.T, list []refusal) {
	t.Helper()
	for _, tt := range list {
		t.Run(tt.name, func(t *testing.T) {
			p := seeded(t)
			w := call(newServer(t, config(p)).Handler(), tt.method, tt.path, tt.body, tt.headers...)
			if w.Code != tt.status {
				t.Fatalf("got %d, want %d: %s", w.Code, tt.status, w.Body)
			}
			got := problemIn(t, w)
			if got.Code != string(tt.code) || got.Field != tt.field || !strings.Contains(got.Detail, tt.detail) {
				t.Errorf("got %+v", got)
			}
			if (w.Code == 401 || w.Code == 403 && got.Field == "") != (w.Header().Get("WWW-Authenticate") != "") {
				t.Errorf("WWW-Authenticate is %q", w.Header().Get("WWW-Authenticate"))
			}
			if (w.Code == 405) != (w.Header().Get("Allow") != "") {
				t.Errorf("Allow is %q", w.Header().Get("Allow"))
			}
			if len(p.log) != 1 || len(p.orders) != 1 {
				t.Errorf("something was stored: %d events, %d orders", len(p.log), len(p.orders))
			}
		})
	}
}

func TestCallersAreRefused(t *testing.T) {
	refuse(t, []refusal{
		{"no token", "GET", "/api/v1/events", "", []string{"Authorization: -"}, 401, fault.Denied, "Authorization", "admin.token"},
		{"another scheme", "GET", "/api/v1/events", "", []string{"Authorization: Basic x"}, 401, fault.Denied, "Authorization", "Bearer TOKEN"},
		{"an empty token", "GET", "/api/v1/events", "", []string{"Authorization: Bearer "}, 401, fault.Denied, "Authorization", "Bearer TOKEN"},
		{"a wrong token", "GET", "/api/v1/events", "", []string{"Authorization: Bearer " + secret + "x"}, 401, fault.Denied, "Authorization", "not known"},
		{"no token, unknown path", "GET", "/api/v1/nothing", "", []string{"Authorization: -"}, 401, fault.Denied, "Authorization", ""},
		{"no token, wrong method", "DELETE", "/api/v1/events", "", []string{"Authorization: -"}, 401, fault.Denied, "Authorization", ""},
		{"no token, stream", "GET", "/api/v1/events/stream", "", []string{"Authorization: -"}, 401, fault.Denied, "Authorization", ""},
		{"scope publish", "POST", "/api/v1/events", `{"event_type":"t"}`, []string{"Authorization: Bearer narrow"}, 403, fault.Denied, "", "scope publish"},
		{"scope operate", "POST", "/api/v1/events/reload-config", "", []string{"Authorization: Bearer narrow"}, 403, fault.Denied, "", "scope operate"},
		{"scope install", "POST", "/api/v1/plugins/install", "", []string{"Authorization: Bearer narrow"}, 403, fault.Denied, "", "scope install"},
		{"another host", "GET", "/api/v1/events", "", []string{"Host: evil.example"}, 403, fault.Denied, "Host", "evil.example"},
		{"a host that starts like ours", "GET", "/api/v1/events", "", []string{"Host: localhost.evil.example"}, 403, fault.Denied, "Host", ""},
		{"another address", "GET", "/api/v1/events", "", []string{"Host: 192.0.2.1"}, 403, fault.Denied, "Host", ""},
		{"the unspecified address", "GET", "/api/v1/events", "", []string{"Host: 0.0.0.0:8080"}, 403, fault.Denied, "Host", ""},
		{"another host at an unknown path", "GET", "/", "", []string{"Host: evil.example"}, 403, fault.Denied, "Host", ""},
		{"another origin", "GET", "/api/v1/events", "", []string{"Origin: https://evil.example"}, 403, fault.Denied, "Origin", "evil.example"},
		{"another local origin", "GET", "/api/v1/events", "", []string{"Origin: http://localhost:3000"}, 403, fault.Denied, "Origin", ""},
		{"a null origin", "GET", "/api/v1/events", "", []string{"Origin: null"}, 403, fault.Denied, "Origin", ""},
	})
}

func TestPathsAndMethodsAreRefused(t *testing.T) {
	refuse(t, []refusal{
		{"unknown path", "GET", "/api/v1/nothing", "", nil, 404, fault.NotFound, "", "/api/v1/nothing"},
		{"unknown path outside the API", "GET", "/nothing", "", []string{"Authorization: -"}, 404, fault.NotFound, "", "/nothing"},
		{"wrong method", "DELETE", "/api/v1/events", "", nil, 405, fault.Invalid, "", "it has POST, GET, HEAD"},
		{"get what is posted", "GET", "/api/v1/events/reload-config", "", nil, 405, fault.Invalid, "", "it has POST"},
		{"get explain", "GET", "/api/v1/events/explain", "", nil, 405, fault.Invalid, "", "it has POST"},
		{"explain without a type", "POST", "/api/v1/events/explain", `{}`, nil, 400, fault.Invalid, "event_type", "required"},
		{"explain a bad type", "POST", "/api/v1/events/explain", `{"event_type":"A"}`, nil, 400, fault.Invalid, "event_type", "does not match"},
		{"explain a list", "POST", "/api/v1/events/explain", `[{"event_type":"t"}]`, nil, 400, fault.Invalid, "", "an object"},
		{"explain a form", "POST", "/api/v1/events/explain", `{}`, []string{"Content-Type: text/plain"}, 415, fault.Invalid, "Content-Type", ""},
		{"explain too much", "POST", "/api/v1/events/explain", `{"event_type":"t","data":"` + big + big + `"}`, nil, 413, fault.Exhausted, "body", ""},
		{"get install", "GET", "/api/v1/plugins/install", "", nil, 405, fault.Invalid, "", "it has POST"},
	})
}

func TestMediaTypesAreRefused(t *testing.T) {
	refuse(t, []refusal{
		{"no content type", "POST", "/api/v1/events", `{"event_type":"t"}`, []string{"Content-Type: -"}, 415, fault.Invalid, "Content-Type", "application/json"},
		{"a form", "POST", "/api/v1/orders", `{}`, []string{"Content-Type: text/plain"}, 415, fault.Invalid, "Content-Type", "text/plain"},
		{"a bad content type", "POST", "/api/v1/orders", `{}`, []string{"Content-Type: ;"}, 415, fault.Invalid, "Content-Type", ""},
		{"compressed", "POST", "/api/v1/events", `{}`, []string{"Content-Encoding: gzip"}, 415, fault.Invalid, "Content-Type", "gzip"},
	})
}

func TestBodiesAreRefused(t *testing.T) {
	refuse(t, []refusal{
		{"empty body", "POST", "/api/v1/events", "", []string{"Content-Type: application/json"}, 400, fault.Invalid, "body", "empty"},
		{"malformed", "POST", "/api/v1/events", `{"event_type":}`, nil, 400, fault.Invalid, "body", "byte 15"},
		{"cut short", "POST", "/api/v1/events", `{"event_type":"t"`, nil, 400, fault.Invalid, "body", "byte 17"},
		{"two values", "POST", "/api/v1/events", `{"event_type":"t"} {}`, nil, 400, fault.Invalid, "body", "after"},
		{"not UTF-8", "POST", "/api/v1/events", "{\"event_type\":\"t\",\"data\":\"\xff\"}", nil, 400, fault.Invalid, "body", "UTF-8"},
		{"an order that is not UTF-8", "POST", "/api/v1/orders", "{\"customer_id\":\"\xff\"}", nil, 400, fault.Invalid, "", "UTF-8"},
		{"no type", "POST", "/api/v1/events", `{}`, nil, 400, fault.Invalid, "event_type", "required"},
		{"wrong type of the type", "POST", "/api/v1/events", `{"event_type":5}`, nil, 400, fault.Invalid, "event_type", "a string"},
		{"bad type", "POST", "/api/v1/events", `{"event_type":"Not ok"}`, nil, 400, fault.Invalid, "event_type", "does not match"},
		{"unknown key", "POST", "/api/v1/events", `{"event_type":"t","extra":1}`, nil, 400, fault.Invalid, "extra", ""},
		{"event id given", "POST", "/api/v1/events", `{"event_type":"t","metadata":{"event_id":"x"}}`, nil, 400, fault.Invalid, "metadata.event_id", ""},
		{"two keys", "POST", "/api/v1/events", `{"event_type":"t","metadata":{"idempotency_key":"a"}}`, []string{"Idempotency-Key: b"}, 400, fault.Invalid, "Idempotency-Key", "different"},
		{"long key", "POST", "/api/v1/events", `{"event_type":"t"}`, []string{"Idempotency-Key: " + strings.Repeat("k", 257)}, 400, fault.Invalid, "metadata.idempotency_key", "257"},
		{"taken key", "POST", "/api/v1/events", `{"event_type":"other","metadata":{"idempotency_key":"first"}}`, nil, 409, fault.Conflict, "metadata.idempotency_key", ""},
		{"an empty key", "POST", "/api/v1/events", `{"event_type":"t","metadata":{"idempotency_key":""}}`, nil, 400, fault.Invalid, "metadata.idempotency_key", "empty"},
		{"an empty source", "POST", "/api/v1/events", `{"event_type":"t","metadata":{"source":""}}`, nil, 400, fault.Invalid, "metadata.source", "empty"},
		{"an empty correlation id", "POST", "/api/v1/events", `{"event_type":"t","metadata":{"correlation_id":""}}`, nil, 400, fault.Invalid, "metadata.correlation_id", "empty"},
		{"an empty causation id", "POST", "/api/v1/events", `{"event_type":"t","metadata":{"causation_id":""}}`, nil, 400, fault.Invalid, "metadata.causation_id", "empty"},
		{"an empty traceparent", "POST", "/api/v1/events", `{"event_type":"t","metadata":{"traceparent":""}}`, nil, 400, fault.Invalid, "metadata.traceparent", "empty"},
		{"an empty time", "POST", "/api/v1/events", `{"event_type":"t","metadata":{"time":""}}`, nil, 400, fault.Invalid, "metadata.time", "RFC 3339"},
		{"Go's zero time", "POST", "/api/v1/events", `{"event_type":"t","metadata":{"time":"0001-01-01T00:00:00Z"}}`, nil, 400, fault.Invalid, "metadata.time", "year 1"},
		{"Go's zero time, in another zone", "POST", "/api/v1/events", `{"event_type":"t","metadata":{"time":"0001-01-01T01:00:00+01:00"}}`, nil, 400, fault.Invalid, "metadata.time", "year 1"},
		{"the first second that is too early", "POST", "/api/v1/events", `{"event_type":"t","metadata":{"time":"1969-12-31T23:59:59Z"}}`, nil, 400, fault.Invalid, "metadata.time", "1970"},
		{"an empty header", "POST", "/api/v1/events", `{"event_type":"t"}`, []string{"Idempotency-Key: "}, 400, fault.Invalid, "Idempotency-Key", "empty"},
		{"a byte order mark", "POST", "/api/v1/events", "\ufeff" + `{"event_type":"t"}`, nil, 400, fault.Invalid, "body", "byte order mark"},
		{"a byte order mark before an order", "POST", "/api/v1/orders", "\ufeff" + `{"customer_id":"c"}`, nil, 400, fault.Invalid, "body", "byte order mark"},
		{"an empty order id", "POST", "/api/v1/orders", `{"id":"","customer_id":"c","currency":"EUR","items":[{"sku":"s","quantity":1,"unit_price_cents":1}]}`, nil, 400, fault.Invalid, "id", "empty"},
		{"an empty version", "POST", "/api/v1/plugins/install", `{"name":"x","version":""}`, nil, 400, fault.Invalid, "version", "empty"},
		{"null for all capabilities", "POST", "/api/v1/events/plugins/order-audit/approve", `{"capabilities":null,"sha256":"` + strings.Repeat("0a", 32) + `"}`, nil, 400, fault.Invalid, "capabilities", "null"},
		{"an empty digest", "POST", "/api/v1/events/plugins/order-audit/approve", `{"sha256":""}`, nil, 400, fault.Invalid, "sha256", "empty"},
		{"the key of an order", "POST", "/api/v1/events", `{"event_type":"t","metadata":{"idempotency_key":"order:A-1:v2"}}`, nil, 400, fault.Invalid, "metadata.idempotency_key", "reserved"},
		{"the key of an order, written with escapes", "POST", "/api/v1/events", `{"event_type":"t","metadata":{"idempotency_key":"order\u003aA-1:v2"}}`, nil, 400, fault.Invalid, "metadata.idempotency_key", "reserved"},
		{"the key of an order, in the header", "POST", "/api/v1/events", `{"event_type":"t"}`, []string{"Idempotency-Key: order:A-1:v2"}, 400, fault.Invalid, "metadata.idempotency_key", "reserved"},
		{"the key of a schedule", "POST", "/api/v1/events", `{"event_type":"t","metadata":{"idempotency_key":"schedule:x"}}`, nil, 400, fault.Invalid, "metadata.idempotency_key", "reserved"},
		{"the key of a plugin's child", "POST", "/api/v1/events", `{"event_type":"t","metadata":{"idempotency_key":"order-audit/x"}}`, nil, 400, fault.Invalid, "metadata.idempotency_key", "the plugin order-audit"},
		{"the key of a plugin's child, as a CloudEvent", "POST", "/api/v1/events", `{"specversion":"1.0","type":"t","source":"order-audit/x","id":"1"}`, []string{"Content-Type: application/cloudevents+json"}, 400, fault.Invalid, "id", "the plugin order-audit"},
		{"the key of a plugin's child, in binary mode", "POST", "/api/v1/events", `{}`, []string{"ce-specversion: 1.0", "ce-type: t", "ce-source: order-audit/x", "ce-id: 1"}, 400, fault.Invalid, "id", "the plugin order-audit"},
		{"a change of an order", "POST", "/api/v1/events", `{"event_type":"order_status_changed","metadata":{"source":"orders"}}`, nil, 400, fault.Invalid, "metadata.source", "only the orders API"},
		{"a change of an order, as a CloudEvent", "POST", "/api/v1/events", `{"specversion":"1.0","type":"order_status_changed","source":"orders","id":"1"}`, []string{"Content-Type: application/cloudevents+json"}, 400, fault.Invalid, "source", "only the orders API"},
		{"large event", "POST", "/api/v1/events", `{"event_type":"t","data":"` + big + `"}`, nil, 413, fault.Exhausted, "data", "1048576"},
		{"large body", "POST", "/api/v1/events", `{"event_type":"t","data":"` + big + big + `"}`, nil, 413, fault.Exhausted, "body", ""},
		{"large order", "POST", "/api/v1/orders", `{"id":"` + big + big + `"}`, nil, 413, fault.Exhausted, "body", ""},
		{"large batch", "POST", "/api/v1/events", "[" + strings.Repeat(`"`+big+`",`, 16) + "1]", nil, 413, fault.Exhausted, "body", "16777216"},
	})
}

func TestBatchesAreRefused(t *testing.T) {
	refuse(t, []refusal{
		{"batch: empty", "POST", "/api/v1/events", `[]`, nil, 400, fault.Invalid, "", "empty"},
		{"batch: too many", "POST", "/api/v1/events", "[" + strings.Repeat(`{"event_type":"t"},`, 1000) + `{"event_type":"t"}]`, nil, 400, fault.Invalid, "", "1000"},
		{"batch: one is wrong", "POST", "/api/v1/events", `[{"event_type":"t"},{"event_type":"t","metadata":{"subject":"a\n"}}]`, nil, 400, fault.Invalid, "[1].metadata.subject", "control"},
		{"batch: one has the key of an order", "POST", "/api/v1/events", `[{"event_type":"t"},{"event_type":"t","metadata":{"idempotency_key":"order:A-1:v2"}}]`, nil, 400, fault.Invalid, "[1].metadata.idempotency_key", "reserved"},
		{"batch: a CloudEvent has the key of a child", "POST", "/api/v1/events", `[{"specversion":"1.0","type":"t","source":"order-audit/x","id":"1"}]`, []string{"Content-Type: application/cloudevents-batch+json"}, 400, fault.Invalid, "[0].id", "reserved"},
		{"batch: one is no object", "POST", "/api/v1/events", `[{"event_type":"t"},7]`, nil, 400, fault.Invalid, "[1]", "an object"},
		{"batch: one is large", "POST", "/api/v1/events", `[{"event_type":"t"},{"event_type":"t","data":"` + big + `"}]`, nil, 413, fault.Exhausted, "[1].data", ""},
		{"batch: malformed", "POST", "/api/v1/events", `[{"event_type":"t"},{]`, nil, 400, fault.Invalid, "body", "byte 22"},
		{"batch: cut short", "POST", "/api/v1/events", `[{"event_type":"t"},`, nil, 400, fault.Invalid, "body", "byte 20"},
		{"batch: two lists", "POST", "/api/v1/events", `[{"event_type":"t"}] []`, nil, 400, fault.Invalid, "body", "after"},
		{"batch: key header", "POST", "/api/v1/events", `[{"event_type":"t"}]`, []string{"Idempotency-Key: k"}, 400, fault.Invalid, "Idempotency-Key", "batch"},
	})
}

func TestQueriesOfEventsAreRefused(t *testing.T) {
	refuse(t, []refusal{
		{"unknown event", "GET", "/api/v1/events/none", "", nil, 404, fault.NotFound, "", "none"},
		{"an empty type", "GET", "/api/v1/events?type=", "", nil, 400, fault.Invalid, "type", "empty"},
		{"an empty subject", "GET", "/api/v1/events?subject=", "", nil, 400, fault.Invalid, "subject", "empty"},
		{"an empty idempotency key", "GET", "/api/v1/events?key=", "", nil, 400, fault.Invalid, "key", "empty"},
		{"an empty limit", "GET", "/api/v1/events?limit=", "", nil, 400, fault.Invalid, "limit", "empty"},
		{"an empty cursor", "GET", "/api/v1/events?cursor", "", nil, 400, fault.Invalid, "cursor", "empty"},
		{"an empty since", "GET", "/api/v1/events/stream?since=", "", nil, 400, fault.Invalid, "since", "empty"},
		{"bad filter", "GET", "/api/v1/events?type=A", "", nil, 400, fault.Invalid, "type", ""},
		{"bad limit", "GET", "/api/v1/events?limit=501", "", nil, 400, fault.Invalid, "limit", "1 to 500"},
		{"bad cursor", "GET", "/api/v1/events?cursor=0", "", nil, 400, fault.Invalid, "cursor", ""},
		{"unknown parameter", "GET", "/api/v1/events?typ=a", "", nil, 400, fault.Invalid, "typ", "type"},
		{"parameter twice", "GET", "/api/v1/events?type=a&type=b", "", nil, 400, fault.Invalid, "type", "2 times"},
		{"malformed query", "GET", "/api/v1/events?type=%zz", "", nil, 400, fault.Invalid, "", "malformed"},
	})
}

func TestOrdersAreRefused(t *testing.T) {
	refuse(t, []refusal{
		{"bad order", "POST", "/api/v1/orders", `{}`, nil, 400, fault.Invalid, "customer_id", "is required"},
		{"bad quantity", "POST", "/api/v1/orders", `{"items":[{"quantity":"many"}]}`, nil, 400, fault.Invalid, "items.quantity", "a whole number"},
		{"unknown order", "GET", "/api/v1/orders/none", "", nil, 404, fault.NotFound, "", "none"},
		{"move an unknown order", "POST", "/api/v1/orders/none/status", `{"status":"shipped"}`, nil, 404, fault.NotFound, "", "none"},
		{"illegal move", "POST", "/api/v1/orders/A-1/status", `{"status":"pending"}`, nil, 409, fault.Conflict, "", "already"},
		{"no status", "POST", "/api/v1/orders/A-1/status", `{}`, nil, 400, fault.Invalid, "status", ""},
		{"another version", "POST", "/api/v1/orders/A-1/status", `{"status":"shipped"}`, []string{`If-Match: "2"`}, 412, fault.Precondition, "If-Match", ""},
		{"a weak tag", "POST", "/api/v1/orders/A-1/status", `{"status":"shipped"}`, []string{`If-Match: W/"1"`}, 412, fault.Precondition, "If-Match", ""},
		{"another text as a tag", "POST", "/api/v1/orders/A-1/status", `{"status":"shipped"}`, []string{`If-Match: "one"`}, 412, fault.Precondition, "If-Match", ""},
		{"a tag with a leading zero", "POST", "/api/v1/orders/A-1/status", `{"status":"shipped"}`, []string{`If-Match: "01"`}, 412, fault.Precondition, "If-Match", ""},
		{"an unknown order of one of two versions", "POST", "/api/v1/orders/none/status", `{"status":"shipped"}`, []string{`If-Match: "1", "2"`}, 404, fault.NotFound, "", "none"},
		{"no tag in quotes", "GET", "/api/v1/orders/A-1", "", []string{`If-None-Match: abc`}, 400, fault.Invalid, "If-None-Match", ""},
		{"half a tag", "POST", "/api/v1/orders/A-1/status", `{"status":"shipped"}`, []string{`If-Match: "1`}, 400, fault.Invalid, "If-Match", ""},
		{"two tags", "POST", "/api/v1/orders/A-1/status", `{"status":"shipped"}`, []string{`If-Match: "3", "2"`}, 412, fault.Precondition, "If-Match", "is \"1\""},
		{"orders: bad limit", "GET", "/api/v1/orders?limit=x", "", nil, 400, fault.Invalid, "limit", ""},
		{"orders: bad status", "GET", "/api/v1/orders?status=lost", "", nil, 400, fault.Invalid, "status", ""},
	})
}

// TestPluginLogs: what a request selects, and that an empty list is a list.
func TestPluginLogs(t *testing.T) {
	h := newServer(t, setup(t).cfg).Handler()
	const at = "/api/v1/events/plugins/order-audit/logs"
	for _, tt := range []struct{ query, want string }{
		{"", `"attempt":1}],"next":null,"last":1,"discarded":0,"evicted":50}`},
		{"?after=0&limit=3", `"attempt":1}],"next":"7","last":1,"discarded":0,"evicted":3}`},
		{"?after=1", `{"plugin":"order-audit","items":[],"next":"7","last":1,"discarded":1,"evicted":50}`},
		{"?event=01a227c8-ec24-76f7-b0c4-5e2c7f064963", `{"plugin":"order-audit","items":[],"next":null,"last":1,"discarded":0,"evicted":50}`},
	} {
		if w := call(h, "GET", at+tt.query, ""); w.Code != 200 || !strings.HasSuffix(strings.TrimSpace(w.Body.String()), tt.want) {
			t.Errorf("%s: got %d %s", tt.query, w.Code, w.Body)
		}
	}
}

func TestPluginRequestsAreRefused(t *testing.T) {
	refuse(t, []refusal{
		{"report of an unknown plugin", "GET", "/api/v1/events/plugins/none/report", "", nil, 404, fault.NotFound, "", "none"},
		{"report of one not vetted", "GET", "/api/v1/events/plugins/order-audit/report", "", nil, 404, fault.NotFound, "", "was not vetted"},
		{"logs of an unknown plugin", "GET", "/api/v1/events/plugins/none/logs", "", nil, 404, fault.NotFound, "", "none"},
		{"logs of no event", "GET", "/api/v1/events/plugins/order-audit/logs?event=o-1", "", nil, 400, fault.Invalid, "event", "is not the id of an event"},
		{"logs after nothing", "GET", "/api/v1/events/plugins/order-audit/logs?after=-1", "", nil, 400, fault.Invalid, "after", "is not the Seq of a line"},
		{"logs after no number", "GET", "/api/v1/events/plugins/order-audit/logs?after=", "", nil, 400, fault.Invalid, "after", "is empty"},
		{"too many logs", "GET", "/api/v1/events/plugins/order-audit/logs?limit=1001", "", nil, 400, fault.Invalid, "limit", "1 to 1000"},
		{"logs by another name", "GET", "/api/v1/events/plugins/order-audit/logs?since=1", "", nil, 400, fault.Invalid, "since", "after, event, limit"},
		{"unknown plugin", "GET", "/api/v1/events/plugins/none", "", nil, 404, fault.NotFound, "", "none"},
		{"approve an unknown plugin", "POST", "/api/v1/events/plugins/none/approve", `{"sha256":"` + strings.Repeat("0a", 32) + `"}`, nil, 404, fault.NotFound, "", "none"},
		{"approve without the scope", "POST", "/api/v1/events/plugins/order-audit/approve", "", []string{"Authorization: Bearer narrow"}, 403, fault.Denied, "", "scope operate"},
		{"approve with an unknown key", "POST", "/api/v1/events/plugins/order-audit/approve", `{"capability":["kv"]}`, nil, 400, fault.Invalid, "capability", ""},
		{"approve what was not looked at", "POST", "/api/v1/events/plugins/order-audit/approve", "", nil, 428, fault.Precondition, "If-Match", "GET /api/v1/events/plugins/order-audit"},
		{"approve with an empty body", "POST", "/api/v1/events/plugins/order-audit/approve", "{}", nil, 428, fault.Precondition, "If-Match", "sha256"},
		{"approve some of what was not looked at", "POST", "/api/v1/events/plugins/order-audit/approve", `{"capabilities":["kv"]}`, nil, 428, fault.Precondition, "If-Match", "sha256"},
		{"approve any version", "POST", "/api/v1/events/plugins/order-audit/approve", "", []string{"If-Match: *"}, 428, fault.Precondition, "If-Match", "sha256"},
		{"approve at the former path", "POST", "/api/v1/plugins/order-audit/approve", "", nil, 428, fault.Precondition, "If-Match", "sha256"},
		{"approve with half a digest", "POST", "/api/v1/events/plugins/order-audit/approve", `{"sha256":"00"}`, nil, 400, fault.Invalid, "sha256", "64"},
		{"enable an unknown plugin", "POST", "/api/v1/events/plugins/none/enable", "", nil, 404, fault.NotFound, "", "none"},
		{"marketplace", "GET", "/api/v1/plugins/marketplace", "", nil, 404, fault.NotFound, "", "the marketplace is disabled"},
		{"install from the marketplace", "POST", "/api/v1/plugins/install", `{"name":"x"}`, nil, 404, fault.NotFound, "", "the marketplace is disabled"},
		{"install a version", "POST", "/api/v1/plugins/install", `{"name":"x","version":"1.0.0"}`, nil, 404, fault.NotFound, "", "the marketplace is disabled"},
		{"install nothing", "POST", "/api/v1/plugins/install", `{}`, nil, 400, fault.Invalid, "url", "required"},
		{"install a version of nothing", "POST", "/api/v1/plugins/install", `{"version":"1.0.0"}`, nil, 400, fault.Invalid, "url", "required"},
		{"install a hash", "POST", "/api/v1/plugins/install", `{"name":"x","sha256":"00"}`, nil, 400, fault.Invalid, "url", "required"},
		{"install without a hash", "POST", "/api/v1/plugins/install", `{"url":"https://a.example/x.wasm","name":"x"}`, nil, 400, fault.Invalid, "sha256", "64"},
		{"install a version of a URL", "POST", "/api/v1/plugins/install", `{"url":"https://a.example/x.wasm","sha256":"00","version":"1.0.0"}`, nil, 400, fault.Invalid, "version", "marketplace"},
		{"install, unknown key", "POST", "/api/v1/plugins/install", `{"uri":"https://a.example/"}`, nil, 400, fault.Invalid, "uri", ""},
		{"install, wrong type", "POST", "/api/v1/plugins/install", `{"url":7}`, nil, 400, fault.Invalid, "url", "a string"},
		{"install, two values", "POST", "/api/v1/plugins/install", `{"name":"x"}{}`, nil, 400, fault.Invalid, "body", "after"},
		{"install, a form", "POST", "/api/v1/plugins/install", `{"name":"x"}`, []string{"Content-Type: text/plain"}, 415, fault.Invalid, "Content-Type", ""},
		{"install a name that is taken", "POST", "/api/v1/plugins/install", `{"url":"https://a.example/","sha256":"00","name":"order-audit"}`, nil, 409, fault.Conflict, "", "order-audit"},
		{"uninstall an unknown plugin", "DELETE", "/api/v1/plugins/uninstall/x%2Fy", "", nil, 404, fault.NotFound, "", "x/y"},
		{"uninstall, wrong method", "POST", "/api/v1/plugins/uninstall/x", "", nil, 405, fault.Invalid, "", "it has DELETE"},
		{"scope install, to uninstall", "DELETE", "/api/v1/plugins/uninstall/x", "", []string{"Authorization: Bearer narrow"}, 403, fault.Denied, "", "scope install"},
	})
}

// Errors of the parts, at every endpoint that can answer one.
func TestErrorsOfParts(t *testing.T) {
	endpoints := []struct{ method, path, body string }{
		{"POST", "/api/v1/events", `{"event_type":"t"}`},
		{"POST", "/api/v1/events", `[{"event_type":"t"}]`},
		{"GET", "/api/v1/events", ""},
		{"GET", "/api/v1/events/first", ""},
		{"POST", "/api/v1/events/reload-config", ""},
		{"POST", "/api/v1/events/plugins/order-audit/enable", ""},
		{"POST", "/api/v1/plugins/install", `{"url":"https://a.example/","sha256":"00"}`},
		{"DELETE", "/api/v1/plugins/uninstall/order-audit", ""},
		{"POST", "/api/v1/orders", `{"customer_id":"c"}`},
		{"GET", "/api/v1/orders", ""},
		{"GET", "/api/v1/orders/A-1", ""},
		{"POST", "/api/v1/orders/A-1/status", `{"status":"confirmed"}`},
	}
	for _, tt := range []struct {
		err    error
		status int
		code   fault.Code
	}{
		{fault.New(fault.Invalid, "wrong"), 400, fault.Invalid},
		{fault.New(fault.NotFound, "missing"), 404, fault.NotFound},
		{fault.New(fault.Conflict, "taken"), 409, fault.Conflict},
		{fault.New(fault.Precondition, "changed"), 412, fault.Precondition},
		{fault.New(fault.Denied, "no"), 403, fault.Denied},
		{fault.New(fault.Exhausted, "the disk is full"), 507, fault.Exhausted},
		{fmt.Errorf("append: %w", event.LogFull(2, 1)), 429, fault.Exhausted},
		{&fault.Error{Code: fault.Exhausted, Field: "data", Reason: "too large"}, 413, fault.Exhausted},
		{fault.New(fault.Unavailable, "closing"), 503, fault.Unavailable},
		{fault.New(fault.Timeout, "late"), 504, fault.Timeout},
		{fault.New(fault.Trap, "the secret"), 500, fault.Internal},
		{fault.New(fault.Internal, "the secret"), 500, fault.Internal},
		{errors.New("the secret"), 500, fault.Internal},
		{fmt.Errorf("wait: %w", context.DeadlineExceeded), 504, fault.Timeout},
		{fmt.Errorf("wait: %w", context.Canceled), 503, fault.Unavailable},
	} {
		for _, e := range endpoints {
			t.Run(fmt.Sprintf("%v at %s %s", tt.err, e.method, e.path), func(t *testing.T) {
				var log bytes.Buffer
				b := setup(t)
				p, cfg := b.parts, b.cfg
				cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
				p.err = fmt.Errorf("do it: %w", tt.err)
				w := call(newServer(t, cfg).Handler(), e.method, e.path, e.body)
				got := problemIn(t, w)
				if got.Status != tt.status || got.Code != string(tt.code) {
					t.Fatalf("got %+v", got)
				}
				if got, want := w.Header().Get("Retry-After"), map[int]string{429: "1", 507: "10"}[tt.status]; got != want {
					t.Errorf("Retry-After: got %q, want %q", got, want)
				}
				if shown := strings.Contains(w.Body.String(), "secret"); shown {
					t.Errorf("an internal text is shown: %s", w.Body)
				}
				if logged := log.Len() > 0; logged != (tt.status == 500) {
					t.Errorf("the log has %s", &log)
				}
			})
		}
	}
}

func TestPanicIsAnInternalError(t *testing.T) {
	var log bytes.Buffer
	b := setup(t)
	p, cfg := b.parts, b.cfg
	cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
	p.before = func() { panic("the secret") }
	h := newServer(t, cfg).Handler()
	for _, path := range []string{"/api/v1/events", "/api/v1/events/plugins", "/api/v1/orders/A-1"} {
		log.Reset()
		w := call(h, "GET", path, "")
		if got := problemIn(t, w); got.Status != 500 || got.Code != "internal" || strings.Contains(w.Body.String(), "secret") {
			t.Errorf("%s: got %s", path, w.Body)
		}
		if text := log.String(); strings.Count(text, "level=ERROR") != 1 || !strings.Contains(text, "the secret") || !strings.Contains(text, "fakes_test.go") {
			t.Errorf("%s: the log has %s", path, text)
		}
	}
	p.before = func() { panic(http.ErrAbortHandler) }
	func() {
		defer func() {
			if got := recover(); got != http.ErrAbortHandler {
				t.Errorf("got %v, want http.ErrAbortHandler", got)
			}
		}()
		call(h, "GET", "/api/v1/orders/A-1", "")
	}()
}

func TestNotReady(t *testing.T) {
	for _, tt := range []struct {
		err    error
		detail string
	}{
		{fault.New(fault.Unavailable, "the plugins are still loading"), "the plugins are still loading"},
		{errors.New("the secret"), "the host is not ready; its log says why"},
	} {
		cfg := setup(t).cfg
		cfg.Admin.Ready = func() error { return tt.err }
		w := call(newServer(t, cfg).Handler(), "GET", "/readyz", "", "Authorization: -")
		if got := problemIn(t, w); got.Status != 503 || got.Detail != tt.detail {
			t.Errorf("got %+v", got)
		}
	}
}

// TestReadinessIsLoggedWhenItChanges probes repeatedly: a start is logged as information, a
// failure as a warning, and each once.
func TestReadinessIsLoggedWhenItChanges(t *testing.T) {
	starting, stuck := fault.New(fault.Unavailable, "plugins are still being loaded"), fault.New(fault.Unavailable, "stuck at event 7")
	var log bytes.Buffer
	var now error
	cfg := setup(t).cfg
	cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
	cfg.Admin.Ready = func() error { return now }
	h := newServer(t, cfg).Handler()
	for i, step := range []struct {
		err  error
		says string
	}{
		{starting, `level=INFO msg="not ready yet" error="plugins are still being loaded"`},
		{starting, ""},
		{errors.New("the disk is gone"), `level=WARN msg="not ready" error="the disk is gone"`},
		{nil, "level=INFO msg=ready"},
		{nil, ""},
		{stuck, `level=WARN msg="not ready" error="stuck at event 7"`},
		{stuck, ""},
		{nil, "level=INFO msg=ready"},
		{stuck, `level=WARN msg="not ready" error="stuck at event 7"`},
	} {
		log.Reset()
		now = step.err
		call(h, "GET", "/readyz", "", "Authorization: -")
		if got := log.String(); step.says == "" && got != "" || !strings.Contains(got, step.says) {
			t.Errorf("step %d: the log says %q, want %q", i, got, step.says)
		}
	}
}

func TestNewNamesWhatIsMissing(t *testing.T) {
	cfg := setup(t).cfg
	cfg.Orders = nil
	if _, err := api.New(cfg); err == nil || !strings.Contains(err.Error(), "Config.Orders") {
		t.Errorf("got %v", err)
	}
}

func TestPagesOfEvents(t *testing.T) {
	p := &parts{}
	for i := range 100 {
		d := event.Draft{Type: "t", IdempotencyKey: fmt.Sprint(i)}
		if i < 12 { // old ones are large: a page of them ends early
			d.Data = []byte(`"` + strings.Repeat("x", 1<<20-1000) + `"`)
		}
		if _, err := p.Publish(t.Context(), d); err != nil {
			t.Fatal(err)
		}
	}
	h := newServer(t, config(p)).Handler()
	for _, limit := range []int{31, 32, 33, 500} {
		seen, path := uint64(101), fmt.Sprintf("/api/v1/events?limit=%d", limit)
		for next := path; next != ""; {
			w := call(h, "GET", next, "")
			if w.Body.Len() > 10<<20 {
				t.Errorf("limit %d: a page of %d bytes", limit, w.Body.Len())
			}
			page := decode[wire.List[wire.Event]](t, w)
			for _, ev := range page.Items {
				if ev.Seq != seen-1 {
					t.Fatalf("limit %d: %d after %d", limit, ev.Seq, seen)
				}
				seen = ev.Seq
			}
			next = ""
			if page.Next != nil {
				next = path + "&cursor=" + *page.Next
			}
		}
		if seen != 1 {
			t.Errorf("limit %d: the last event is %d", limit, seen)
		}
	}
}

// FuzzPublish: no body is answered with a 5xx or a panic, and only a 202 or 207
// stores something.
func FuzzPublish(f *testing.F) {
	for _, body := range []string{
		`{"event_type":"t","data":{"a":[1,2]},"metadata":{"idempotency_key":"k","time":"2026-01-02T03:04:05Z"}}`,
		`[{"event_type":"t"},{"event_type":"u","data":null}]`, `[`, `[]`, `[1]x`, ` `, `null`, `{"event_type":"t"}{`, "\xff", `[[[[`,
		`{"event_type":"t","metadata":{"traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}}`,
	} {
		f.Add([]byte(body), "")
	}
	f.Add([]byte(`{"event_type":"t"}`), "key")
	f.Fuzz(func(t *testing.T, body []byte, key string) {
		p := &parts{}
		h := newServer(t, config(p)).Handler()
		r := httptest.NewRequest("POST", "/api/v1/events", bytes.NewReader(body))
		r.Host = "localhost"
		r.Header.Set("Authorization", "Bearer "+secret)
		r.Header.Set("Content-Type", "application/json")
		if key != "" {
			r.Header.Set("Idempotency-Key", key)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		switch w.Code {
		case 202, 207:
			if len(p.log) == 0 {
				t.Errorf("%d and nothing is stored: %s", w.Code, w.Body)
			}
		case 400, 409, 413:
			problemIn(t, w)
			if len(p.log) != 0 {
				t.Errorf("%d and something is stored: %s", w.Code, w.Body)
			}
		default:
			t.Errorf("got %d: %s", w.Code, w.Body)
		}
	})
}
