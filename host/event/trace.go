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

// idempotencyKeyKey is the key of an idempotency key in a context.
type idempotencyKeyKey struct{}

// WithIdempotencyKey returns a context whose request is repeated with this key.
func WithIdempotencyKey(ctx context.Context, key string) context.Context {
	return context.WithValue(ctx, idempotencyKeyKey{}, key)
}

// IdempotencyKeyOf returns the key of the request that is sent with a context; "" for none.
func IdempotencyKeyOf(ctx context.Context) string {
	key, _ := ctx.Value(idempotencyKeyKey{}).(string)
	return key
}
