// Package search finds events of the log by what they are, who published them and what
// became of them, and follows the chain of what an event has caused.
//
// The log has no index of its events' contents, so a search reads it from the newest event
// back. One request examines a bounded number of events for a bounded time; it then returns
// where the next one continues. Failures are found by the lists that the host keeps of them,
// without reading what succeeded. A Searcher has no state, and is safe for concurrent use.
package search

import (
	"context"
	"time"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/wire"
)

// The bounds of one request that are not configured.
const (
	MaxExamined = 20_000 // events; one whose deliveries are looked at counts as LookCost
	LookCost    = 4
	MaxTime     = 2 * time.Second // after which it ends with what it has found
)

// Log reads the event log.
type Log interface {
	// Event finds an event by its id, or else by its idempotency key; fault.NotFound.
	Event(ctx context.Context, id string) (event.Record, error)
	// Events lists events, newest first.
	Events(ctx context.Context, q event.Query) ([]event.Record, error)
	// Read returns events from a Seq on, ascending; none at the end of the log.
	Read(ctx context.Context, from uint64, limit int) ([]event.Record, error)
	// SeqAt returns the Seq of the first event that was published at or after t, or that of
	// the next one.
	SeqAt(ctx context.Context, t time.Time) (uint64, error)
}

// Deliveries returns the deliveries of an event.
type Deliveries interface {
	Deliveries(ctx context.Context, rec event.Record) ([]wire.Delivery, error)
}

// DeadLetters lists dead letters.
type DeadLetters interface {
	// DeadLetters lists dead letters, latest Seq first; next is the cursor for more, or "".
	DeadLetters(ctx context.Context, f event.DeadFilter, cursor string, limit int) (list []wire.DeadLetter, next string, err error)
}

// Retries lists the deliveries that have failed and are attempted again.
type Retries interface {
	// Retrying lists the deliveries of a handler that wait for a retry, above a Seq, ascending.
	Retrying(ctx context.Context, handler string, after uint64, limit int) ([]event.Delivery, error)
}

// Schedule lists events that are not due yet, the first due first.
type Schedule interface {
	ScheduledEvents(ctx context.Context, q event.ScheduledQuery, cursor string) (list []event.Scheduled, next string, err error)
}

// Searcher finds events. All fields but the bounds and Schedule are required.
type Searcher struct {
	Log         Log
	Schedule    Schedule // for Tree; nil: there are no events that are not due yet
	Deliveries  Deliveries
	DeadLetters DeadLetters
	Retries     Retries
	Handlers    func() []string // the names of all handlers

	MaxExamined int           // 0 is MaxExamined
	MaxTime     time.Duration // 0 is MaxTime
}

// Filter selects the events to which every field applies that is not empty.
type Filter struct {
	Type        event.Type
	Subject     string
	Key         string                  // idempotency key
	Select      func(*event.Event) bool // further condition; nil for none
	Correlation string                  // correlation id
	Cause       string                  // id or key of the event that caused them
	Source      string                  // as the producer says
	Publisher   string                  // id or name of a token, or a source within the host
	Since       time.Time               // published at this time or later
	Until       time.Time               // published before this time
	Handler     string                  // it has, or will get, a delivery to this handler
	Status      event.Status            // of that delivery, or of any
	Class       event.Class             // of that delivery's last error
}

// byDelivery reports whether deliveries matter.
func (f *Filter) byDelivery() bool { return f.Handler != "" || f.Status != "" || f.Class != "" }

// hasFailed reports whether only deliveries that have failed are selected, which are listed.
func (f *Filter) hasFailed() bool {
	return f.Status == event.StatusDead || f.Status == event.StatusRetrying || f.Class != "" && f.Status == ""
}

// selects applies all of the filter but deliveries and times.
func (f *Filter) selects(rec event.Record) bool {
	q := event.Query{Type: f.Type, Subject: f.Subject, Key: f.Key}
	meta := rec.Event.Metadata()
	return q.Selects(rec) && (f.Correlation == "" || meta.CorrelationID == f.Correlation) && (f.Cause == "" || meta.CausationID == f.Cause) &&
		(f.Source == "" || meta.Source == f.Source) && (f.Publisher == "" || isBy(rec.Event.Origin().Publisher, f.Publisher)) &&
		(f.Select == nil || f.Select(rec.Event))
}

// isBy reports whether a publisher has this token id, token name or source.
func isBy(p spec.Publisher, name string) bool {
	return p.Token == name || p.Name == name || p.Source == name
}

// delivered reports whether the filter selects one of an event's deliveries.
func (f *Filter) delivered(list []wire.Delivery) bool {
	for _, d := range list {
		if (f.Handler == "" || d.Plugin == f.Handler) && (f.Status == "" || d.Status == string(f.Status)) &&
			(f.Class == "" || d.Error != nil && d.Error.Class == string(f.Class)) {
			return true
		}
	}
	return false
}

// Found is an event that was found, with its deliveries if the filter asks for them.
type Found struct {
	event.Record
	Deliveries []wire.Delivery
}

// budget is what one request may still examine.
type budget struct {
	events int
	until  time.Time
}

func (s *Searcher) budget() budget {
	b := budget{events: s.MaxExamined, until: time.Now().Add(s.MaxTime)}
	if b.events <= 0 {
		b.events = MaxExamined
	}
	if s.MaxTime <= 0 {
		b.until = time.Now().Add(MaxTime)
	}
	return b
}

// spend counts an event, and reports whether the budget is used up.
func (b *budget) spend() bool {
	b.events--
	return b.events <= 0 || time.Now().After(b.until)
}

// Each calls visit with the events that the filter selects below a Seq, 0 for all, newest
// first, until visit returns false. next is where a further call continues when the bounds
// of the request have ended this one: the last Seq that was examined; 0 when visit or the
// log has ended it.
func (s *Searcher) Each(ctx context.Context, f Filter, before uint64, visit func(Found) (bool, error)) (next uint64, err error) {
	first, before, err := s.bounds(ctx, &f, before)
	if err != nil || before == 1 || first >= before && before != 0 {
		return 0, err
	}
	candidates, err := s.candidates(ctx, &f, first, before)
	if err != nil {
		return 0, err
	}
	left := s.budget()
	for {
		rec, found, err := candidates(ctx)
		if err != nil || !found {
			return 0, err
		}
		if f.selects(rec) {
			if f.byDelivery() {
				left.events -= LookCost - 1
			}
			more, err := s.visit(ctx, &f, rec, visit)
			if err != nil || !more {
				return 0, err
			}
		}
		if left.spend() {
			return rec.Seq, nil
		}
	}
}

// visit calls a visitor with an event, unless none of its deliveries is selected.
func (s *Searcher) visit(ctx context.Context, f *Filter, rec event.Record, visit func(Found) (bool, error)) (more bool, err error) {
	found := Found{Record: rec}
	if f.byDelivery() {
		if found.Deliveries, err = s.Deliveries.Deliveries(ctx, rec); err != nil {
			return false, err
		}
		if !f.delivered(found.Deliveries) {
			return true, nil
		}
	}
	return visit(found)
}

// bounds returns the first Seq that a filter can select, and the Seq that all are below; 0
// for no such bound. It replaces the key of a cause by its id.
func (s *Searcher) bounds(ctx context.Context, f *Filter, before uint64) (first, below uint64, err error) {
	first, below = 1, before
	if !f.Since.IsZero() {
		if first, err = s.Log.SeqAt(ctx, f.Since); err != nil {
			return 0, 0, err
		}
	}
	if !f.Until.IsZero() {
		end, err := s.Log.SeqAt(ctx, f.Until)
		if err != nil {
			return 0, 0, err
		}
		if end = max(end, 1); below == 0 || end < below {
			below = end
		}
	}
	if f.Cause != "" {
		if cause, err := s.Log.Event(ctx, f.Cause); err == nil { // otherwise it has left the log
			f.Cause, first = cause.Event.ID(), max(first, cause.Seq+1)
		}
	}
	return first, below, nil
}
