package trace

import (
	"net/http"
	"strconv"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/berth-host/berth/host/event"
)

// Transport returns a transport for the requests of guests: those of a traced attempt
// (event.TraceParentOf their context) have a span each and the header traceparent. A
// traceparent of the guest remains if it is of another trace, which is the guest's own; one
// of the same trace, such as that of its event, is replaced.
func (t *Tracer) Transport(next http.RoundTripper) http.RoundTripper { return transport{t, next} }

type transport struct {
	tracer *Tracer
	next   http.RoundTripper
}

// RoundTrip implements http.RoundTripper. The span ends with the headers of the response.
func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	text := event.TraceParentOf(r.Context())
	parent := parse(text)
	if !parent.IsValid() {
		return t.next.RoundTrip(r)
	}
	attributes := []attribute.KeyValue{attribute.String("http.request.method", r.Method), attribute.String("url.scheme", r.URL.Scheme),
		attribute.String("server.address", r.URL.Hostname())}
	if port, err := strconv.Atoi(r.URL.Port()); err == nil {
		attributes = append(attributes, attribute.Int("server.port", port))
	}
	ctx, span := t.tracer.spans.Start(trace.ContextWithRemoteSpanContext(r.Context(), parent), r.Method,
		trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(attributes...))
	defer span.End()
	if own := parse(r.Header.Get("traceparent")); !own.IsValid() || own.TraceID() == parent.TraceID() {
		r = r.Clone(ctx) // a transport must not change the request of its caller
		r.Header.Set("traceparent", format(span.SpanContext()))
	}
	resp, err := t.next.RoundTrip(r)
	switch {
	case err != nil:
		span.SetAttributes(attribute.String("error.type", "_OTHER"))
		span.SetStatus(codes.Error, "")
	default:
		span.SetAttributes(attribute.Int("http.response.status_code", resp.StatusCode))
		if resp.StatusCode >= http.StatusBadRequest {
			span.SetAttributes(attribute.String("error.type", strconv.Itoa(resp.StatusCode)))
			span.SetStatus(codes.Error, "")
		}
	}
	return resp, err
}
