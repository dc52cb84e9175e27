package cloudevents

import (
	"bytes"
	"net/url"
	"strings"

	sdk "github.com/cloudevents/sdk-go/v2/event"
	"github.com/cloudevents/sdk-go/v2/types"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
)

// Encode returns an event as a CloudEvent in the JSON format.
func Encode(ev *event.Event) ([]byte, error) {
	meta := ev.Metadata()
	source := types.ParseURIRef(sourceOf(meta.Source))
	if source == nil {
		return nil, fault.New(fault.Internal, "show event %s as a CloudEvent: the source %q is no URI-reference", ev.ID(), meta.Source)
	}
	// Not by the SDK's setters, which trim space.
	attributes := &sdk.EventContextV1{ID: idOf(ev.ID(), meta), Source: *source, Type: string(ev.Type()),
		Time: &types.Timestamp{Time: meta.Time}}
	if strings.TrimSpace(meta.Subject) != "" { // CloudEvents treat white space as empty
		attributes.Subject = &meta.Subject
	}
	out := sdk.Event{Context: attributes}
	for name, text := range map[string]string{traceParent: meta.TraceParent, correlation: meta.CorrelationID, causation: meta.CausationID} {
		if text != "" {
			out.SetExtension(name, text)
		}
	}
	if data := ev.Data(); data != "null" {
		out.SetDataContentType("application/json")
		out.DataEncoded = []byte(data)
	}
	if err := out.Validate(); err != nil {
		return nil, fault.New(fault.Internal, "show event %s as a CloudEvent: %w", ev.ID(), err)
	}
	var b bytes.Buffer
	if err := sdk.WriteJson(&out, &b); err != nil {
		return nil, fault.New(fault.Internal, "encode event %s as a CloudEvent: %w", ev.ID(), err)
	}
	return b.Bytes(), nil
}

// idOf returns the CloudEvent's id, if the idempotency key has it.
func idOf(eventID string, meta event.Metadata) string {
	if id, ok := strings.CutPrefix(meta.IdempotencyKey, meta.Source+" "); ok && strings.TrimSpace(id) != "" {
		return id
	}
	return eventID
}

// sourceOf converts a source, which may be any text, to a URI-reference.
func sourceOf(source string) string {
	if u, err := url.Parse(source); err == nil && strings.TrimSpace(u.String()) != "" && !strings.Contains(u.String(), " ") {
		return source
	}
	return url.QueryEscape(source) // which escapes every delimiter
}
