package api_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
)

// tracing is an api.Tracer that notes its calls.
type tracing struct{ calls []string }

const (
	hostSpan     = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	producerSpan = "00-11111111111111111111111111111111-2222222222222222-01"
)

// Request implements api.Tracer.
func (t *tracing) Request(r *http.Request, route string) (context.Context, func(int, error)) {
	t.calls = append(t.calls, r.Method+" "+route)
	return r.Context(), func(status int, err error) { t.calls = append(t.calls, fmt.Sprint(status, " ", fault.CodeOf(err))) }
}

// Publish implements api.Tracer.
func (t *tracing) Publish(ctx context.Context, typ string, n int, own string) (context.Context, func(string, error)) {
	t.calls = append(t.calls, strings.TrimSpace(fmt.Sprint("send ", n, " ", typ, " ", own)))
	return event.WithTraceParent(ctx, hostSpan), func(id string, err error) {
		t.calls = append(t.calls, fmt.Sprint("sent ", id != "", " ", fault.CodeOf(err)))
	}
}

// TestRequestsAreTraced: which calls a request leads to, and which traceparent its events have.
func TestRequestsAreTraced(t *testing.T) {
	const one = `{"event_type":"t","data":{}}`
	own := `{"event_type":"t","data":{},"metadata":{"traceparent":"` + producerSpan + `"}}`
	for _, tt := range []struct {
		name, method, path, body string
		headers                  []string
		want                     string
		events                   string // the traceparents of those that are published
	}{
		{"an event", "POST", "/api/v1/events", one, nil, "POST /api/v1/events; send 1 t; sent true ; 202 ", hostSpan},
		{"with its own", "POST", "/api/v1/events", own, nil, "POST /api/v1/events; send 1 t " + producerSpan + "; sent true ; 202 ", producerSpan},
		{"a batch", "POST", "/api/v1/events", "[" + one + "," + own + "]", nil, "POST /api/v1/events; send 2; sent false ; 202 ", hostSpan + " " + producerSpan},
		{"an invalid one", "POST", "/api/v1/events", `{"event_type":"T T"}`, nil, "POST /api/v1/events; send 1 T T; sent false invalid; 400 invalid", ""},
		{"a CloudEvent", "POST", "/api/v1/events", `{"specversion":"1.0","id":"1","source":"/s","type":"t"}`,
			[]string{"Content-Type: application/cloudevents+json"}, "POST /api/v1/events; send 1 t; sent true ; 202 ", hostSpan},
		{"CloudEvents", "POST", "/api/v1/events", `[{"specversion":"1.0","id":"1","source":"/s","type":"t"}]`,
			[]string{"Content-Type: application/cloudevents-batch+json"}, "POST /api/v1/events; send 1; sent false ; 202 ", hostSpan},
		{"an order", "POST", "/api/v1/orders", `{"id":"o","customer_id":"c","currency":"EUR","items":[{"sku":"s","quantity":1,"unit_price_cents":2}]}`,
			nil, "POST /api/v1/orders; send 1 order_status_changed; sent true ; 201 ", ""},
		{"a list", "GET", "/api/v1/events", "", nil, "GET /api/v1/events; 200 ", ""},
		{"without a token", "POST", "/api/v1/events", one, []string{"Authorization: -"}, "", ""},
		{"a probe", "GET", "/healthz", "", nil, "", ""},
		{"no endpoint", "GET", "/api/v1/nothing", "", nil, "", ""},
	} {
		env := setup(t)
		tracer := new(tracing)
		env.cfg.Tracer = tracer
		w := call(newServer(t, env.cfg).Handler(), tt.method, tt.path, tt.body, tt.headers...)
		if got := strings.Join(tracer.calls, "; "); got != tt.want {
			t.Errorf("%s: %d %s\ngot  %s\nwant %s", tt.name, w.Code, w.Body, got, tt.want)
		}
		var events []string
		if tt.events != "" {
			for _, rec := range env.parts.log {
				events = append(events, rec.Event.Metadata().TraceParent)
			}
			if got := strings.Join(events[max(0, len(events)-len(strings.Fields(tt.events))):], " "); got != tt.events {
				t.Errorf("%s: the events have %s, want %s", tt.name, got, tt.events)
			}
		}
	}
}
