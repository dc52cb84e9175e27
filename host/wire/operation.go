package wire

import "time"

// OperationState is the state of an operation.
type OperationState string

// The states of an operation. Only running is not final.
const (
	OperationRunning   OperationState = "running"
	OperationDone      OperationState = "done"
	OperationCancelled OperationState = "cancelled"
	OperationFailed    OperationState = "failed"
)

// OperationFilter selects events; all fields that are not empty have to match.
type OperationFilter struct {
	EventType string `json:"event_type,omitempty"` // or a glob, as in routes
	Subject   string `json:"subject,omitempty"`
	Class     string `json:"class,omitempty"` // of the last error; not for a replay
	Issue     string `json:"issue,omitempty"` // id of the issue of the last error; not for a replay
	When      string `json:"when,omitempty"`  // CEL, as in routes
	// From and To are positions as in Replay. A replay requires From. Of dead letters and
	// retries they select by the event's position as well.
	From string `json:"from,omitempty"`
	To   string `json:"to,omitempty"`
}

// NewOperation is the body of POST /api/v1/operations.
type NewOperation struct {
	// Kind: replay delivers events of the log to the plugin again; redrive its dead letters;
	// retry the events that wait for a retry, now.
	Kind   string          `json:"kind" jsonschema:"enum=replay,enum=redrive,enum=retry"`
	Plugin string          `json:"plugin"`
	Name   string          `json:"name,omitempty" jsonschema:"maxLength=100"`
	Filter OperationFilter `json:"filter"`
	Rate   int             `json:"rate,omitempty" jsonschema:"minimum=0,maximum=100000"` // events a second; 0 is no bound
	// Preview counts the events that match, and changes nothing.
	Preview bool `json:"preview,omitempty"`
}

// OperationPreview is what an operation would do.
type OperationPreview struct {
	Matches  uint64   `json:"matches"`
	Exact    bool     `json:"exact"`    // false: counting stopped at a bound, there are more
	Examined uint64   `json:"examined"` // events or dead letters that the filter was applied to
	Sample   []string `json:"sample"`   // ids of the first matching events, at most 10
}

// Operation is a replay, redrive or retry of many events.
type Operation struct {
	ID         string          `json:"id"` // digits
	Kind       string          `json:"kind" jsonschema:"enum=replay,enum=redrive,enum=retry"`
	Name       string          `json:"name"`
	Plugin     string          `json:"plugin"`
	Filter     OperationFilter `json:"filter"`
	Rate       int             `json:"rate"`
	State      OperationState  `json:"state" jsonschema:"enum=running,enum=done,enum=cancelled,enum=failed"`
	Done       uint64          `json:"done"`  // events given to the handler again
	Total      uint64          `json:"total"` // that match, as counted at the start; 0 when unknown
	Reason     string          `json:"reason,omitempty"`
	StartedBy  string          `json:"started_by"` // name of the token
	StartedAt  time.Time       `json:"started_at"`
	FinishedAt *time.Time      `json:"finished_at,omitempty"`
}
