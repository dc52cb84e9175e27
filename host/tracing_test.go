package host

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/berth-host/berth/host/marketplace"
	"github.com/berth-host/berth/host/telemetry/trace"
	"github.com/berth-host/berth/host/wire"
)

// tracedHost is a host whose spans are in memory. Its plugin relay takes changes of orders:
// it sends a request to a server, emits an event for the plugin echo, and asks for a retry
// once.
type tracedHost struct {
	*testHost
	spans *tracetest.InMemoryExporter

	mu      sync.Mutex
	headers []string // traceparent of each request to the server
}

func startTracedHost(t *testing.T, engine string) *tracedHost {
	t.Helper()
	h := &tracedHost{spans: tracetest.NewInMemoryExporter()}
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.headers = append(h.headers, r.Header.Get("Traceparent"))
	}))
	t.Cleanup(server.Close)
	address := server.Listener.Addr().String()
	plugins := t.TempDir()
	for name, manifest := range map[string]string{
		"relay": `{"name":"relay","subscribes":[{"event_type":"order_status_changed"}],"capabilities":[{"name":"emit","event_types":["relayed"],"reason":"x"},{"name":"http","hosts":["` + address + `"],"reason":"x"}]}`,
		"echo":  `{"name":"echo","subscribes":[{"event_type":"relayed"}]}`,
	} {
		wasm, err := os.ReadFile("../testdata/guests/" + name + ".wasm")
		check(t, err)
		check(t, os.WriteFile(filepath.Join(plugins, name+".wasm.json"), []byte(manifest), 0o600))
		check(t, os.WriteFile(filepath.Join(plugins, name+".wasm"), wasm, 0o600))
	}
	tracer, err := trace.Open(t.Context(), trace.Config{Logger: slog.New(slog.DiscardHandler), Exporter: h.spans})
	check(t, err)
	h.testHost = startHost(t, fmt.Sprintf(`plugin_directories: [%s]
bus: {engine: %s}
routes: {"*": {}}
defaults: {retry: {backoff: 10ms}}
handlers:
  relay:
    config: {method: GET, url: "http://%s/path"}
    grants: [{name: emit, event_types: [relayed]}, {name: http, hosts: ["%s"]}]
`, plugins, engine, address, address), marketplace.Config{}, func(c *Config) { c.tracer = tracer })
	check(t, h.host.Ready(t.Context()))
	return h
}

// hops returns the spans of a trace as a tree, one line each, indented, in the order of their
// names below each parent.
func (h *tracedHost) hops(traceID string) string {
	spans := h.spans.GetSpans()
	var b strings.Builder
	var show func(parent string, depth int)
	show = func(parent string, depth int) {
		var lines []string
		for _, s := range spans {
			if s.SpanContext.TraceID().String() == traceID && s.Parent.SpanID().String() == parent {
				lines = append(lines, s.Name+" "+s.SpanContext.SpanID().String())
			}
		}
		slices.Sort(lines)
		for _, line := range lines {
			at := strings.LastIndexByte(line, ' ')
			b.WriteString(strings.Repeat("  ", depth) + line[:at] + "\n")
			show(line[at+1:], depth+1)
		}
	}
	show(clientSpan, 0)
	return b.String()
}

// The trace and the span of the client, in its header.
const (
	clientTrace = "0af7651916cd43dd8448eb211c80319c"
	clientSpan  = "b7ad6b7169203331"
)

// change creates an order within the client's trace, and waits until the handlers are done.
func (h *tracedHost) change() (eventID string) {
	t := h.t
	t.Helper()
	body := strings.NewReader(`{"id":"o-1","customer_id":"c","currency":"EUR","items":[{"sku":"s","quantity":1,"unit_price_cents":100}]}`)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, h.host.URL()+"/api/v1/orders", body)
	check(t, err)
	req.Header.Set("Authorization", "Bearer "+h.token)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Traceparent", "00-"+clientTrace+"-"+clientSpan+"-01")
	resp, err := http.DefaultClient.Do(req)
	check(t, err)
	check(t, resp.Body.Close())
	if resp.StatusCode != http.StatusCreated {
		t.Fatalf("status %d", resp.StatusCode)
	}
	deadline := time.Now().Add(time.Minute) // reached only by a hang
	for {
		done := 0
		for _, s := range h.spans.GetSpans() {
			if strings.HasPrefix(s.Name, "deliver ") {
				done++
			}
		}
		if done == 2 {
			return resp.Header.Get("Berth-Event-Id")
		}
		if time.Now().After(deadline) {
			t.Fatalf("the deliveries do not end: %s", h.hops(clientTrace))
		}
		var list wire.List[wire.Event]
		h.call(http.MethodGet, "/api/v1/orders", nil, &list) // not a hop of this trace
	}
}

// TestTraceOfOrderChangeHasEveryHop: from the client's request to the child's delivery, with
// the retry and the requests of the guest.
func TestTraceOfOrderChangeHasEveryHop(t *testing.T) {
	for _, engine := range []string{"sqlite", "memory"} {
		t.Run(engine, func(t *testing.T) {
			h := startTracedHost(t, engine)
			id := h.change()
			const want = `POST /api/v1/orders
  send order_status_changed
    commit
    deliver relay
      process relay
        GET
      process relay
        GET
        deliver echo
          process echo
`
			sorted := func(text string) string { // the attempts have equal names
				lines := strings.Split(text, "\n")
				slices.Sort(lines)
				return strings.Join(lines, "\n")
			}
			if got := h.hops(clientTrace); sorted(got) != sorted(want) {
				t.Fatalf("got\n%swant\n%s", got, want)
			}
			h.checkSpans(id)
		})
	}
}

// checkSpans checks what the spans say.
func (h *tracedHost) checkSpans(id string) {
	t := h.t
	t.Helper()
	sent := make(map[string]bool) // the spans of the guest's requests
	var attempts []string
	var delivery, first time.Duration
	for _, s := range h.spans.GetSpans() {
		if s.SpanContext.TraceID().String() != clientTrace {
			continue
		}
		if s.EndTime.Before(s.StartTime) {
			t.Errorf("%s ends before it starts", s.Name)
		}
		about := make(map[attribute.Key]attribute.Value)
		for _, a := range s.Attributes {
			about[a.Key] = a.Value
			if strings.Contains(a.Value.String(), "EUR") || strings.Contains(a.Value.String(), "/path") {
				t.Errorf("%s has data: %s", s.Name, a.Value.String())
			}
		}
		switch s.Name {
		case "GET":
			sent["00-"+clientTrace+"-"+s.SpanContext.SpanID().String()+"-01"] = true
			if about["http.response.status_code"].AsInt64() != http.StatusOK {
				t.Errorf("a request of the guest: %v", s.Attributes)
			}
		case "process relay":
			attempts = append(attempts, fmt.Sprint(about["berth.attempt"].AsInt64(), " ", about["berth.status"].AsString(), " ", about["error.type"].AsString(), " ", s.Status.Code))
			if about["berth.attempt"].AsInt64() == 1 {
				first = s.EndTime.Sub(s.StartTime)
			}
		case "deliver relay":
			delivery = s.EndTime.Sub(s.StartTime)
			if about["berth.attempts"].AsInt64() != 2 || about["messaging.message.id"].AsString() != id || s.Status.Code != codes.Unset {
				t.Errorf("the delivery: %v, %v", s.Attributes, s.Status)
			}
		case "send order_status_changed":
			if about["messaging.message.id"].AsString() != id {
				t.Errorf("publishing: %v", s.Attributes)
			}
		case "POST /api/v1/orders":
			if about["http.response.status_code"].AsInt64() != http.StatusCreated || about["http.route"].AsString() != "/api/v1/orders" {
				t.Errorf("the request: %v", s.Attributes)
			}
		}
	}
	slices.Sort(attempts)
	if got, want := strings.Join(attempts, "; "), "1 retrying retry Error; 2 ok  Unset"; got != want {
		t.Errorf("attempts: got %s, want %s", got, want)
	}
	if delivery <= first {
		t.Errorf("the delivery took %v, its first attempt %v", delivery, first)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.headers) != 2 || h.headers[0] == h.headers[1] || !sent[h.headers[0]] || !sent[h.headers[1]] {
		t.Errorf("the server got %q, the spans are %v", h.headers, sent)
	}
}
