package berth

import "time"

// Metadata is the metadata of an event.
type Metadata struct {
	EventID        string
	IdempotencyKey string // stays the same when the event is delivered again
	Source         string
	Subject        string // "" for none
	Time           time.Time
	CorrelationID  string
	CausationID    string // "" for none
	Traceparent    string // "" for none
	Hops           int
}

// Metadata returns all metadata of the event. A handler that needs one or two of them reads
// these by Field.
func (e *Event) Metadata() Metadata {
	m := Metadata{
		EventID: e.ID(), IdempotencyKey: e.IdempotencyKey(), Source: e.text("/metadata/source"), Subject: e.Subject(),
		CorrelationID: e.text("/metadata/correlation_id"), CausationID: e.text("/metadata/causation_id"),
		Traceparent: e.text("/metadata/traceparent"),
	}
	m.Time, _ = time.Parse(time.RFC3339Nano, e.text("/metadata/time")) // the host writes it so
	hops, _ := e.Int("/metadata/hops")
	m.Hops = int(hops)
	return m
}
