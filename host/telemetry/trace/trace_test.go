package trace

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

func open(t *testing.T) (*Tracer, *tracetest.InMemoryExporter) {
	t.Helper()
	spans := tracetest.NewInMemoryExporter()
	tracer, err := Open(t.Context(), Config{Logger: slog.New(slog.DiscardHandler), Exporter: spans})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tracer.Close(context.Background()) })
	return tracer, spans
}

func record(t *testing.T, traceparent string) event.Record {
	t.Helper()
	ev, err := event.New(event.Draft{Type: "order_placed", TraceParent: traceparent})
	if err != nil {
		t.Fatal(err)
	}
	return event.Record{Seq: 7, Event: ev}
}

// TestEnvironment: which variables switch traces on, and which are refused.
func TestEnvironment(t *testing.T) {
	const address = "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318 "
	for _, tt := range []struct {
		env   string
		on    bool
		field string // of the error
	}{
		{"", false, ""},
		{"OTEL_SERVICE_NAME=x", false, ""},
		{address, true, ""},
		{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=https://collector/v1/traces", true, ""},
		{"OTEL_TRACES_EXPORTER=otlp", true, ""},
		{"OTEL_TRACES_EXPORTER=none " + address, false, ""},
		{"OTEL_SDK_DISABLED=true " + address, false, ""},
		{"OTEL_SDK_DISABLED=false " + address, true, ""},
		{"OTEL_TRACES_EXPORTER=console", false, "OTEL_TRACES_EXPORTER"},
		{"OTEL_EXPORTER_OTLP_ENDPOINT=127.0.0.1:4318", false, "OTEL_EXPORTER_OTLP_ENDPOINT"},
		{"OTEL_EXPORTER_OTLP_ENDPOINT=ftp://x", false, "OTEL_EXPORTER_OTLP_ENDPOINT"},
		{"OTEL_EXPORTER_OTLP_PROTOCOL=grpc " + address, false, "OTEL_EXPORTER_OTLP_PROTOCOL"},
		{"OTEL_EXPORTER_OTLP_PROTOCOL=grpc OTEL_EXPORTER_OTLP_TRACES_PROTOCOL=http/protobuf " + address, true, ""},
		{"OTEL_TRACES_SAMPLER=always_on OTEL_TRACES_EXPORTER=otlp", true, ""},
		{"OTEL_TRACES_SAMPLER=never OTEL_TRACES_EXPORTER=otlp", true, "OTEL_TRACES_SAMPLER"},
		{"OTEL_TRACES_SAMPLER=traceidratio OTEL_TRACES_SAMPLER_ARG=1.5", false, "OTEL_TRACES_SAMPLER_ARG"},
		{"OTEL_TRACES_SAMPLER=parentbased_traceidratio OTEL_TRACES_SAMPLER_ARG=NaN", false, "OTEL_TRACES_SAMPLER_ARG"},
		{"OTEL_TRACES_SAMPLER=parentbased_traceidratio OTEL_TRACES_SAMPLER_ARG=0.1", false, ""},
	} {
		getenv := func(name string) string {
			for pair := range strings.FieldsSeq(tt.env) {
				if key, value, _ := strings.Cut(pair, "="); key == name {
					return value
				}
			}
			return ""
		}
		on, err := wanted(getenv)
		if err == nil {
			_, err = samplerOf(getenv)
		}
		var f *fault.Error
		if errors.As(err, &f); on != tt.on || (err != nil) != (tt.field != "") || err != nil && f.Field != tt.field {
			t.Errorf("%q: got %v, %v; want %v, %q", tt.env, on, err, tt.on, tt.field)
		}
	}
}

// TestSpansOfOneDelivery: the spans of attempts before and after a restart, of other hosts
// even, have the same parent, a redrive has another.
func TestSpansOfOneDelivery(t *testing.T) {
	rec := record(t, parent)
	first := time.Now()
	end := func(attempts int, status event.Status, first time.Time) (delivery string, spans tracetest.SpanStubs) {
		tracer, exported := open(t)
		d := event.Delivery{Handler: "h", Seq: 7, Status: status, Attempts: attempts, Duration: time.Millisecond, At: first.Add(time.Second), FirstAttempt: first}
		if status == event.StatusDead {
			d.ErrorClass, d.ErrorMessage = event.ClassTrap, "the customer's data"
		}
		tracer.Ended(rec, d, tracer.Attempt("h", event.Attempt{Seq: 7, Event: rec.Event, Number: attempts}))
		spans = exported.GetSpans()
		return spans[0].Parent.SpanID().String(), spans
	}
	retrying, one := end(1, event.StatusRetrying, first)
	dead, two := end(2, event.StatusDead, first)
	redriven, _ := end(1, event.StatusOK, first.Add(time.Hour))
	if len(one) != 1 || len(two) != 2 {
		t.Fatalf("%d and %d spans", len(one), len(two))
	}
	if retrying != dead || dead != two[1].SpanContext.SpanID().String() || redriven == dead {
		t.Errorf("the deliveries are %s, %s, %s, and the span is %v", retrying, dead, redriven, two[1].SpanContext)
	}
	if two[1].Parent.SpanID().String() != "b7ad6b7169203331" || two[1].Status.Description != "trap" {
		t.Errorf("got %+v", two[1])
	}
	if text := fmt.Sprintf("%+v", two); strings.Contains(text, "customer") {
		t.Errorf("a span has the text of an error: %s", text)
	}
}

// TestEventWithoutTraceparent: its deliveries have a trace of their own, which they share.
func TestEventWithoutTraceparent(t *testing.T) {
	tracer, exported := open(t)
	rec := record(t, "")
	for _, handler := range []string{"a", "b"} {
		d := event.Delivery{Handler: handler, Seq: 7, Status: event.StatusOK, Attempts: 1, At: time.Now(), FirstAttempt: time.Now()}
		tracer.Ended(rec, d, tracer.Attempt(handler, event.Attempt{Seq: 7, Event: rec.Event, Number: 1}))
	}
	spans := exported.GetSpans()
	if len(spans) != 4 {
		t.Fatalf("%d spans", len(spans))
	}
	for _, s := range spans {
		if s.SpanContext.TraceID() != spans[0].SpanContext.TraceID() || strings.HasPrefix(s.Name, "deliver") == s.Parent.IsValid() {
			t.Errorf("%s: %v, parent %v", s.Name, s.SpanContext, s.Parent)
		}
	}
}

// TestUnsampledAttempt: it has no span, and its children and requests get the event's
// traceparent, which says so.
func TestUnsampledAttempt(t *testing.T) {
	tracer, exported := open(t)
	unsampled := strings.TrimSuffix(parent, "01") + "00"
	rec := record(t, unsampled)
	traceparent := tracer.Attempt("h", event.Attempt{Seq: 7, Event: rec.Event, Number: 1})
	tracer.Ended(rec, event.Delivery{Handler: "h", Seq: 7, Status: event.StatusOK, Attempts: 1, At: time.Now()}, traceparent)
	if n := len(exported.GetSpans()); traceparent != unsampled || n != 0 {
		t.Errorf("got %q and %d spans", traceparent, n)
	}
}

// TestGuestRequests: which traceparent a request has, by the attempt's and the guest's own.
func TestGuestRequests(t *testing.T) {
	other := "00-11111111111111111111111111111111-2222222222222222-01"
	var got http.Header
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r.Header
		w.WriteHeader(http.StatusTeapot)
	}))
	defer server.Close()
	for _, tt := range []struct {
		name, attempt, own string
		want               string // "" none, "span" that of the span, or the guest's own
		spans              int
	}{
		{"not traced", "", "", "", 0},
		{"not traced, its own", "", other, other, 0},
		{"traced", parent, "", "span", 1},
		{"its event's", parent, parent, "span", 1},
		{"its own", parent, other, other, 1},
		{"not valid", parent, "x", "span", 1},
	} {
		tracer, exported := open(t)
		base := &http.Transport{}
		client := http.Client{Transport: tracer.Transport(base)}
		ctx := t.Context()
		if tt.attempt != "" {
			ctx = event.WithTraceParent(ctx, tt.attempt)
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+"/?secret=1", nil)
		if err != nil {
			t.Fatal(err)
		}
		if tt.own != "" {
			req.Header.Set("traceparent", tt.own)
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		base.CloseIdleConnections()
		spans := exported.GetSpans()
		if len(spans) != tt.spans {
			t.Fatalf("%s: %d spans", tt.name, len(spans))
		}
		want := tt.want
		if want == "span" {
			want = format(spans[0].SpanContext)
		}
		if got.Get("traceparent") != want || req.Header.Get("traceparent") != tt.own {
			t.Errorf("%s: sent %q, want %q; the request has %q", tt.name, got.Get("traceparent"), want, req.Header.Get("traceparent"))
		}
		if text := fmt.Sprintf("%+v", spans); strings.Contains(text, "secret") {
			t.Errorf("%s: a span has the address: %s", tt.name, text)
		}
	}
}

// TestFailedExportsAreReported: with one warning in a while, which has the number of spans.
func TestFailedExportsAreReported(t *testing.T) {
	var log bytes.Buffer
	now := time.Unix(1_000_000, 0)
	r := &reporting{SpanExporter: &rejecting{}, logger: slog.New(slog.NewTextHandler(&log, nil)), now: func() time.Time { return now }}
	export := func(n int) int {
		log.Reset()
		if err := r.ExportSpans(t.Context(), make(tracetest.SpanStubs, n).Snapshots()); err != nil {
			t.Fatal(err)
		}
		return strings.Count(log.String(), "level=WARN")
	}
	if n := export(2); n != 1 || !strings.Contains(log.String(), "spans=2") || !strings.Contains(log.String(), "refused") {
		t.Errorf("the first: %s", &log)
	}
	if n := export(3); n != 0 {
		t.Errorf("soon after: %s", &log)
	}
	now = now.Add(warnEvery)
	if n := export(4); n != 1 || !strings.Contains(log.String(), "spans=7") {
		t.Errorf("later: %s", &log)
	}
}

// rejecting is an exporter whose collector refuses connections.
type rejecting struct{ *tracetest.NoopExporter }

// ExportSpans implements sdk.SpanExporter.
func (*rejecting) ExportSpans(context.Context, []sdk.ReadOnlySpan) error {
	return errors.New("connection refused")
}

// TestExport: the variables of the environment lead spans to a collector, with the resource
// that they name; Close exports what waits.
func TestExport(t *testing.T) {
	requests := make(chan *collector.ExportTraceServiceRequest, 8)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		got := new(collector.ExportTraceServiceRequest)
		if err == nil {
			err = proto.Unmarshal(body, got)
		}
		if err != nil || r.URL.Path != "/v1/traces" || r.Header.Get("X-Key") != "k" {
			t.Errorf("%s %v: %v", r.URL, r.Header, err)
		}
		requests <- got
	}))
	defer server.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", server.URL)
	t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-key=k")
	t.Setenv("OTEL_SERVICE_NAME", "shop")
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
	tracer, err := Open(t.Context(), Config{Version: "1.2.3", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	_, end := tracer.Publish(t.Context(), "order_placed", 1, "")
	end("an-id", nil)
	if err := tracer.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	server.CloseClientConnections()
	text := (<-requests).String()
	for _, want := range []string{"shop", "1.2.3", "deployment.environment.name", "send order_placed", "an-id"} {
		if !strings.Contains(text, want) {
			t.Errorf("%s has no %s", text, want)
		}
	}
}

// TestCollectorThatDoesNotAnswer: spans beyond the queue are discarded, no method waits for
// the collector, and Close ends in spite of it.
func TestCollectorThatDoesNotAnswer(t *testing.T) {
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		<-release
	}))
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", server.URL)
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "1")
	var log lines
	tracer, err := Open(t.Context(), Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	for range 10_000 {
		_, end := tracer.Publish(t.Context(), "order_placed", 1, "")
		end("", nil)
	}
	if err := tracer.Close(t.Context()); err != nil { // the deadline is its own
		t.Fatal(err)
	}
	close(release)
	server.Close()
	if text := log.text(); !strings.Contains(text, "level=WARN") {
		t.Errorf("the log says %q", text)
	}
}

// lines is a log that is read while it is written.
type lines struct {
	mu  sync.Mutex
	all strings.Builder
}

// Write implements io.Writer.
func (l *lines) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.Write(line)
}

func (l *lines) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.String()
}
