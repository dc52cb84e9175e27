package api

import (
	"context"
	"encoding/json"
	"strconv"

	"github.com/labstack/echo/v4"

	"github.com/berth-host/berth/host/api/cloudevents"
	"github.com/berth-host/berth/host/api/describe"
	"github.com/berth-host/berth/host/api/inflight"
	"github.com/berth-host/berth/host/api/problem"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/wire"
)

const (
	eventsChunk = 32      // events read from the log at a time, at most
	chunkBytes  = 2 << 20 // likewise, bytes
	pageBytes   = 8 << 20 // bytes of events in a page
)

// EventOf returns a record as the API shows it, without its deliveries.
func EventOf(rec event.Record) (wire.Event, error) {
	meta, err := json.Marshal(rec.Event.Metadata())
	if err != nil {
		return wire.Event{}, fault.New(fault.Internal, "encode the metadata of event %s: %w", rec.Event.ID(), err)
	}
	return wire.Event{
		Seq:       rec.Seq,
		EventType: string(rec.Event.Type()),
		Data:      json.RawMessage(rec.Event.Data()),
		Metadata:  meta,
	}, nil
}

// listEvents is GET /api/v1/events?type&subject&key&limit&cursor. A page ends early when its
// events are large. key finds one event by any idempotency key; in the path of showEvent a
// key may be a word of the API, or a text that clients normalise (a slash, dots).
func (s *Server) listEvents(r *request) (any, error) {
	q := r.query("type", "subject", "key", "limit", "cursor")
	limit := r.limit(q, describe.MaxPage)
	find := event.Query{Subject: q.Get("subject"), Key: q.Get("key")}
	var err error
	if name := q.Get("type"); name != "" {
		if find.Type, err = event.ParseType(name); err != nil {
			r.fail(fault.Field("type", "%q is not an event type", problem.Short(name)))
		}
	}
	if text := q.Get("cursor"); text != "" {
		find.Before, err = strconv.ParseUint(text, 10, 64)
		if err != nil || find.Before == 0 {
			r.fail(fault.Field("cursor", "%q is not a cursor of this list; pass next of the page before", problem.Short(text)))
		}
	}
	r.reserveAnswer(pageBytes)
	if r.err != nil {
		return nil, r.err
	}
	page := wire.List[wire.Event]{Items: []wire.Event{}}
	for size := 0; ; {
		find.Limit = min(limit-len(page.Items)+1, chunkOf(size, len(page.Items)))
		records, err := s.cfg.Events.Log.Events(r.ctx(), find)
		if err != nil {
			return nil, err
		}
		for _, rec := range records {
			if len(page.Items) == limit || size >= pageBytes {
				next := strconv.FormatUint(page.Items[len(page.Items)-1].Seq, 10)
				page.Next = &next
				return page, nil
			}
			ev, err := EventOf(rec)
			if err != nil {
				return nil, err
			}
			page.Items = append(page.Items, ev)
			size += len(ev.Data) + len(ev.Metadata)
			find.Before = rec.Seq
		}
		if len(records) < find.Limit {
			return page, nil
		}
	}
}

// chunkOf returns how many events to read at once, given the bytes of those read so far:
// about chunkBytes, since events differ in size by a factor of a thousand.
func chunkOf(bytes, events int) int {
	if events == 0 {
		return chunkBytes / event.MaxSize
	}
	return max(1, min(eventsChunk, chunkBytes/max(1, bytes/events)))
}

// showEvent is GET /api/v1/events/:id. A caller that prefers CloudEvents gets the event as
// one, without its deliveries.
func (s *Server) showEvent(r *request) (any, error) {
	id := r.param("id")
	r.reserveAnswer(event.MaxSize)
	if r.err != nil {
		return nil, r.err
	}
	rec, err := s.cfg.Events.Log.Event(r.ctx(), id)
	if err != nil {
		return nil, err
	}
	header := map[string]string{"Vary": "Accept"}
	if prefersCloudEvent(r.Request().Header.Values("Accept")) {
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
