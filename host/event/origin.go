package event

import (
	"strconv"
	"strings"
	"time"

	"github.com/berth-host/berth/host/spec"
)

// Origin is what the log keeps about an event besides its envelope. Guests do not see it,
// and it is no part of the event's content: a duplicate keeps the origin of the first one.
type Origin struct {
	Publisher spec.Publisher
	// Only is the one handler that gets the event; "" for all that take it. It also needs to
	// take the event: routes and subscriptions apply.
	Only string
	// CopyOf is the id of the event of which this is an edited copy; "" for none.
	CopyOf string
	// Due is when an event was due that was accepted for later; zero for others.
	Due time.Time
}

// IsZero reports whether nothing is known.
func (o Origin) IsZero() bool { return o == Origin{} }

// IsFor reports whether the origin lets a handler get the event: it names no other one.
func (e *Event) IsFor(handler string) bool {
	return e.origin == nil || e.origin.Only == "" || e.origin.Only == handler
}

// Start returns since when the event could be delivered: latencies and ages count from then. It
// is the event's time, or when it was due.
func (e *Event) Start() time.Time {
	if e.origin != nil && !e.origin.Due.IsZero() {
		return e.origin.Due
	}
	return e.meta.Time
}

// Moved returns an event that was accepted for later as it is appended to the log when it is due.
func (e *Event) Moved(due time.Time) *Event {
	o := e.Origin()
	o.Due = due.UTC()
	moved := e.WithOrigin(o)
	moved.deferral = nil
	return moved
}

// Origin returns the origin of the event.
func (e *Event) Origin() Origin {
	if e.origin == nil {
		return Origin{}
	}
	return *e.origin
}

// setOrigin sets the origin of an event that nothing else has yet.
func (e *Event) setOrigin(o Origin) {
	e.origin = nil
	if !o.IsZero() {
		e.origin = &o
	}
}

// WithOrigin returns the event with another origin.
func (e *Event) WithOrigin(o Origin) *Event {
	with := *e
	with.setOrigin(o)
	return &with
}

// The parts of an encoded origin: a letter for the field, and its text. Published letters
// keep their meaning.
const (
	originToken  = 't'
	originName   = 'n'
	originSource = 's'
	originOnly   = 'o'
	originCopyOf = 'c'
	originDue    = 'd' // Unix nanoseconds

	originEnd = "\n" // between two parts; escaped in a text
)

var (
	originEscape   = strings.NewReplacer("%", "%25", originEnd, "%0A")
	originUnescape = strings.NewReplacer("%25", "%", "%0A", originEnd)
)

// Encode returns the text in which engines store the origin, about as long as its fields
// together; "" for the zero value.
func (o Origin) Encode() string {
	if o.IsZero() {
		return ""
	}
	var b strings.Builder
	part := func(field byte, text string) {
		if text == "" {
			return
		}
		if b.Len() > 0 {
			b.WriteString(originEnd)
		}
		b.WriteByte(field)
		b.WriteString(originEscape.Replace(text))
	}
	part(originToken, o.Publisher.Token)
	part(originName, o.Publisher.Name)
	part(originSource, o.Publisher.Source)
	part(originOnly, o.Only)
	part(originCopyOf, o.CopyOf)
	if !o.Due.IsZero() {
		part(originDue, strconv.FormatInt(o.Due.UnixNano(), 10))
	}
	return b.String()
}

// ParseOrigin returns the origin that Encode encoded. It ignores fields of later versions.
func ParseOrigin(text string) (o Origin) {
	for part := range strings.SplitSeq(text, originEnd) {
		if part == "" {
			continue
		}
		value := originUnescape.Replace(part[1:])
		switch part[0] {
		case originToken:
			o.Publisher.Token = value
		case originName:
			o.Publisher.Name = value
		case originSource:
			o.Publisher.Source = value
		case originOnly:
			o.Only = value
		case originCopyOf:
			o.CopyOf = value
		case originDue:
			if ns, err := strconv.ParseInt(value, 10, 64); err == nil {
				o.Due = time.Unix(0, ns).UTC()
			}
		}
	}
	return o
}
