package event

import "github.com/berth-host/berth/host/spec"

// Origin is what the log keeps about an event besides its envelope. Guests do not see it,
// and it is no part of the event's content: a duplicate keeps the origin of the first one.
type Origin struct {
	Publisher spec.Publisher
	// Only is the one handler that gets the event; "" for all that take it. It also needs to
	// take the event: routes and subscriptions apply.
	Only string
	// CopyOf is the id of the event of which this is an edited copy; "" for none.
	CopyOf string
}

// IsZero reports whether nothing is known.
func (o Origin) IsZero() bool { return o == Origin{} }

// Origin returns the origin of the event.
func (e *Event) Origin() Origin { return e.origin }

// WithOrigin returns the event with another origin.
func (e *Event) WithOrigin(o Origin) *Event {
	with := *e
	with.origin = o
	return &with
}
