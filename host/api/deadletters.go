package api

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/wire"
)

const (
	lettersPage = 50  // dead letters of a page by default
	lettersMost = 500 // and at most
)

// deliveryEndpoints are those about deliveries: dead letters, replay, pausing
// and the log.
func (s *Server) deliveryEndpoints() []endpoint {
	const get, post = http.MethodGet, http.MethodPost
	const letters = "/api/v1/events/dead-letters"
	return []endpoint{
		{get, letters, ScopeRead, serveJSON(s.listDeadLetters)},
		{post, letters + "/redrive", ScopeOperate, serveJSON(s.redrive)},
		{post, letters + "/purge", ScopeOperate, serveJSON(s.purge)},
		{get, letters + "/redrive", "", nowhere}, // not an event's id
		{get, letters + "/purge", "", nowhere},
		{get, letters + "/:id", ScopeRead, serveJSON(s.showDeadLetters)},
		{post, "/api/v1/events/replay", ScopeOperate, serveJSON(s.replay)},
		{get, "/api/v1/events/replay", "", nowhere},
		{post, "/api/v1/events/skip", ScopeOperate, serveJSON(s.skip)},
		{get, "/api/v1/events/skip", "", nowhere},
		{get, "/api/v1/events/log", ScopeRead, serveJSON(s.showLog)},
	}
}

// missing is what an endpoint answers whose part the host is without.
func missing(what string) error {
	return fault.New(fault.NotFound, "%s not available with this host", what)
}

// listDeadLetters is GET /api/v1/events/dead-letters?plugin&event_id&event_type&subject&class&since&until&limit&cursor.
func (s *Server) listDeadLetters(c echo.Context) (reply, error) {
	if s.cfg.DeadLetters == nil {
		return reply{}, missing("dead letters are")
	}
	q, err := query(c, "plugin", "event_id", "event_type", "subject", "class", "since", "until", "limit", "cursor")
	if err != nil {
		return reply{}, err
	}
	limit, err := limitOf(q, lettersPage, lettersMost)
	if err != nil {
		return reply{}, err
	}
	find, err := letterQuery(wire.DeadLetterFilter{
		Plugin: q.Get("plugin"), EventID: q.Get("event_id"), EventType: q.Get("event_type"), Subject: q.Get("subject"),
		Class: q.Get("class"), Since: q.Get("since"), Until: q.Get("until"),
	})
	if err != nil {
		return reply{}, err
	}
	if err := s.reserveAnswer(c, pageBytes); err != nil {
		return reply{}, err
	}
	letters, next, err := s.cfg.DeadLetters.DeadLetters(c.Request().Context(), find, q.Get("cursor"), limit)
	if err != nil {
		return reply{}, err
	}
	page := wire.List[wire.DeadLetter]{Items: make([]wire.DeadLetter, 0, len(letters))}
	for _, l := range letters {
		l.Event = nil // up to 1 MiB each
		page.Items = append(page.Items, l)
	}
	if next != "" {
		page.Next = &next
	}
	return reply{body: page}, nil
}

// showDeadLetters is GET /api/v1/events/dead-letters/:id?plugin: those of one
// event, one for each plugin at most, with the event. Of a large event with many
// only the first ones have it.
func (s *Server) showDeadLetters(c echo.Context) (reply, error) {
	if s.cfg.DeadLetters == nil {
		return reply{}, missing("dead letters are")
	}
	id, err := param(c, "id")
	if err != nil {
		return reply{}, err
	}
	q, err := query(c, "plugin")
	if err != nil {
		return reply{}, err
	}
	find := DeadLetterQuery{EventID: id, Plugin: q.Get("plugin")}
	if err := s.reserveAnswer(c, pageBytes); err != nil {
		return reply{}, err
	}
	list := wire.List[wire.DeadLetter]{}
	size := 0
	for cursor := ""; ; {
		letters, next, err := s.cfg.DeadLetters.DeadLetters(c.Request().Context(), find, cursor, lettersMost)
		if err != nil {
			return reply{}, err
		}
		for _, l := range letters {
			if size += len(l.Event); size > pageBytes {
				l.Event = nil // the same as before, and large
			}
			list.Items = append(list.Items, l)
		}
		if cursor = next; cursor == "" {
			break
		}
	}
	if len(list.Items) == 0 {
		of := ""
		if find.Plugin != "" {
			of = " of " + shown(find.Plugin)
		}
		return reply{}, fault.New(fault.NotFound, "there is no dead letter%s for the event %s", of, shown(id))
	}
	return reply{body: list}, nil
}

// redrive is POST /api/v1/events/dead-letters/redrive.
func (s *Server) redrive(c echo.Context) (reply, error) {
	find, err := s.letterChoice(c)
	if err != nil {
		return reply{}, err
	}
	n, err := s.cfg.DeadLetters.Redrive(c.Request().Context(), find)
	return reply{body: wire.Redriven{Redriven: n}}, err
}

// purge is POST /api/v1/events/dead-letters/purge.
func (s *Server) purge(c echo.Context) (reply, error) {
	find, err := s.letterChoice(c)
	if err != nil {
		return reply{}, err
	}
	n, err := s.cfg.DeadLetters.Purge(c.Request().Context(), find)
	return reply{body: wire.Purged{Purged: n}}, err
}

// letterChoice reads which dead letters to change: a plugin's or an event's at
// least, so that an empty body does not mean all there are.
func (s *Server) letterChoice(c echo.Context) (DeadLetterQuery, error) {
	if s.cfg.DeadLetters == nil {
		return DeadLetterQuery{}, missing("dead letters are")
	}
	if _, err := query(c); err != nil {
		return DeadLetterQuery{}, err
	}
	f, err := decodeBody[wire.DeadLetterFilter](s, c)
	if err != nil {
		return DeadLetterQuery{}, err
	}
	if f.Plugin == "" && f.EventID == "" {
		return DeadLetterQuery{}, fault.Field("plugin", "is required, or event_id: say whose dead letters, or those of which event")
	}
	return letterQuery(f)
}

// letterQuery checks a filter.
func letterQuery(f wire.DeadLetterFilter) (DeadLetterQuery, error) {
	q := DeadLetterQuery{Plugin: f.Plugin, EventID: f.EventID, EventType: f.EventType, Subject: f.Subject, Class: f.Class}
	if f.EventType != "" {
		if _, err := event.ParseType(f.EventType); err != nil {
			return q, err
		}
	}
	if f.Class != "" && !slices.Contains(deadClasses(), f.Class) {
		return q, fault.Field("class", "%q is not a class of error; there are %s", shown(f.Class), strings.Join(deadClasses(), ", "))
	}
	for _, at := range []struct {
		field, text string
		to          *time.Time
	}{{"since", f.Since, &q.Since}, {"until", f.Until, &q.Until}} {
		if at.text == "" {
			continue
		}
		t, err := event.ParseTime(at.text)
		if err != nil {
			return q, fault.Field(at.field, "%v", err)
		}
		*at.to = t
	}
	if !q.Since.IsZero() && !q.Until.IsZero() && !q.Since.Before(q.Until) {
		return q, fault.Field("until", "is not after since")
	}
	return q, nil
}

// deadClasses are the classes that a dead letter's last error can be of.
func deadClasses() []string {
	var names []string
	for _, c := range []event.Class{event.ClassTimeout, event.ClassFuel, event.ClassTrap, event.ClassMemory, event.ClassStack, event.ClassExit, event.ClassBadResult,
		event.ClassRejected, event.ClassRetry, event.ClassConflict} {
		names = append(names, string(c))
	}
	return names
}

// showLog is GET /api/v1/events/log.
func (s *Server) showLog(c echo.Context) (reply, error) {
	if s.cfg.LogStatus == nil {
		return reply{}, missing("the log's status is")
	}
	if _, err := query(c); err != nil {
		return reply{}, err
	}
	status, err := s.cfg.LogStatus.LogStatus(c.Request().Context())
	if err != nil {
		return reply{}, err
	}
	if status.Handlers == nil {
		status.Handlers = []wire.LogReader{}
	}
	return reply{body: status}, nil
}
