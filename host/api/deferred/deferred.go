// Package deferred has the endpoints for events that are not due yet: they are listed and
// cancelled.
package deferred

import (
	"fmt"
	"net/http"
	"time"

	"github.com/berth-host/berth/host/api/describe"
	"github.com/berth-host/berth/host/api/ports"
	"github.com/berth-host/berth/host/api/problem"
	"github.com/berth-host/berth/host/api/resource"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/wire"
)

const path = "/api/v1/events/scheduled"

// chunk is how many events are read at once, each of up to event.MaxSize.
const chunk = 16

// Parts are what the endpoints use. All fields are required.
type Parts struct {
	Schedule ports.Schedule
	Log      ports.EventLog
	EventOf  func(event.Record) (wire.Event, error) // as the API shows it
}

// Endpoints lists the endpoints.
func (p Parts) Endpoints() []resource.Endpoint {
	return []resource.Endpoint{
		{Method: http.MethodGet, Path: path, Scope: spec.ScopeRead, Handle: p.list},
		{Method: http.MethodDelete, Path: path + "/:key", Scope: spec.ScopeOperate, Handle: p.cancel},
	}
}

// Show returns a scheduled or cancelled event by its id or key; fault.NotFound.
func (p Parts) Show(r resource.Request, id string) (wire.Event, error) {
	s, err := p.Schedule.ScheduledEvent(r.Ctx(), id)
	if err != nil {
		return wire.Event{}, err
	}
	return p.eventOf(s)
}

func (p Parts) eventOf(s event.Scheduled) (wire.Event, error) {
	ev, err := p.EventOf(event.Record{Event: s.Event})
	ev.Status, ev.DueAt, ev.AcceptedAt = wire.EventScheduled, &s.Due, &s.Accepted
	if !s.Cancelled.IsZero() {
		ev.Status, ev.CancelledAt = wire.EventCancelled, &s.Cancelled
	}
	return ev, err
}

// list is GET /api/v1/events/scheduled?type&subject&key&limit&cursor. A page ends early when
// its events are large.
func (p Parts) list(r resource.Request) (resource.Answer, error) {
	q := r.Query("type", "subject", "key", "limit", "cursor")
	limit, cursor := r.Limit(q, describe.MaxPage), q.Get("cursor")
	find := event.ScheduledQuery{Subject: q.Get("subject"), Key: q.Get("key")}
	if text := q.Get("type"); text != "" {
		typ, err := event.ParseType(text)
		if err != nil {
			r.Fail(fault.Field("type", "%s is not the type of an event", problem.Short(text)))
		}
		find.Type = typ
	}
	r.ReserveAnswer(resource.PageBytes)
	if r.Err() != nil {
		return resource.Answer{}, r.Err()
	}
	page := wire.List[wire.Event]{Items: []wire.Event{}}
	for size := 0; len(page.Items) < limit && size < resource.PageBytes; {
		find.Limit = min(chunk, limit-len(page.Items))
		list, next, err := p.Schedule.ScheduledEvents(r.Ctx(), find, cursor)
		if err != nil {
			return resource.Answer{}, err
		}
		for _, s := range list {
			ev, err := p.eventOf(s)
			if err != nil {
				return resource.Answer{}, err
			}
			page.Items = append(page.Items, ev)
			size += len(ev.Data) + len(ev.Metadata)
		}
		if page.Next = nil; next == "" {
			break
		}
		page.Next, cursor = &next, next
	}
	return resource.Answer{Body: page}, nil
}

// cancel is DELETE /api/v1/events/scheduled/:key.
func (p Parts) cancel(r resource.Request) (resource.Answer, error) {
	r.Query()
	key := r.Param("key")
	if r.Err() != nil {
		return resource.Answer{}, r.Err()
	}
	s, err := p.Schedule.CancelScheduled(r.Ctx(), key)
	if fault.Is(err, fault.NotFound) {
		return resource.Answer{}, p.explain(r, key, err)
	}
	if err != nil {
		return resource.Answer{}, err
	}
	done := wire.CancelledEvent{DueAt: s.Due, CancelledAt: s.Cancelled}
	if s.Event != nil {
		done.EventID, done.IdempotencyKey, done.EventType = s.Event.ID(), s.Event.Metadata().IdempotencyKey, string(s.Event.Type())
	}
	return resource.Answer{Body: done, Noted: done, Target: key}, nil
}

// explain returns why an event cannot be cancelled: it is in the log, was cancelled before, or
// was never there.
func (p Parts) explain(r resource.Request, key string, none error) error {
	if rec, err := p.Log.Event(r.Ctx(), key); err == nil {
		return fault.New(fault.Conflict, "the event %s is in the log, as Seq %d: only events that are not due yet can be cancelled", rec.Event.ID(), rec.Seq)
	}
	if s, err := p.Schedule.ScheduledEvent(r.Ctx(), key); err == nil && !s.Cancelled.IsZero() {
		return fmt.Errorf("cancelled before, at %s: %w", s.Cancelled.Format(time.RFC3339), none)
	}
	return none
}
