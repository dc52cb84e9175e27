package main

import (
	"time"

	berth "github.com/berth-host/berth/abi/go"
)

// typed answers with the typed envelope.
func typed(ev *berth.Event) berth.Result {
	m := ev.Metadata()
	var answer berth.Object
	answer.Str("event_type", ev.Type()).
		Str("event_id", m.EventID).
		Str("idempotency_key", m.IdempotencyKey).
		Str("source", m.Source).
		Str("subject", m.Subject).
		Str("time", m.Time.Format(time.RFC3339Nano)).
		Str("correlation_id", m.CorrelationID).
		Str("causation_id", m.CausationID).
		Str("traceparent", m.Traceparent).
		Int("hops", int64(m.Hops)).
		Int("attempt", int64(ev.Attempt())).
		Bool("time_left", ev.Remaining() > 0)
	return answer.Result()
}

// field answers with the value at a JSON Pointer.
func field(ev *berth.Event) (berth.Result, error) {
	value, err := ev.Lookup(text(ev, "pointer"))
	var answer berth.Object
	return answered(answer.Str("value", value), err)
}

// request sends an HTTP request.
func request(ev *berth.Event) (berth.Result, error) {
	r := berth.Request{Method: text(ev, "method"), URL: text(ev, "url"), Body: []byte(text(ev, "body"))}
	if header, ok := ev.Field("/data/header"); ok {
		r.Headers = map[string]string{"x-conform": header}
	}
	response, err := berth.HTTP(r)
	var answer berth.Object
	answer.Int("status", int64(response.Status)).Str("body", string(response.Body)).Str("content_type", response.Headers["content-type"])
	return answered(&answer, err)
}
