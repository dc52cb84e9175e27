package event

import (
	"fmt"
	"strconv"
	"strings"
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

// ParseDeferral reads an RFC 3339 time and a Go duration, such as 15m; nil for one that is not
// there. Errors are fault.Invalid with the field.
func ParseDeferral(at, after *string) (d Deferral, err error) {
	if at != nil {
		if d.At, err = ParseTime(*at); err != nil {
			return Deferral{}, fault.Field(fieldDeliverAt, "%v", err)
		}
	}
	if after != nil {
		if d.After, err = time.ParseDuration(*after); err != nil {
			return Deferral{}, fault.Field(fieldDeliverAfter, "%s is not a duration such as 15m or 36h", fault.Quote(*after))
		}
		if at != nil {
			return Deferral{}, fault.Field(fieldDeliverAfter, "cannot be used together with deliver_at")
		}
	}
	return d, nil
}

// The fields of a deferral in a native envelope.
const (
	fieldDeliverAt    = "metadata.deliver_at"
	fieldDeliverAfter = "metadata.deliver_after"
)

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
		return fault.Field(fieldDeliverAfter, "cannot be used together with deliver_at")
	case d.After < 0:
		return fault.Field(fieldDeliverAfter, "%v is below zero", d.After)
	case d.After > abi.MaxDeferral:
		return fault.Field(fieldDeliverAfter, "%v is more than a year ahead", d.After)
	case d.At.After(now.Add(abi.MaxDeferral)):
		return fault.Field(fieldDeliverAt, "%s is more than a year ahead", d.At.UTC().Format(time.RFC3339))
	}
	return nil
}

// Scheduled is an event that is stored and not due yet, or was cancelled before it was.
type Scheduled struct {
	Event     *Event
	Due       time.Time
	Accepted  time.Time // when it was stored
	Cancelled time.Time // zero: it was not
}

// Repeated returns the receipt of an event whose idempotency key a scheduled event has
// already: see Repeated. Its time is no part of the content: the first one stands.
func (s Scheduled) Repeated(ev *Event) Receipt { return s.NoteIn(Repeated(Record{Event: s.Event}, ev)) }

// NoteIn returns a receipt that names this event with when it is due, or with the note that it
// was cancelled.
func (s Scheduled) NoteIn(r Receipt) Receipt {
	if r.Cancelled = !s.Cancelled.IsZero(); !r.Cancelled {
		r.Due = s.Due
	}
	return r
}

// FitScheduled checks whether an event may be stored that is not due yet, beside those of so
// many bytes: together they have half of the log's bound, because retention cannot remove them.
// fault.Exhausted without a RetryAfter; 0 is no bound. Children are not exempt.
func FitScheduled(stored, size, maxBytes int64) error {
	if limit := maxBytes / 2; maxBytes > 0 && stored+size > limit {
		return fault.New(fault.Exhausted, "too many events wait for their time (%d of %d bytes, half of bus.max_size): publish without "+
			"deliver_at and deliver_after, wait until some are due, cancel some, or raise bus.max_size", stored, limit)
	}
	return nil
}

// ScheduledSize returns the bytes of the events that are not due yet if they are accepted now.
func ScheduledSize(events []*Event, now time.Time) (size int64) {
	for _, ev := range events {
		if d := ev.Deferral(); !d.IsZero() && d.Due(now).After(now) {
			size += ev.Size()
		}
	}
	return size
}

// NotScheduled is the error for an id or idempotency key that no event has that is not due
// yet: fault.NotFound.
func NotScheduled(id string) error {
	return fault.New(fault.NotFound, "there is no scheduled event with the id or idempotency key %q", id)
}

// WithoutDeferral returns the event as the log has it once it has a Seq.
func (e *Event) WithoutDeferral() *Event {
	if e.deferral == nil {
		return e
	}
	at := *e
	at.deferral = nil
	return &at
}

// ScheduledPosition is where a list of scheduled events continues: they are in the order of
// their due times, and those due at one time in the order in which they were accepted.
type ScheduledPosition struct {
	Due time.Time
	ID  uint64 // the engine's number of the event, which grows
}

// Cursor returns the position as text.
func (p ScheduledPosition) Cursor() string { return fmt.Sprintf("%d-%d", p.Due.UnixNano(), p.ID) }

// ParseScheduledCursor returns the position of a cursor, the zero value for "". Other texts
// than those of Cursor are fault.Invalid.
func ParseScheduledCursor(cursor string) (p ScheduledPosition, err error) {
	if cursor == "" {
		return p, nil
	}
	due, id, _ := strings.Cut(cursor, "-")
	n, err1 := strconv.ParseInt(due, 10, 64)
	id64, err2 := strconv.ParseUint(id, 10, 63)
	p = ScheduledPosition{time.Unix(0, n).UTC(), id64}
	if err1 != nil || err2 != nil || n < 0 || p.Cursor() != cursor {
		return ScheduledPosition{}, fault.Field("cursor", "is not one of this list; begin without")
	}
	return p, nil
}

// ScheduledQuery selects events that are not due yet.
type ScheduledQuery struct {
	Type    Type   // "" for all
	Subject string // "" for all
	Key     string // the idempotency key; "" for all
	Limit   int    // at most this many, 1 to 1000
}

// Check returns fault.Invalid for a limit out of range.
func (q ScheduledQuery) Check() error {
	if q.Limit < 1 || q.Limit > 1000 {
		return fault.Field("limit", "is %d, but must be 1 to 1000", q.Limit)
	}
	return nil
}

// Selects reports whether the query selects this event, Limit aside.
func (q ScheduledQuery) Selects(ev *Event) bool {
	return (q.Type == "" || q.Type == ev.typ) && (q.Subject == "" || q.Subject == ev.meta.Subject) &&
		(q.Key == "" || q.Key == ev.meta.IdempotencyKey)
}
