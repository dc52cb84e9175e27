package event

import (
	"strconv"
	"strings"
	"time"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
)

// Why a delivery is dead: the values of the API.
const (
	ReasonRejected = "rejected" // the handler rejected the event
	ReasonAttempts = "attempts" // all attempts failed
	ReasonConflict = "conflict" // the handler succeeded, but its children could not be published
	ReasonSkipped  = "skipped"  // an operator skipped the event
)

// DeadLetter is a dead delivery that was not purged, with its event.
type DeadLetter struct {
	Delivery           // At is the time of death
	Event    *Event    // as it was published
	Reason   string    // one of the Reason constants
	FirstAt  time.Time // when its first attempt began; zero when that is not known
}

// DeadLetter returns the dead letter of a dead delivery and its event.
func (d Delivery) DeadLetter(ev *Event) DeadLetter {
	l := DeadLetter{Delivery: d, Event: ev, Reason: ReasonAttempts, FirstAt: d.FirstAttempt}
	switch d.ErrorClass {
	case ClassRejected:
		l.Reason = ReasonRejected
	case ClassConflict, ClassScheduledQuota:
		l.Reason = ReasonConflict
	case ClassSkipped:
		l.Reason = ReasonSkipped
	}
	return l
}

// DeadFilter selects dead letters. The zero value of a field selects all.
type DeadFilter struct {
	// Handler is a plugin, of which it selects the dead letters of all units, or a unit.
	Handler string
	OneUnit bool   // Handler is a unit, also where that has the name of the plugin
	EventID string // or the idempotency key
	Type    string
	Subject string
	Class   Class
	Since   time.Time // died at this time or later
	Until   time.Time // died before this time
}

// Selects reports whether the filter selects a dead letter.
func (f DeadFilter) Selects(l DeadLetter) bool {
	m := l.Event.Metadata()
	return (f.Handler == "" || f.Handler == l.Handler || !f.OneUnit && f.Handler == spec.PluginOf(l.Handler)) &&
		(f.EventID == "" || f.EventID == m.EventID || f.EventID == m.IdempotencyKey) &&
		(f.Type == "" || f.Type == string(l.Event.Type())) &&
		(f.Subject == "" || f.Subject == m.Subject) &&
		(f.Class == "" || f.Class == l.ErrorClass) &&
		(f.Since.IsZero() || !l.At.Before(f.Since)) &&
		(f.Until.IsZero() || l.At.Before(f.Until))
}

// DeadPosition is a position in the list of dead letters, which goes from high Seqs to
// low ones and, for one event, from the last name of a handler to the first. The zero
// value is the list's beginning.
type DeadPosition struct {
	Seq     uint64
	Handler string
}

// Position returns the position of a dead letter in the list.
func (l DeadLetter) Position() DeadPosition { return DeadPosition{l.Seq, l.Handler} }

// Before reports whether p precedes q in the list.
func (p DeadPosition) Before(q DeadPosition) bool {
	return p.Seq > q.Seq || p.Seq == q.Seq && p.Handler > q.Handler
}

// String returns the position as a cursor of the API.
func (p DeadPosition) String() string {
	if p == (DeadPosition{}) {
		return ""
	}
	return strconv.FormatUint(p.Seq, 10) + "." + p.Handler
}

// ParseDeadPosition parses a cursor. Text that String does not return is
// fault.Invalid.
func ParseDeadPosition(cursor string) (p DeadPosition, err error) {
	if cursor == "" {
		return p, nil
	}
	seq, handler, found := strings.Cut(cursor, ".")
	if p.Seq, err = strconv.ParseUint(seq, 10, 63); err != nil || !found || p.Seq == 0 {
		return DeadPosition{}, fault.Field("cursor", "%s is not a cursor of this list; use next as it was answered", fault.Quote(cursor))
	}
	p.Handler = handler
	if p.String() != cursor {
		return DeadPosition{}, fault.Field("cursor", "%s is not a cursor of this list; use next as it was answered", fault.Quote(cursor))
	}
	return p, nil
}
