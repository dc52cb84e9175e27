package wire

import (
	"encoding/json"
	"time"
)

// DeliveryCounts counts the deliveries of an event by status.
type DeliveryCounts struct {
	OK         int `json:"ok"`
	Dead       int `json:"dead"`
	Retrying   int `json:"retrying"`
	Delivering int `json:"delivering"`
	Pending    int `json:"pending"`
}

// EventTree answers GET /api/v1/events/{event_id}/tree: the chain of events that an event belongs to.
type EventTree struct {
	Root      EventNode `json:"root"`      // the event that began the chain
	Truncated bool      `json:"truncated"` // there may be more events than these
}

// EventNode is an event of a chain, with the events that it has caused.
type EventNode struct {
	EventID        string          `json:"event_id"`
	Seq            uint64          `json:"seq"`              // 0: it is not due yet
	DueAt          *time.Time      `json:"due_at,omitempty"` // of an event that is not due yet
	EventType      string          `json:"event_type"`
	Subject        string          `json:"subject"`
	Source         string          `json:"source"`
	Time           time.Time       `json:"time"`
	CopyOf         string          `json:"copy_of,omitempty"`         // id of the event that it is an edited copy of
	DeliveryCounts *DeliveryCounts `json:"delivery_counts,omitempty"` // absent when there was no time to count them, and before the event is due
	Children       []EventNode     `json:"children"`                  // in the order of the log, then those that are not due yet
}

// EventRetry is the body of POST /api/v1/events/{event_id}/retry.
type EventRetry struct {
	Plugin string `json:"plugin,omitempty"` // absent for every plugin that has not handled the event
}

// EventSkip is the body of POST /api/v1/events/{event_id}/skip.
type EventSkip struct {
	Plugin string `json:"plugin"`
	Note   string `json:"note,omitempty" jsonschema:"maxLength=500"` // for the audit log
}

// EventChange answers a retry or a skip of an event.
type EventChange struct {
	EventID string   `json:"event_id"`
	Seq     uint64   `json:"seq"`
	Plugins []string `json:"plugins"` // whose deliveries were changed
}

// EventCopy is the body of POST /api/v1/events/{event_id}/copy. What is absent is as in the event
// that is copied.
type EventCopy struct {
	EventType      string          `json:"event_type,omitempty" jsonschema:"pattern=^[a-z0-9][a-z0-9_.-]{0\\,127}$"`
	Data           json.RawMessage `json:"data,omitempty"`
	Subject        *string         `json:"subject,omitempty" jsonschema:"maxLength=256"`
	IdempotencyKey string          `json:"idempotency_key,omitempty" jsonschema:"maxLength=256"` // a new one by default
	Plugin         string          `json:"plugin,omitempty"`                                     // the one plugin that gets it
}
