package spec

import "time"

// Frame is one call of a guest's stack. Function is demangled; File and Line are empty when
// the module has no debug information for the call.
type Frame struct {
	Function string `json:"function"`
	File     string `json:"file,omitempty"`
	Line     int    `json:"line,omitempty"` // from 1
}

// GuestLine is a line that a guest logged during one attempt.
type GuestLine struct {
	At      time.Time `json:"at"`
	Level   string    `json:"level" jsonschema:"enum=debug,enum=info,enum=warn,enum=error"`
	Message string    `json:"message"`
}

// The bounds of the guest's lines that are stored: of one attempt, and of all attempts of
// one handler, in bytes of their messages and GuestLineSize for each line.
const (
	MaxAttemptLog = 8 << 10
	MaxHandlerLog = 64 << 20
	GuestLineSize = 32
)

// Publisher is who published an event: a token of the API by its id and name, or a source
// within the host: "orders", "schedule:NAME", or the name of the plugin that emitted it.
type Publisher struct {
	Token  string `json:"token,omitempty"`
	Name   string `json:"name,omitempty"` // of the token
	Source string `json:"source,omitempty"`
}

// IsZero reports whether the publisher is unknown, as of events that an older version stored.
func (p Publisher) IsZero() bool { return p == Publisher{} }
