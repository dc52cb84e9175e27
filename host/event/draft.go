package event

import (
	"encoding/json"
	"unicode/utf8"

	"github.com/berth-host/berth/host/fault"
)

// draftText is a producer's native envelope.
type draftText struct {
	Type     *string         `json:"event_type"`
	Data     json.RawMessage `json:"data"`
	Metadata *struct {
		EventID        json.RawMessage `json:"event_id"`
		Hops           json.RawMessage `json:"hops"`
		IdempotencyKey string          `json:"idempotency_key,omitempty"`
		Source         string          `json:"source,omitempty"`
		Subject        string          `json:"subject"`
		Time           *string         `json:"time"`
		CorrelationID  string          `json:"correlation_id,omitempty"`
		CausationID    string          `json:"causation_id,omitempty"`
		TraceParent    string          `json:"traceparent,omitempty"`
		DeliverAt      *string         `json:"deliver_at"`
		DeliverAfter   *string         `json:"deliver_after"`
	} `json:"metadata"`
}

// ParseDraft reads a producer's native envelope:
//
//	{"event_type", "data"?, "metadata"?: {"idempotency_key"?, "source"?, "subject"?, "time"?,
//	 "correlation_id"?, "causation_id"?, "traceparent"?, "deliver_at"?, "deliver_after"?}}
//
// Unknown and repeated keys are refused, and so are the ones the host gives (event_id,
// hops): a producer that sets them expects something it would not get. Errors
// are fault.Invalid with the field that is wrong.
func ParseDraft(body []byte) (Draft, error) {
	if !utf8.Valid(body) {
		return Draft{}, fault.Field("body", "the body is not valid UTF-8")
	}
	if d, ok := scanDraft(body); ok {
		return d, nil
	}
	return decodeDraft(body)
}

// decodeDraft reads any envelope; its errors name the field.
func decodeDraft(body []byte) (Draft, error) {
	var wire draftText
	if err := DecodeStrict(body, &wire); err != nil {
		return Draft{}, err
	}
	if wire.Type == nil {
		return Draft{}, fault.Field("event_type", "is required")
	}
	d := Draft{Type: *wire.Type, Data: wire.Data}
	if m := wire.Metadata; m != nil {
		if m.EventID != nil {
			return Draft{}, fault.Field("metadata.event_id", "is given by the host; use idempotency_key to name an event")
		}
		if m.Hops != nil {
			return Draft{}, fault.Field("metadata.hops", "is counted by the host")
		}
		d.IdempotencyKey, d.Source, d.Subject = m.IdempotencyKey, m.Source, m.Subject
		d.CorrelationID, d.CausationID, d.TraceParent = m.CorrelationID, m.CausationID, m.TraceParent
		if m.Time != nil {
			at, err := ParseTime(*m.Time)
			if err != nil {
				return Draft{}, fault.Field("metadata.time", "%v", err)
			}
			d.Time = at
		}
		var err error
		if d.Deferral, err = ParseDeferral(m.DeliverAt, m.DeliverAfter); err != nil {
			return Draft{}, err
		}
	}
	return d, nil
}
