package trace

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
)

// scope is the name of the instrumentation.
const scope = "github.com/berth-host/berth"

// closeTimeout bounds the flush of the last spans.
const closeTimeout = 2 * time.Second

// Tracer records spans. Make it with Open, and close it.
type Tracer struct {
	provider *sdk.TracerProvider
	exporter *reporting
	spans    trace.Tracer
	sampler  sdk.Sampler
	logger   *slog.Logger
}

// header is the form of a span's context in headers and metadata.
type header struct{ value string }

// Get implements propagation.TextMapCarrier.
func (h *header) Get(key string) string {
	if key == "traceparent" {
		return h.value
	}
	return ""
}

// Set implements propagation.TextMapCarrier.
func (h *header) Set(key, value string) {
	if key == "traceparent" {
		h.value = value
	}
}

// Keys implements propagation.TextMapCarrier.
func (h *header) Keys() []string { return []string{"traceparent"} }

// parse returns the span of a traceparent; one that is not valid for "" or another text.
func parse(traceparent string) trace.SpanContext {
	if traceparent == "" {
		return trace.SpanContext{}
	}
	ctx := propagation.TraceContext{}.Extract(context.Background(), &header{traceparent})
	return trace.SpanContextFromContext(ctx)
}

// format returns the traceparent of a span.
func format(span trace.SpanContext) string {
	var h header
	propagation.TraceContext{}.Inject(trace.ContextWithSpanContext(context.Background(), span), &h)
	return h.value
}

// Request starts the span of a request at a route, whose parent is the header traceparent. The
// context is for what the request does. end takes the status of the answer, and the error
// behind it or nil.
func (t *Tracer) Request(r *http.Request, route string) (ctx context.Context, end func(status int, err error)) {
	ctx = r.Context()
	if given := r.Header.Values("traceparent"); len(given) == 1 {
		ctx = trace.ContextWithRemoteSpanContext(ctx, parse(given[0]))
	}
	ctx, span := t.spans.Start(ctx, r.Method+" "+route, trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(
		attribute.String("http.request.method", r.Method), attribute.String("http.route", route)))
	return ctx, func(status int, err error) {
		span.SetAttributes(attribute.Int("http.response.status_code", status))
		if err != nil {
			span.SetAttributes(attribute.String("error.type", string(fault.CodeOf(err))))
		}
		if status >= http.StatusInternalServerError {
			span.SetStatus(codes.Error, "")
		}
		span.End()
	}
}

// Publish starts the span of publishing events: one of a type, whose own traceparent is own, or
// n with "" for both. event.TraceParentOf the context is for those without a traceparent of
// their own. end takes the id of the one event, or "".
func (t *Tracer) Publish(ctx context.Context, typ string, n int, own string) (_ context.Context, end func(id string, err error)) {
	name, attributes := "send", []attribute.KeyValue{system, attribute.String("messaging.operation.type", "send")}
	if _, err := event.ParseType(typ); err == nil { // it is not checked yet
		name += " " + typ
		attributes = append(attributes, attribute.String("messaging.destination.name", typ))
	}
	if n > 1 {
		attributes = append(attributes, attribute.Int("messaging.batch.message_count", n))
	}
	ctx, span := t.spans.Start(ctx, name, trace.WithSpanKind(trace.SpanKindProducer), trace.WithAttributes(attributes...))
	if producer := parse(own); producer.IsValid() {
		span.AddLink(trace.Link{SpanContext: producer}) // the deliveries are its descendants
	}
	ctx = event.WithTraceParent(ctx, format(span.SpanContext()))
	return ctx, func(id string, err error) {
		if id != "" {
			span.SetAttributes(attribute.String("messaging.message.id", id))
		}
		finish(span, err)
	}
}

// Commit starts the span of the transaction that stores n events.
func (t *Tracer) Commit(ctx context.Context, n int) (_ context.Context, end func(error)) {
	ctx, span := t.spans.Start(ctx, "commit", trace.WithAttributes(attribute.Int("messaging.batch.message_count", n)))
	return ctx, func(err error) { finish(span, err) }
}

// finish ends a span of the host's own work.
func finish(span trace.Span, err error) {
	if err != nil {
		span.SetAttributes(attribute.String("error.type", string(fault.CodeOf(err))))
		span.SetStatus(codes.Error, "")
	}
	span.End()
}

// system names what the events are of.
var system = attribute.String("messaging.system", "berth")

// describe returns what spans say of an event.
func describe(ev *event.Event) []attribute.KeyValue {
	return []attribute.KeyValue{
		attribute.String("messaging.destination.name", string(ev.Type())),
		attribute.String("messaging.message.id", ev.ID()),
		attribute.String("messaging.message.conversation_id", ev.Metadata().CorrelationID),
	}
}

// Close exports the spans that wait, for at most 2 s.
func (t *Tracer) Close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, closeTimeout)
	defer cancel()
	err := t.provider.Shutdown(ctx)
	if err == nil {
		return nil
	}
	t.logger.Warn("last spans not exported", "error", err)
	_ = t.exporter.Shutdown(ctx) // ends an export that the shutdown above has not waited for
	return nil
}
