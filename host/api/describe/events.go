package describe

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/berth-host/berth/host/api/cloudevents"
	"github.com/berth-host/berth/host/api/openapi"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/wire"
)

// newEvent is what a producer publishes; event.ParseDraft reads it.
type newEvent struct {
	EventType string            `json:"event_type" jsonschema:"pattern=^[a-z0-9][a-z0-9_.-]{0\\,127}$"`
	Data      json.RawMessage   `json:"data,omitempty"`
	Metadata  *newEventMetadata `json:"metadata,omitempty"`
}

type newEventMetadata struct {
	IdempotencyKey string     `json:"idempotency_key,omitempty" jsonschema:"maxLength=256,description=Same key and content: published once."`
	Source         string     `json:"source,omitempty" jsonschema:"maxLength=256,description=Who produced it; api by default."`
	Subject        string     `json:"subject,omitempty" jsonschema:"maxLength=256,description=What it is about; its events come in order."`
	Time           *time.Time `json:"time,omitempty"`
	CorrelationID  string     `json:"correlation_id,omitempty" jsonschema:"maxLength=256"`
	CausationID    string     `json:"causation_id,omitempty" jsonschema:"maxLength=256"`
	TraceParent    string     `json:"traceparent,omitempty" jsonschema:"pattern=^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$"`
	DeliverAt      *time.Time `json:"deliver_at,omitempty" jsonschema:"description=When it is due; at most a year ahead. A time in the past means now."`
	DeliverAfter   string     `json:"deliver_after,omitempty" jsonschema:"description=How long after acceptance it is due (15m or 36h); not together with deliver_at."`
}

// cloudEvent is an event in the JSON format of CloudEvents 1.0.
type cloudEvent struct {
	SpecVersion     string          `json:"specversion" jsonschema:"enum=1.0"`
	ID              string          `json:"id" jsonschema:"minLength=1"`
	Source          string          `json:"source" jsonschema:"minLength=1"`
	Type            string          `json:"type" jsonschema:"pattern=^[a-z0-9][a-z0-9_.-]{0\\,127}$"`
	Subject         string          `json:"subject,omitempty" jsonschema:"maxLength=256"`
	Time            *time.Time      `json:"time,omitempty"`
	DataContentType string          `json:"datacontenttype,omitempty"`
	TraceParent     string          `json:"traceparent,omitempty"`
	TraceState      string          `json:"tracestate,omitempty"`
	CorrelationID   string          `json:"correlationid,omitempty"`
	CausationID     string          `json:"causationid,omitempty"`
	DeliverAt       *time.Time      `json:"deliverat,omitempty" jsonschema:"description=When it is due; at most a year ahead."`
	DeliverAfter    string          `json:"deliverafter,omitempty" jsonschema:"description=How long after acceptance it is due (15m or 36h)."`
	Data            json.RawMessage `json:"data,omitempty"`
	DataBase64      string          `json:"data_base64,omitempty"`
}

// hello is the first event of a stream.
type hello struct {
	After uint64 `json:"after"` // the Seq after which it starts; the frame's id, too
}

// closing is the last event of a stream that the host ends.
type closing struct {
	Reason string `json:"reason"`
}

// batchOf is the schema of a batch of these.
func batchOf(item openapi.Schema) openapi.Schema {
	return openapi.Schema{"type": "array", "items": item, "minItems": 1, "maxItems": MaxBatch}
}

// eventOperations are about publishing and reading events.
func eventOperations() []openapi.Operation {
	eventID := openapi.Parameter{In: "path", Name: "id", Description: "The event's id, or else its idempotency key; listEvents finds " +
		"keys that are words of this API."}
	inBinary := func(name, description string) openapi.Parameter {
		return openapi.Parameter{In: "header", Name: name, Description: description + " (CloudEvents in binary mode.)"}
	}
	return append([]openapi.Operation{
		{Method: http.MethodPost, Path: "/api/v1/events", ID: "publish", Tag: tagEvents, Summary: "Publish an event, or a batch",
			Description: "202 means that it is stored: on disk, with the default engine. Of a batch either all events are valid or nothing is " +
				"published; " +
				"207 says that some keys were taken with other content, that the schemas of event types refuse some events, or that too many are not due yet, and which. CloudEvents 1.0 come structured, as a batch, or in binary " +
				"mode, with their attributes in headers that begin with ce- and any body.",
			Parameters: []openapi.Parameter{
				{In: "header", Name: "Idempotency-Key", Description: "The key of a single event that names none itself.",
					Schema: map[string]any{"type": "string", "minLength": 1, "maxLength": event.MaxText}},
				inBinary("ce-specversion", "1.0"), inBinary("ce-id", "Its id."), inBinary("ce-source", "Its source."), inBinary("ce-type", "Its type."),
				inBinary("ce-subject", "Its subject."), inBinary("ce-time", "When it happened."),
			},
			Body: []openapi.Content{
				{Value: openapi.OneOf{newEvent{}, batchOf(openapi.Schema{"$ref": "#/components/schemas/NewEvent"})}},
				{Media: cloudevents.Structured, Value: cloudEvent{}},
				{Media: cloudevents.Batch, Value: batchOf(openapi.Schema{"$ref": "#/components/schemas/CloudEventInput"})},
			},
			Answers: []openapi.Answer{
				{Status: http.StatusAccepted, Description: "It is stored.",
					Content: body(openapi.OneOf{wire.Receipt{}, wire.List[wire.BatchReceipt]{}})},
				{Status: http.StatusMultiStatus, Description: "Of the batch some events are stored; the others have an error.",
					Content: body(wire.List[wire.BatchReceipt]{})},
			}},
		listEvents(),
		{Method: http.MethodGet, Path: "/api/v1/events/{id}", ID: "getEvent", Tag: tagEvents, Summary: "Show an event and its deliveries",
			Description: "An event that is not due yet has the status scheduled, no Seq and no deliveries. A delivery's sha256 is that of the module that made the last attempt. result_kept is false for a success whose " +
				"result, duration and fuel an older version of the host did not keep, or a repair of the store lost; otherwise it is absent. " +
				"With Accept: " + cloudevents.Structured + " the event is shown as a CloudEvent, without its deliveries.",
			Parameters: []openapi.Parameter{eventID},
			Answers: []openapi.Answer{{Status: http.StatusOK, Content: []openapi.Content{
				{Value: wire.Event{}}, {Media: cloudevents.Structured, Value: cloudEvent{}}}}}},
		{Method: http.MethodGet, Path: "/api/v1/events/stream", ID: "streamActivity", Tag: tagEvents,
			Summary: "Follow what happens, as server-sent events",
			Description: "Events come in the order of the log, each once, with its Seq as the id. The first frame, hello, " +
				"has the Seq after which the stream starts as its id. Deliveries and plugins are shown as they happen.",
			Parameters: []openapi.Parameter{
				inQuery("since", "Start after this Seq; absent for now.", map[string]any{"type": "integer", "minimum": 0}),
				{In: "header", Name: "Last-Event-ID", Description: "The last id that was seen: goes before since.",
					Schema: map[string]any{"type": "integer", "minimum": 0}},
			},
			Answers: []openapi.Answer{{Status: http.StatusOK, Content: []openapi.Content{{Media: "text/event-stream", Value: openapi.Stream{
				"hello": hello{}, "published": wire.Activity{}, "delivery": wire.Activity{}, "plugin": wire.Activity{}, "lagged": closing{},
				"closing": closing{}}}}}}},
		{Method: http.MethodPost, Path: "/api/v1/events/explain", ID: "explainEvent", Tag: tagEvents,
			Summary:     "Say which handlers would get an event, and why",
			Description: "Nothing is published.", Body: body(newEvent{}), Answers: answers(http.StatusOK, wire.Explanation{})},
	}, append(scheduledOperations(), eventActions()...)...)
}

// deliveryOperations are about dead letters, replay and the log.
func deliveryOperations() []openapi.Operation {
	const deadLetters = "/api/v1/events/dead-letters"
	plugin := inQuery("plugin", "Only those of this plugin, or of one shard of its handler, such as enrich/3.", nil)
	choice := "The body says which: those to which everything in it applies. It must name a plugin or an event."
	// position is a position in the log, as event.ParsePosition reads it.
	position := openapi.Schema{"oneOf": []any{map[string]any{"type": "string", "minLength": 1},
		map[string]any{"type": "integer", "minimum": 1}},
		"description": `A time (RFC 3339), a duration back from now ("1h", "7d"), a Seq, or "earliest".`}
	return []openapi.Operation{
		{Method: http.MethodGet, Path: deadLetters, ID: "listDeadLetters", Tag: tagDeadLetters, Summary: "List dead letters, newest event first",
			Parameters: append([]openapi.Parameter{
				plugin,
				inQuery("event_id", "Only those of this event.", nil),
				inQuery("event_type", "Only those of this type of event.", eventTypeSchema()),
				inQuery("subject", "Only those of this subject.", nil),
				inQuery("class", "Only those whose last attempt failed like this.", oneOfTexts(event.FailureClasses()...)),
				inQuery("since", "Only those that died from then on.", atTime()),
				inQuery("until", "Only those that died before then.", atTime()),
			}, pageParameters(MaxPage)...),
			Answers: answers(http.StatusOK, wire.List[wire.DeadLetter]{})},
		{Method: http.MethodGet, Path: deadLetters + "/{id}", ID: "getDeadLetters", Tag: tagDeadLetters,
			Summary:    "Show an event's dead letters, with the event",
			Parameters: []openapi.Parameter{{In: "path", Name: "id", Description: "The event's id."}, plugin},
			Answers:    answers(http.StatusOK, wire.List[wire.DeadLetter]{})},
		{Method: http.MethodPost, Path: deadLetters + "/redrive", ID: "redriveDeadLetters", Tag: tagDeadLetters,
			Summary:     "Give dead letters to their handlers again",
			Description: choice, Body: body(wire.DeadLetterFilter{}), Answers: answers(http.StatusOK, wire.Redriven{})},
		{Method: http.MethodPost, Path: deadLetters + "/purge", ID: "purgeDeadLetters", Tag: tagDeadLetters, Summary: "Remove dead letters",
			Description: choice, Body: body(wire.DeadLetterFilter{}), Answers: answers(http.StatusOK, wire.Purged{})},
		{Method: http.MethodPost, Path: "/api/v1/events/replay", ID: "replayEvents", Tag: tagEvents,
			Summary: "Deliver a part of the log to a plugin again",
			Body: body(openapi.Schema{"type": "object", "required": []string{"plugin", "from"}, "additionalProperties": false,
				"properties": map[string]any{
					"plugin": map[string]any{"type": "string", "minLength": 1}, "from": position, "to": position}}),
			Answers: answers(http.StatusAccepted, wire.Replaying{})},
		{Method: http.MethodPost, Path: "/api/v1/events/skip", ID: "skipEvents", Tag: tagEvents, Summary: "Pass over events that cannot be read",
			Description: "Where the log is damaged, handlers are stuck until the store is restored or an operator gives the damaged events up. " +
				"For every handler that has not had them a dead delivery is recorded, which cannot be redriven. An event that can be read is 409.",
			Body: body(wire.Skip{}), Answers: answers(http.StatusOK, wire.Skipped{})},
		{Method: http.MethodGet, Path: "/api/v1/events/log", ID: "getLog", Tag: tagEvents,
			Summary: "How the log stands, and how far each handler is in it",
			Description: "open is how many events a handler has read, or was given again by a redrive, that are not final; lag is those and " +
				"the events that it has not read yet. " +
				"dead is its dead letters, of which those that are redriven are open again. lost counts since the host started.",
			Answers: answers(http.StatusOK, wire.LogStatus{})},
	}
}

// orderOperations are about orders.
func orderOperations() []openapi.Operation {
	id := openapi.Parameter{In: "path", Name: "id", Description: "The order's id.",
		Schema: map[string]any{"type": "string", "pattern": `^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$`}}
	version := openapi.Parameter{Name: "ETag", Description: "The order's version, for If-Match.",
		Schema: map[string]any{"type": "string", "pattern": `^"[0-9]+"$`}}
	published := openapi.Parameter{Name: EventIDHeader, Description: "The id of the event that this has published."}
	status := oneOfTexts("pending", "confirmed", "processing", "shipped", "delivered", "cancelled", "refunded")
	return []openapi.Operation{
		{Method: http.MethodGet, Path: "/api/v1/orders", ID: "listOrders", Tag: tagOrders, Summary: "List orders, newest first",
			Parameters: append([]openapi.Parameter{
				inQuery("status", "Only orders of this status.", status),
				inQuery("customer_id", "Only orders of this customer.", nil),
			}, pageParameters(MaxPage)...),
			Answers: answers(http.StatusOK, wire.List[wire.Order]{})},
		{Method: http.MethodPost, Path: "/api/v1/orders", ID: "createOrder", Tag: tagOrders, Summary: "Create an order",
			Description: "The order and its event are stored together. Without an id it gets one.",
			Body:        body(wire.NewOrder{}),
			Answers: answers(http.StatusCreated, wire.Order{}, version, published,
				openapi.Parameter{Name: "Location", Description: "Where the order is."})},
		{Method: http.MethodGet, Path: "/api/v1/orders/{id}", ID: "getOrder", Tag: tagOrders, Summary: "Show an order",
			Parameters: []openapi.Parameter{id, ifNoneMatchHeader()},
			Answers: append(answers(http.StatusOK, wire.Order{}, version),
				openapi.Answer{Status: http.StatusNotModified, Description: "It is the version the caller has."})},
		{Method: http.MethodPost, Path: "/api/v1/orders/{id}/status", ID: "moveOrder", Tag: tagOrders, Summary: "Move an order to another status",
			Description: "pending → confirmed → processing → shipped → delivered; cancelled from the first three; refunded from delivered or " +
				"cancelled. Any other move is 409.",
			Parameters: []openapi.Parameter{id, ifMatchHeader("the order")},
			Body: body(openapi.Schema{"type": "object", "required": []string{"status"}, "additionalProperties": false,
				"properties": map[string]any{"status": status}}),
			Answers: answers(http.StatusOK, wire.Order{}, version, published)},
	}
}
