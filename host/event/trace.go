package event

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"strconv"
)

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

// RequestKey returns the idempotency key of the nth request, from 1, that a plugin sends for
// an event. It is the same when the event is delivered again.
func RequestKey(plugin, eventID string, n int) string {
	sum := sha256.Sum256([]byte("berth request\n" + plugin + "\n" + eventID + "\n" + strconv.Itoa(n)))
	return hex.EncodeToString(sum[:16])
}
