package wire

import (
	"encoding/json"
	"time"
)

// HandlerConfig answers GET /api/v1/events/plugins/{name}/config: the object that the
// plugin reads. The schema is the manifest's, null when it has none.
type HandlerConfig struct {
	Config json.RawMessage `json:"config"`
	Schema json.RawMessage `json:"schema"`
	ETag   string          `json:"etag"` // of the config, for If-Match, without quotes
}

// NewHandlerConfig is the body of PUT /api/v1/events/plugins/{name}/config. It replaces
// the whole config.
type NewHandlerConfig struct {
	Config json.RawMessage `json:"config"`
}

// ConfigFile answers GET /api/v1/config/file: the configuration file as it is now, and what
// a reload would change.
type ConfigFile struct {
	Path         string        `json:"path"`   // on the host's machine
	Exists       bool          `json:"exists"` // false: the defaults apply
	Text         string        `json:"text"`
	ModifiedAt   *time.Time    `json:"modified_at" jsonschema:"nullable"`
	AppliedAt    time.Time     `json:"applied_at"`    // when the configuration in force was put in force
	Changed      []string      `json:"changed"`       // by a reload, one line each; of a handler's config only the keys
	NeedsRestart []string      `json:"needs_restart"` // as in ReloadResult
	Errors       []ErrorDetail `json:"errors"`        // why a reload would refuse it
}

// FindingLevel is the severity of a finding.
type FindingLevel string

// The levels of findings.
const (
	FindingOK      FindingLevel = "ok"
	FindingWarning FindingLevel = "warning" // the host works, but less well or less safely than it could
	FindingProblem FindingLevel = "problem" // the host does not start, or does not keep its guarantees
)

// Finding is the result of one check of the doctor, or of a cluster.
type Finding struct {
	Check  string       `json:"check"`
	Level  FindingLevel `json:"level" jsonschema:"enum=ok,enum=warning,enum=problem"`
	Detail string       `json:"detail"`
	Advice string       `json:"advice"` // how to resolve it; "" when OK
}

// Findings answers GET /api/v1/doctor, in the order of the checks.
type Findings struct {
	Checks   []Finding `json:"checks"`
	Warnings int       `json:"warnings"`
	Problems int       `json:"problems"`
}

// Adopted is the decisions about handlers that the hosts of a cluster shared.
type Adopted struct {
	YAML    string   `json:"yaml"`    // as the configuration file could hold them; "" without any
	Cleared []string `json:"cleared"` // the handlers whose decisions were removed from the database
}

// Adopt says what becomes of the decisions.
type Adopt struct {
	Keep bool `json:"keep,omitempty"` // they are only shown
}
