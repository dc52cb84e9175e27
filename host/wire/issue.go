package wire

import (
	"time"

	"github.com/berth-host/berth/host/spec"
)

// IssueState is the state of an issue.
type IssueState string

// The states of an issue. A failure reopens a resolved issue, and no other.
const (
	IssueOpen         IssueState = "open"
	IssueAcknowledged IssueState = "acknowledged"
	IssueResolved     IssueState = "resolved"
	IssueIgnored      IssueState = "ignored"
)

// Issue is a group of failed attempts of one handler with the same class, normalised message
// and innermost frame.
type Issue struct {
	ID            string      `json:"id"`              // digits; a number of its own on each host
	Handler       string      `json:"handler"`         // its plugin
	Shard         *int        `json:"shard,omitempty"` // of the handler; absent when that has one
	Class         string      `json:"class"`
	Message       string      `json:"message"` // headline of the first failure
	Frame         *spec.Frame `json:"frame" jsonschema:"nullable"`
	State         IssueState  `json:"state" jsonschema:"enum=open,enum=acknowledged,enum=resolved,enum=ignored"`
	FirstSeen     time.Time   `json:"first_seen"`
	LastSeen      time.Time   `json:"last_seen"`
	Count         uint64      `json:"count"`    // failed attempts
	Dead          uint64      `json:"dead"`     // those of them that ended in a dead letter
	Versions      []string    `json:"versions"` // in which it occurred, at most 8, the first one first
	Keys          []string    `json:"keys"`     // order keys or subjects affected, at most 20, newest first
	KeyCount      int         `json:"key_count"`
	SampleEventID string      `json:"sample_event_id"` // of the latest failure
	StateBy       string      `json:"state_by,omitempty"`
	StateAt       *time.Time  `json:"state_at,omitempty"`
	Note          string      `json:"note,omitempty"`     // of who changed the state
	Reopened      int         `json:"reopened,omitempty"` // how often
	// Minutes are the failures in each of the last 60 minutes, the oldest first; nil in lists.
	Minutes []uint32 `json:"minutes,omitzero"`
	// Latest are the latest failures, newest first, at most 20; nil in lists.
	Latest []IssueFailure `json:"latest,omitzero"`
}

// Unit is the name of what has the issue; see Delivery.Unit.
func (i *Issue) Unit() string { return spec.UnitName(i.Handler, i.Shard) }

// IssueFailure is one failed attempt of an issue.
type IssueFailure struct {
	At      time.Time `json:"at"`
	EventID string    `json:"event_id"`
	Key     string    `json:"key"`
	Attempt int       `json:"attempt"`
	Version string    `json:"version,omitempty"`
	SHA256  string    `json:"sha256,omitempty"`
	Log     string    `json:"log,omitempty"` // last line that the guest logged during it
}

// IssueChange is the body of POST /api/v1/issues/{id}/acknowledge, resolve, ignore and reopen.
type IssueChange struct {
	Note string `json:"note,omitempty" jsonschema:"maxLength=500"`
}
