package event

import "context"

// traceParentKey is the key of a traceparent in a context.
type traceParentKey struct{}

// WithTraceParent returns a context whose work belongs to a span, by its W3C traceparent.
func WithTraceParent(ctx context.Context, traceparent string) context.Context {
	return context.WithValue(ctx, traceParentKey{}, traceparent)
}

// TraceParentOf returns the traceparent of the span that the work belongs to, for the events
// that it publishes; "" when the host does not trace it.
func TraceParentOf(ctx context.Context) string {
	traceparent, _ := ctx.Value(traceParentKey{}).(string)
	return traceparent
}
