package event

import (
	"time"

	"github.com/berth-host/berth/host/spec"
)

// PastAttempt is an attempt that the engine keeps: each failed one, and a success whose
// handler keeps its logs. Of one delivery they are in the order in which they ended. A
// redrive or a replay starts to count from 1 again and keeps those before it.
type PastAttempt struct {
	Handler  string
	Seq      uint64
	Number   int           // from 1
	Status   Status        // that it led to: retrying, dead or ok
	Class    Class         // "" when it is ok
	Message  string        // the reason in the first line; the guest's output and stack may follow
	Duration time.Duration // of the attempt
	Fuel     uint64
	At       time.Time // when it ended
	SHA256   string    // of the module, hex; "" when it is not known
	Instance int       // number of the instance within its version since the host started, from 1; 0 when none had it
	Logs     []spec.GuestLine
}

// Document is a small value that a part of the host keeps in the engine beside the log: the
// part alone knows its content. Kind is the part's name for its documents.
type Document struct {
	Kind string
	ID   string
	Body string // JSON; "" removes the document
}

// MaxDocument bounds Document.Body, in bytes.
const MaxDocument = 64 << 10
