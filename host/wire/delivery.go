package wire

import (
	"encoding/json"
	"time"

	"github.com/berth-host/berth/host/spec"
)

// DeadLetter is an event that a handler has given up on. Event is the envelope; lists of
// several events omit it.
type DeadLetter struct {
	Plugin         string          `json:"plugin"`
	Shard          *int            `json:"shard,omitempty"` // of its handler, then; absent when that had one
	EventID        string          `json:"event_id"`
	Seq            uint64          `json:"seq"`
	EventType      string          `json:"event_type"`
	Subject        string          `json:"subject"`
	IdempotencyKey string          `json:"idempotency_key"`
	Status         string          `json:"status" jsonschema:"enum=dead"`
	Reason         string          `json:"reason" jsonschema:"enum=rejected,enum=attempts,enum=conflict,enum=skipped"`
	Attempts       int             `json:"attempts"`
	Error          *DeliveryError  `json:"error" jsonschema:"nullable"` // of the last attempt
	PublishedAt    time.Time       `json:"published_at"`
	FirstAttemptAt *time.Time      `json:"first_attempt_at" jsonschema:"nullable"` // null when unknown
	At             time.Time       `json:"at"`                                     // of death
	Event          json.RawMessage `json:"event,omitempty"`
}

// Unit is the name of what has given it up; see Delivery.Unit.
func (d *DeadLetter) Unit() string { return spec.UnitName(d.Plugin, d.Shard) }

// DeadLetterFilter selects the dead letters that match every field which is not empty. It
// is the query of their list, and the body of redrive and purge, which require a plugin or
// an event.
type DeadLetterFilter struct {
	Plugin    string `json:"plugin,omitempty"`
	EventID   string `json:"event_id,omitempty"`
	EventType string `json:"event_type,omitempty"`
	Subject   string `json:"subject,omitempty"`
	Class     string `json:"class,omitempty"` // of the last attempt's error
	Since     string `json:"since,omitempty"` // RFC 3339, of death: from then on
	Until     string `json:"until,omitempty"` // RFC 3339, of death: before then
}

// Redriven is the number of dead letters that are delivered again.
type Redriven struct {
	Redriven int `json:"redriven"`
}

// Purged is the number of dead letters that were removed.
type Purged struct {
	Purged int `json:"purged"`
}

// Replay asks to have a part of the log delivered to one plugin again. From and
// To are places in the log: an RFC 3339 time, a duration back from now ("1h",
// "7d"), a Seq (a JSON number does as well) or "earliest". To is the last event
// there is by default.
type Replay struct {
	Plugin string `json:"plugin"`
	From   string `json:"from"`
	To     string `json:"to,omitempty"`
}

// Replaying is the range of events, both ends included, that are delivered again.
type Replaying struct {
	Plugin  string `json:"plugin"`
	FromSeq uint64 `json:"from_seq"`
	ToSeq   uint64 `json:"to_seq"`
}

// Skip asks to pass over events that cannot be read, both ends included.
type Skip struct {
	Seq uint64 `json:"seq" jsonschema:"minimum=1"`
	To  uint64 `json:"to,omitempty" jsonschema:"minimum=1"` // 0: only Seq
}

// Skipped is the range of events, both ends included, that are no longer delivered, and the
// handlers for which a dead delivery was recorded.
type Skipped struct {
	Seq     uint64   `json:"seq"`
	To      uint64   `json:"to"`
	Plugins []string `json:"plugins"`
}

// LogStatus is the state of the event log, and how far each handler has read it.
type LogStatus struct {
	Engine    string `json:"engine"`
	FirstSeq  uint64 `json:"first_seq"` // 0 when the log is empty
	LastSeq   uint64 `json:"last_seq"`
	Events    uint64 `json:"events"`
	Scheduled int64  `json:"scheduled"` // events that are not due yet, which do not count in Events
	Bytes     int64  `json:"bytes"`     // of the events, and of scheduled and cancelled ones
	// ScheduledBytes are those of the events that are not due yet: half of MaxBytes at most.
	ScheduledBytes int64       `json:"scheduled_bytes"`
	MaxBytes       int64       `json:"max_bytes"`                       // 0: no bound
	OldestAt       *time.Time  `json:"oldest_at" jsonschema:"nullable"` // null when it is empty
	RetentionS     int64       `json:"retention_s"`
	Handlers       []LogReader `json:"handlers"`
	Full           bool        `json:"full"`              // it refuses events at present
	Problem        string      `json:"problem,omitempty"` // why it refuses all writes
}

// LogReader is how far one handler has read the log.
type LogReader struct {
	Plugin   string     `json:"plugin"`
	Lag      uint64     `json:"lag"`                             // Open, and the events that it has not read
	Cursor   uint64     `json:"cursor"`                          // every event up to here is final or open
	OldestAt *time.Time `json:"oldest_at" jsonschema:"nullable"` // of the oldest event not final for it; null for none
	Open     uint64     `json:"open"`                            // read and not final: being delivered, waiting for a retry, or redriven
	Dead     uint64     `json:"dead"`                            // dead letters
	Lost     uint64     `json:"lost"`                            // events removed unread by bus.max_age, since the host started
	// Shards are those of a handler that has several: the figures above are their sums, and the
	// lowest Cursor. An event that several have not read counts once in Lag.
	Shards []ShardReader `json:"shards,omitempty"`
}

// ShardReader is how far one shard of a handler has read the log.
type ShardReader struct {
	Shard  int    `json:"shard"`
	Cursor uint64 `json:"cursor"`
	Open   uint64 `json:"open"`
	Dead   uint64 `json:"dead"`
}
