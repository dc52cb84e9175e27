package wire

import (
	"encoding/json"
	"time"
)

// Schedule is a schedule as it is configured and where it is. Exactly one of Cron and Every
// is set.
type Schedule struct {
	Name      string `json:"name"`
	Cron      string `json:"cron,omitempty"`
	Zone      string `json:"zone,omitempty"`  // of cron
	Every     string `json:"every,omitempty"` // a duration
	EventType string `json:"event_type"`
	Subject   string `json:"subject,omitempty"`
	// Missed is what becomes of due times at which no event could be published.
	Missed string `json:"missed" jsonschema:"enum=skip,enum=once,enum=all"`
	Paused bool   `json:"paused"`

	NextDueAt   *time.Time `json:"next_due_at,omitempty"` // absent while it is paused
	LastDueAt   *time.Time `json:"last_due_at,omitempty"` // of the newest event
	LastRunAt   *time.Time `json:"last_run_at,omitempty"` // when that was published
	LastEventID string     `json:"last_event_id,omitempty"`
	LastError   string     `json:"last_error,omitempty"` // since the newest event
	LastErrorAt *time.Time `json:"last_error_at,omitempty"`
	Published   uint64     `json:"published"`   // events, since the schedule has its due times
	MissedRuns  uint64     `json:"missed_runs"` // due times without an event, likewise
	Failed      uint64     `json:"failed"`      // attempts to publish that failed, since the host started
}

// ScheduleRun is the answer of POST /api/v1/schedules/{name}/run.
type ScheduleRun struct {
	Schedule       string `json:"schedule"`
	EventID        string `json:"event_id"`
	IdempotencyKey string `json:"idempotency_key"`
}

// EventType describes the events of one type.
type EventType struct {
	EventType string `json:"event_type"`
	// PerMinute is the mean rate of the newest hour, or since the host started if that is
	// less.
	PerMinute float64 `json:"per_minute"`
	HasSchema bool    `json:"has_schema"`
	// Mode is what becomes of events that the schema refuses: reject, or warn, which counts
	// and stores them. Absent without a schema.
	Mode        string          `json:"mode,omitempty" jsonschema:"enum=reject,enum=warn"`
	Description string          `json:"description,omitempty"`
	Owner       string          `json:"owner,omitempty"`
	Subscribers []string        `json:"subscribers"` // plugins that would get an event of the type by their manifests and the routes
	Violations  uint64          `json:"violations"`  // events that the schema refused, since the host started
	SchemaFile  string          `json:"schema_file,omitempty"`
	Schema      json.RawMessage `json:"schema,omitempty"` // of a single type only
}
