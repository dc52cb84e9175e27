package event

import (
	"time"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/fault"
)

// Deferral says when an event is due: it is durable at once, and gets its Seq and its place
// in the order of its key when it is due. It is no part of the event's content, and guests do
// not see it. The zero value: at once.
type Deferral struct {
	At    time.Time     // zero: see After
	After time.Duration // from acceptance, for children from the commit of the parent; 0: at once
}

// IsZero reports whether the event is due at once.
func (d Deferral) IsZero() bool { return d.At.IsZero() && d.After == 0 }

// Due returns when an event that is accepted now is due. A time in the past means now.
func (d Deferral) Due(now time.Time) time.Time {
	due := d.At
	if due.IsZero() {
		due = now.Add(d.After)
	}
	if due.Before(now) {
		return now
	}
	return due
}

// Check returns fault.Invalid, with the field, for a deferral that no event can have.
func (d Deferral) Check(now time.Time) error {
	switch {
	case !d.At.IsZero() && d.After != 0:
		return fault.Field("metadata.deliver_after", "cannot be used together with deliver_at")
	case d.After < 0:
		return fault.Field("metadata.deliver_after", "%v is below zero", d.After)
	case d.After > abi.MaxDeferral:
		return fault.Field("metadata.deliver_after", "%v is more than a year ahead", d.After)
	case d.At.After(now.Add(abi.MaxDeferral)):
		return fault.Field("metadata.deliver_at", "%s is more than a year ahead", d.At.UTC().Format(time.RFC3339))
	}
	return nil
}

// Scheduled is an event that is stored and not due yet.
type Scheduled struct {
	Event    *Event
	Due      time.Time
	Accepted time.Time // when it was stored
}

// ScheduledQuery selects events that are not due yet.
type ScheduledQuery struct {
	Type    Type   // "" for all
	Subject string // "" for all
	Key     string // the idempotency key; "" for all
	Limit   int    // at most this many, 1 to 1000
}
