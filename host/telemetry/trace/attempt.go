package trace

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/spec"
)

// Attempt returns the traceparent of an attempt that starts. For an attempt that is not
// sampled it is that of the event, which may be "".
func (t *Tracer) Attempt(_ string, a event.Attempt) string {
	parent := parentOf(a.Event)
	if !t.sampled(parent) {
		return a.Event.Metadata().TraceParent
	}
	return format(trace.NewSpanContext(trace.SpanContextConfig{TraceID: parent.TraceID(), SpanID: randomSpan(), TraceFlags: trace.FlagsSampled}))
}

// Ended records an attempt, by the delivery that follows from it and the traceparent from
// Attempt, and the whole delivery once its outcome is final.
func (t *Tracer) Ended(rec event.Record, d event.Delivery, traceparent string) {
	own, parent := parse(traceparent), parentOf(rec.Event)
	if !own.IsValid() || traceparent == rec.Event.Metadata().TraceParent {
		return
	}
	attributes := append(describe(rec.Event), system, attribute.String("messaging.operation.type", "process"),
		attribute.String("messaging.consumer.group.name", spec.PluginOf(d.Handler)), attribute.Int64("berth.seq", int64(rec.Seq)),
		attribute.String("berth.status", string(d.Status)))
	delivery := trace.NewSpanContext(trace.SpanContextConfig{TraceID: parent.TraceID(), SpanID: deliverySpan(parent.TraceID(), rec.Seq, d),
		TraceFlags: trace.FlagsSampled, Remote: true})
	began, published := d.At.Add(-d.Duration), publishedAt(rec.Event, d)
	more := append(attributes[:len(attributes):len(attributes)], attribute.Int("berth.attempt", d.Attempts),
		attribute.Int64("berth.fuel", int64(d.Fuel)), attribute.String("berth.module.sha256", d.SHA256))
	if d.Instance > 0 {
		more = append(more, attribute.Int("berth.instance", d.Instance))
	}
	if d.Attempts == 1 {
		more = append(more, attribute.Float64("berth.wait_ms", float64(began.Sub(published))/float64(time.Millisecond)))
	}
	t.record(own, delivery, "process "+spec.PluginOf(d.Handler), trace.SpanKindConsumer, began, d, more)
	if d.Status.Final() {
		all := append(attributes, attribute.Int("berth.attempts", d.Attempts))
		t.record(delivery, parent, "deliver "+spec.PluginOf(d.Handler), trace.SpanKindInternal, published, d, all)
	}
}

// record exports a span that has ended, with this id and parent.
func (t *Tracer) record(own, parent trace.SpanContext, name string, kind trace.SpanKind, from time.Time, d event.Delivery, all []attribute.KeyValue) {
	ctx := context.WithValue(context.Background(), givenKey{}, own)
	if parent.SpanID().IsValid() {
		ctx = trace.ContextWithRemoteSpanContext(ctx, parent)
	}
	_, span := t.spans.Start(ctx, name, trace.WithSpanKind(kind), trace.WithTimestamp(from), trace.WithAttributes(all...))
	if d.ErrorClass != "" {
		span.SetAttributes(attribute.String("error.type", string(d.ErrorClass)))
		span.SetStatus(codes.Error, string(d.ErrorClass))
	}
	span.End(trace.WithTimestamp(d.At))
}

// parentOf returns the span that published an event. An event without one, such as of a time
// when the host did not trace, has a trace that follows from its id, without a parent.
func parentOf(ev *event.Event) trace.SpanContext {
	if parent := parse(ev.Metadata().TraceParent); parent.IsValid() {
		return parent
	}
	sum := sha256.Sum256([]byte(ev.ID()))
	return trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID(sum[:16])})
}

// sampled returns the sampler's decision about the descendants of a span.
func (t *Tracer) sampled(parent trace.SpanContext) bool {
	ctx := context.Background()
	if parent.SpanID().IsValid() {
		ctx = trace.ContextWithRemoteSpanContext(ctx, parent)
	}
	return t.sampler.ShouldSample(sdk.SamplingParameters{ParentContext: ctx, TraceID: parent.TraceID()}).Decision == sdk.RecordAndSample
}

// deliverySpan returns the id of a delivery's span. All attempts up to a final outcome have
// the same time of the first one, also across restarts; a redrive or replay has another.
func deliverySpan(id trace.TraceID, seq uint64, d event.Delivery) trace.SpanID {
	text := binary.BigEndian.AppendUint64(append([]byte(d.Handler), 0), seq)
	text = binary.BigEndian.AppendUint64(text, uint64(d.FirstAttempt.UnixNano()))
	sum := sha256.Sum256(append(text, id[:]...))
	return trace.SpanID(sum[:8])
}

// publishedAt returns when an event was published, in milliseconds: its id has the time of
// the host, unlike the time in its metadata, which may be the producer's. It is not after the
// first attempt.
func publishedAt(ev *event.Event, d event.Delivery) time.Time {
	first := d.FirstAttempt
	if first.IsZero() {
		first = d.At.Add(-d.Duration)
	}
	if id, err := uuid.Parse(ev.ID()); err == nil && id.Version() == 7 {
		if at := time.UnixMilli(int64(binary.BigEndian.Uint64(id[:8]) >> 16)); at.Before(first) {
			return at
		}
	}
	return first
}

// randomSpan returns the id of a new span.
func randomSpan() (id trace.SpanID) {
	for !id.IsValid() {
		binary.BigEndian.PutUint64(id[:], rand.Uint64())
	}
	return id
}

// givenKey is the key of the ids of a span that is recorded afterwards.
type givenKey struct{}

// ids makes the ids of spans.
type ids struct{}

// NewIDs implements sdk.IDGenerator.
func (ids) NewIDs(ctx context.Context) (trace.TraceID, trace.SpanID) {
	if given, ok := ctx.Value(givenKey{}).(trace.SpanContext); ok {
		return given.TraceID(), given.SpanID()
	}
	var id trace.TraceID
	for !id.IsValid() {
		binary.BigEndian.PutUint64(id[:8], rand.Uint64())
		binary.BigEndian.PutUint64(id[8:], rand.Uint64())
	}
	return id, randomSpan()
}

// NewSpanID implements sdk.IDGenerator.
func (ids) NewSpanID(ctx context.Context, _ trace.TraceID) trace.SpanID {
	if given, ok := ctx.Value(givenKey{}).(trace.SpanContext); ok {
		return given.SpanID()
	}
	return randomSpan()
}
