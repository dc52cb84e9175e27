package event

import (
	"time"
	"unicode/utf8"

	"github.com/berth-host/berth/host/fault"
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

// MaxPastAttempts is how many attempts of one delivery engines keep: the newest ones.
const MaxPastAttempts = 100

// MaxPastMessage bounds the message of an attempt that engines keep, in bytes: a failing
// handler must not fill the disk. The delivery itself has the whole message of the last one.
const MaxPastMessage = 4 << 10

// bounded returns the beginning of a message, and an ellipsis if that is not all of it.
func bounded(message string) string {
	const ellipsis = "\n…"
	if len(message) <= MaxPastMessage {
		return message
	}
	end := MaxPastMessage - len(ellipsis)
	for end > 0 && !utf8.RuneStart(message[end]) {
		end--
	}
	return message[:end] + ellipsis
}

// Past returns the attempt that led to this status, and whether engines keep it: a failed
// one, or a success with logs. A delivery that the host or an operator ended is no attempt.
// The logs are those of the delivery, not copied.
func (d *Delivery) Past() (a PastAttempt, kept bool) {
	switch d.Status {
	case StatusRetrying, StatusDead:
		kept = d.ErrorClass != ClassCancelled && d.ErrorClass != ClassSkipped && !d.runsAgain() && d.ErrorClass != ClassUnreadable
	case StatusOK:
		kept = len(d.Logs) > 0
	}
	if !kept || d.Attempts < 1 {
		return PastAttempt{}, false
	}
	return PastAttempt{Handler: d.Handler, Seq: d.Seq, Number: d.Attempts, Status: d.Status, Class: d.ErrorClass, Message: bounded(d.ErrorMessage),
		Duration: d.Duration, Fuel: d.Fuel, At: d.At, SHA256: d.SHA256, Instance: d.Instance, Logs: d.Logs}, true
}

// runsAgain reports whether the delivery is one that Rerun has made.
func (d *Delivery) runsAgain() bool {
	return d.ErrorClass == ClassKVConflict && d.Status == StatusRetrying && d.Due.Equal(d.At)
}

// BoundedLogs returns the first lines that have at most spec.MaxAttemptLog together, and
// their size: the bytes of their messages and spec.GuestLineSize for each.
func BoundedLogs(lines []spec.GuestLine) (list []spec.GuestLine, size int) {
	for i := range lines {
		n := len(lines[i].Message) + spec.GuestLineSize
		if size+n > spec.MaxAttemptLog {
			return lines[:i], size
		}
		size += n
	}
	return lines, size
}

// CheckDocument returns fault.Invalid for a document without kind or id, and for a body
// over MaxDocument.
func CheckDocument(d Document) error {
	switch {
	case d.Kind == "":
		return fault.Field("kind", "is required of a document")
	case d.ID == "":
		return fault.Field("id", "is required of a document (kind %s)", fault.Quote(d.Kind))
	case len(d.Body) > MaxDocument:
		return fault.Field("body", "of the document %s (kind %s) is %d bytes; the limit is %d", fault.Quote(d.ID), fault.Quote(d.Kind),
			len(d.Body), MaxDocument)
	}
	return nil
}
