package incident

import (
	"net/http"
	"slices"
	"strings"

	"github.com/berth-host/berth/host/api/describe"
	"github.com/berth-host/berth/host/api/ports"
	"github.com/berth-host/berth/host/api/problem"
	"github.com/berth-host/berth/host/api/resource"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/wire"
)

// deadLettersPath is the path of the dead letters.
const deadLettersPath = "/api/v1/events/dead-letters"

// LogEndpoints lists the endpoints for dead letters, and for parts of the log that are given
// to a plugin again, or skipped.
func LogEndpoints(dead ports.DeadLetters, replayer ports.Replayer) []resource.Endpoint {
	const get, post = http.MethodGet, http.MethodPost
	const read, operate = spec.ScopeRead, spec.ScopeOperate
	l, r := deadLetters{dead}, replays{replayer}
	return []resource.Endpoint{
		{Method: post, Path: "/api/v1/events/replay", Scope: operate, Handle: r.replay},
		{Method: post, Path: "/api/v1/events/skip", Scope: operate, Handle: r.skip},
		{Method: get, Path: deadLettersPath, Scope: read, Handle: l.list},
		{Method: post, Path: deadLettersPath + "/redrive", Scope: operate, Handle: l.redrive},
		{Method: post, Path: deadLettersPath + "/purge", Scope: operate, Handle: l.purge},
		{Method: get, Path: deadLettersPath + "/:id", Scope: read, Handle: l.show},
	}
}

type deadLetters struct{ kept ports.DeadLetters }

// list is GET /api/v1/events/dead-letters?plugin&event_id&event_type&subject&class&since&until&limit&cursor.
func (l deadLetters) list(r resource.Request) (resource.Answer, error) {
	q := r.Query("plugin", "event_id", "event_type", "subject", "class", "since", "until", "limit", "cursor")
	limit := r.Limit(q, describe.MaxPage)
	find := deadFilter(r, wire.DeadLetterFilter{
		Plugin: q.Get("plugin"), EventID: q.Get("event_id"), EventType: q.Get("event_type"), Subject: q.Get("subject"),
		Class: q.Get("class"), Since: q.Get("since"), Until: q.Get("until"),
	})
	r.ReserveAnswer(resource.PageBytes)
	if r.Err() != nil {
		return resource.Answer{}, r.Err()
	}
	list, next, err := l.kept.DeadLetters(r.Ctx(), find, q.Get("cursor"), limit)
	if err != nil {
		return resource.Answer{}, err
	}
	page := wire.List[wire.DeadLetter]{Items: append([]wire.DeadLetter{}, list...)}
	for i := range page.Items {
		page.Items[i].Event = nil // up to 1 MiB each
	}
	if next != "" {
		page.Next = &next
	}
	return resource.Answer{Body: page}, nil
}

// show is GET /api/v1/events/dead-letters/:id?plugin: the dead letters of one event, at most
// one for each plugin, with the event. Of a large event with many of them only the first ones
// include it.
func (l deadLetters) show(r resource.Request) (resource.Answer, error) {
	find := event.DeadFilter{EventID: r.Param("id")}
	find.Handler = r.Query("plugin").Get("plugin")
	r.ReserveAnswer(resource.PageBytes)
	if r.Err() != nil {
		return resource.Answer{}, r.Err()
	}
	list := wire.List[wire.DeadLetter]{}
	size := 0
	for cursor := ""; ; {
		page, next, err := l.kept.DeadLetters(r.Ctx(), find, cursor, describe.MaxPage)
		if err != nil {
			return resource.Answer{}, err
		}
		for _, d := range page {
			if size += len(d.Event); size > resource.PageBytes {
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
		return resource.Answer{}, fault.New(fault.NotFound, "there is no dead letter%s for the event %s", of, problem.Short(find.EventID))
	}
	return resource.Answer{Body: list}, nil
}

// redrive is POST /api/v1/events/dead-letters/redrive.
func (l deadLetters) redrive(r resource.Request) (resource.Answer, error) {
	find := deadSelection(r)
	if r.Err() != nil {
		return resource.Answer{}, r.Err()
	}
	n, err := l.kept.Redrive(r.Ctx(), find)
	return resource.Answer{Body: wire.Redriven{Redriven: n}}, err
}

// purge is POST /api/v1/events/dead-letters/purge.
func (l deadLetters) purge(r resource.Request) (resource.Answer, error) {
	find := deadSelection(r)
	if r.Err() != nil {
		return resource.Answer{}, r.Err()
	}
	n, err := l.kept.Purge(r.Ctx(), find)
	return resource.Answer{Body: wire.Purged{Purged: n}}, err
}

// deadSelection reads which dead letters to change: at least a plugin or an event is required,
// so that an empty body does not select all of them.
func deadSelection(r resource.Request) event.DeadFilter {
	r.Query()
	f := resource.Read[wire.DeadLetterFilter](r)
	if f.Plugin == "" && f.EventID == "" {
		r.Fail(fault.Field("plugin", "is required, or event_id: say whose dead letters, or those of which event"))
	}
	return deadFilter(r, f)
}

// deadFilter checks a filter.
func deadFilter(r resource.Request, f wire.DeadLetterFilter) event.DeadFilter {
	q := event.DeadFilter{Handler: f.Plugin, EventID: f.EventID, Type: f.EventType, Subject: f.Subject, Class: event.Class(f.Class)}
	if f.EventType != "" {
		_, err := event.ParseType(f.EventType)
		r.Fail(err)
	}
	if classes := event.FailureClasses(); f.Class != "" && !slices.Contains(classes, f.Class) {
		r.Fail(fault.Field("class", "%q is not a class of error; there are %s", problem.Short(f.Class), strings.Join(classes, ", ")))
	}
	q.Since, q.Until = r.Time("since", f.Since), r.Time("until", f.Until)
	if !q.Since.IsZero() && !q.Until.IsZero() && !q.Since.Before(q.Until) {
		r.Fail(fault.Field("until", "is not after since"))
	}
	return q
}
