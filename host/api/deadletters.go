package api

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/berth-host/berth/host/api/describe"
	"github.com/berth-host/berth/host/api/problem"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/wire"
)

// listDeadLetters is GET /api/v1/events/dead-letters?plugin&event_id&event_type&subject&class&since&until&limit&cursor.
func (s *Server) listDeadLetters(r *request) (any, error) {
	q := r.query("plugin", "event_id", "event_type", "subject", "class", "since", "until", "limit", "cursor")
	limit := r.limit(q, describe.MaxPage)
	find := r.deadLetterQuery(wire.DeadLetterFilter{
		Plugin: q.Get("plugin"), EventID: q.Get("event_id"), EventType: q.Get("event_type"), Subject: q.Get("subject"),
		Class: q.Get("class"), Since: q.Get("since"), Until: q.Get("until"),
	})
	r.reserveAnswer(pageBytes)
	if r.err != nil {
		return nil, r.err
	}
	list, next, err := s.cfg.Events.DeadLetters.DeadLetters(r.ctx(), find, q.Get("cursor"), limit)
	if err != nil {
		return nil, err
	}
	page := wire.List[wire.DeadLetter]{Items: orEmpty(slices.Clone(list))}
	for i := range page.Items {
		page.Items[i].Event = nil // up to 1 MiB each
	}
	if next != "" {
		page.Next = &next
	}
	return page, nil
}

// showDeadLetters is GET /api/v1/events/dead-letters/:id?plugin: the dead letters of one
// event, at most one for each plugin, with the event. Of a large event with many of them
// only the first ones include it.
func (s *Server) showDeadLetters(r *request) (any, error) {
	find := event.DeadFilter{EventID: r.param("id")}
	find.Handler = r.query("plugin").Get("plugin")
	r.reserveAnswer(pageBytes)
	if r.err != nil {
		return nil, r.err
	}
	list := wire.List[wire.DeadLetter]{}
	size := 0
	for cursor := ""; ; {
		page, next, err := s.cfg.Events.DeadLetters.DeadLetters(r.ctx(), find, cursor, describe.MaxPage)
		if err != nil {
			return nil, err
		}
		for _, d := range page {
			if size += len(d.Event); size > pageBytes {
				d.Event = nil // the same as before, and large
			}
			list.Items = append(list.Items, d)
		}
		if cursor = next; cursor == "" {
			break
		}
	}
	if len(list.Items) == 0 {
		of := ""
		if find.Handler != "" {
			of = " of " + problem.Short(find.Handler)
		}
		return nil, fault.New(fault.NotFound, "there is no dead letter%s for the event %s", of, problem.Short(find.EventID))
	}
	return list, nil
}

// redrive is POST /api/v1/events/dead-letters/redrive.
func (s *Server) redrive(ctx context.Context, q event.DeadFilter) (wire.Redriven, error) {
	n, err := s.cfg.Events.DeadLetters.Redrive(ctx, q)
	return wire.Redriven{Redriven: n}, err
}

// purge is POST /api/v1/events/dead-letters/purge.
func (s *Server) purge(ctx context.Context, q event.DeadFilter) (wire.Purged, error) {
	n, err := s.cfg.Events.DeadLetters.Purge(ctx, q)
	return wire.Purged{Purged: n}, err
}

// deadLetterSelection reads which dead letters to change: at least a plugin or an event is
// required, so that an empty body does not select all of them.
func (r *request) deadLetterSelection() event.DeadFilter {
	r.query()
	f := body[wire.DeadLetterFilter](r)
	if f.Plugin == "" && f.EventID == "" {
		r.fail(fault.Field("plugin", "is required, or event_id: say whose dead letters, or those of which event"))
	}
	return r.deadLetterQuery(f)
}

// deadLetterQuery checks a filter.
func (r *request) deadLetterQuery(f wire.DeadLetterFilter) event.DeadFilter {
	q := event.DeadFilter{Handler: f.Plugin, EventID: f.EventID, Type: f.EventType, Subject: f.Subject, Class: event.Class(f.Class)}
	if f.EventType != "" {
		_, err := event.ParseType(f.EventType)
		r.fail(err)
	}
	if classes := event.FailureClasses(); f.Class != "" && !slices.Contains(classes, f.Class) {
		r.fail(fault.Field("class", "%q is not a class of error; there are %s", problem.Short(f.Class), strings.Join(classes, ", ")))
	}
	q.Since, q.Until = r.time("since", f.Since), r.time("until", f.Until)
	if !q.Since.IsZero() && !q.Until.IsZero() && !q.Since.Before(q.Until) {
		r.fail(fault.Field("until", "is not after since"))
	}
	return q
}

// time reads a time; "" is the zero time.
func (r *request) time(field, text string) (t time.Time) {
	if text != "" {
		var err error
		if t, err = event.ParseTime(text); err != nil {
			r.fail(fault.Field(field, "%v", err))
		}
	}
	return t
}
