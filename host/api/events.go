package api

import (
	"context"
	"encoding/json"

	"github.com/labstack/echo/v4"

	"github.com/berth-host/berth/host/api/cloudevents"
	"github.com/berth-host/berth/host/api/deferred"
	"github.com/berth-host/berth/host/api/inflight"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/wire"
)

const pageBytes = 8 << 20 // bytes of events in a page

// EventOf returns a record as the API shows it, without its deliveries.
func EventOf(rec event.Record) (wire.Event, error) {
	meta, err := json.Marshal(rec.Event.Metadata())
	if err != nil {
		return wire.Event{}, fault.New(fault.Internal, "encode the metadata of event %s: %w", rec.Event.ID(), err)
	}
	origin := rec.Event.Origin()
	ev := wire.Event{
		Seq:       rec.Seq,
		EventType: string(rec.Event.Type()),
		Data:      json.RawMessage(rec.Event.Data()),
		Metadata:  meta,
		Only:      origin.Only,
		CopyOf:    origin.CopyOf,
	}
	if !origin.Publisher.IsZero() {
		ev.PublishedBy = &origin.Publisher
	}
	return ev, nil
}

// showEvent is GET /api/v1/events/:id. An event that is not due yet has no Seq and no deliveries. A caller that prefers CloudEvents gets the event as
// one, without its deliveries.
func (s *Server) showEvent(r *request) (any, error) {
	id := r.param("id")
	r.reserveAnswer(event.MaxSize)
	if r.err != nil {
		return nil, r.err
	}
	rec, err := s.cfg.Events.Log.Event(r.ctx(), id)
	if fault.Is(err, fault.NotFound) {
		if ev, err := s.deferred().Show(input{r}, id); !fault.Is(err, fault.NotFound) {
			return ev, err
		}
	}
	if err != nil {
		return nil, err
	}
	header := map[string]string{"Vary": "Accept"}
	if cloudevents.Prefers(r.Request().Header.Values("Accept")) {
		text, err := cloudevents.Encode(rec.Event)
		return reply{kind: cloudevents.Structured, header: header, body: json.RawMessage(text)}, err
	}
	ev, err := EventOf(rec)
	if err != nil {
		return nil, err
	}
	list, err := s.cfg.Events.Deliveries.Deliveries(r.ctx(), rec)
	ev.Deliveries = orEmpty(list)
	return reply{header: header, body: ev}, err
}

// deferred is what the endpoints for scheduled events use.
func (s *Server) deferred() deferred.Parts {
	return deferred.Parts{Schedule: s.cfg.Events.Schedule, Log: s.cfg.Events.Log, EventOf: EventOf}
}

// event reads an event as for publishing.
func (r *request) event() *event.Event {
	r.fail(checkMediaType(r.Request()))
	text := r.readBody(inflight.MaxBody, inflight.MaxBody)
	if r.err != nil {
		return nil
	}
	ev, err := parseNative(text, "")
	r.fail(err)
	return ev
}

// stream is GET /api/v1/events/stream?since. It ends when its token is revoked or expires.
func (s *Server) stream(c echo.Context) error {
	r := requestOf(c)
	since := r.query("since").Get("since")
	if r.err != nil {
		return r.err
	}
	ctx, cancel := s.guard.WhileValid(r.ctx(), r.caller)
	defer cancel()
	s.cfg.Traffic.Streams.Add(1)
	defer s.cfg.Traffic.Streams.Add(-1)
	return s.streams.Serve(c.Response(), c.Request().WithContext(ctx), since)
}

// showLog is GET /api/v1/events/log.
func (s *Server) showLog(ctx context.Context, _ struct{}) (wire.LogStatus, error) {
	status, err := s.cfg.Events.Status.LogStatus(ctx)
	status.Handlers = orEmpty(status.Handlers)
	return status, err
}
