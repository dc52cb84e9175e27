package event

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/berth-host/berth/host/fault"
)

// ParseDraft reads a producer's native envelope:
//
//	{"event_type", "data"?, "metadata"?: {"idempotency_key"?, "source"?, "subject"?, "time"?, "correlation_id"?, "causation_id"?, "traceparent"?}}
//
// Unknown keys are refused, and so are the ones the host gives (event_id,
// hops): a producer that sets them expects something it would not get. Errors
// are fault.Invalid with the field that is wrong.
func ParseDraft(body []byte) (Draft, error) {
	if !utf8.Valid(body) {
		return Draft{}, fault.Field("body", "the body is not valid UTF-8")
	}
	var wire struct {
		Type     *string         `json:"event_type"`
		Data     json.RawMessage `json:"data"`
		Metadata *struct {
			EventID        json.RawMessage `json:"event_id"`
			Hops           json.RawMessage `json:"hops"`
			IdempotencyKey string          `json:"idempotency_key"`
			Source         string          `json:"source"`
			Subject        string          `json:"subject"`
			Time           *time.Time      `json:"time"`
			CorrelationID  string          `json:"correlation_id"`
			CausationID    string          `json:"causation_id"`
			TraceParent    string          `json:"traceparent"`
		} `json:"metadata"`
	}
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
			d.Time = *m.Time
		}
	}
	return d, nil
}

// DecodeStrict decodes one JSON value into v. Unknown keys, a second value and
// wrong types are fault.Invalid errors that name the field.
func DecodeStrict(body []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return decodeError(err, len(body))
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return fault.Field("body", "there is something after the JSON value")
	}
	return nil
}

func decodeError(err error, size int) error {
	var wrongType *json.UnmarshalTypeError
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &wrongType):
		want := wrongType.Type.String()
		switch wrongType.Type.Kind().String() {
		case "struct", "map":
			want = "an object"
		case "slice":
			want = "a list"
		case "string":
			want = "a string"
		case "bool":
			want = "true or false"
		case "int", "int64", "uint64":
			want = "a whole number"
		}
		return fault.Field(wrongType.Field, "must be %s, not %s", want, wrongType.Value)
	case errors.As(err, &syntax):
		return fault.Field("body", "malformed JSON at byte %d: %v", syntax.Offset, syntax)
	case errors.Is(err, io.EOF):
		return fault.Field("body", "the body is empty")
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fault.Field("body", "malformed JSON: it ends at byte %d, in the middle of a value", size)
	}
	text := strings.TrimPrefix(err.Error(), "json: ")
	if name, ok := strings.CutPrefix(text, "unknown field "); ok {
		return fault.Field(strings.Trim(name, `"`), "is not a known key here")
	}
	return fault.Field("body", "%s", text)
}
