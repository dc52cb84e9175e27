package api

import (
	"strconv"
	"time"

	"github.com/berth-host/berth/host/api/describe"
	"github.com/berth-host/berth/host/api/search"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/wire"
)

// listEvents is GET /api/v1/events. A page ends early when its events are large, and when the
// bounds of a search have ended it. key finds one event by any idempotency key; in the path
// of showEvent a key may be a word of the API, or a text that clients normalise (a slash,
// dots).
func (s *Server) listEvents(r *request) (any, error) {
	q := r.query(describe.EventFilters()...)
	limit := r.limit(q, describe.MaxPage)
	counts := r.flag(q, "counts")
	filter, before, err := search.Parse(q, time.Now(), s.cfg.Events.Router.Selection)
	r.fail(err)
	r.reserveAnswer(pageBytes)
	if r.err != nil {
		return nil, r.err
	}
	page := wire.List[wire.Event]{Items: []wire.Event{}}
	size := 0
	next, err := s.searcher.Each(r.ctx(), filter, before, func(found search.Found) (bool, error) {
		if len(page.Items) == limit || size >= pageBytes {
			page.Next = cursorOf(page.Items[len(page.Items)-1].Seq)
			return false, nil
		}
		ev, err := EventOf(found.Record)
		if err != nil {
			return false, err
		}
		if counts {
			if found.Deliveries == nil {
				if found.Deliveries, err = s.cfg.Events.Deliveries.Deliveries(r.ctx(), found.Record); err != nil {
					return false, err
				}
			}
			ev.DeliveryCounts = new(search.Count(found.Deliveries))
		}
		page.Items = append(page.Items, ev)
		size += len(ev.Data) + len(ev.Metadata)
		return true, nil
	})
	if err == nil && next != 0 {
		page.Next = cursorOf(next)
	}
	return page, err
}

// cursorOf returns the cursor of the events below a Seq.
func cursorOf(seq uint64) *string { return new(strconv.FormatUint(seq, 10)) }

// showTree is GET /api/v1/events/:event_id/tree.
func (s *Server) showTree(r *request) (any, error) {
	r.reserveAnswer(event.MaxSize)
	rec, err := s.eventAt(r)
	var due time.Time
	if fault.Is(err, fault.NotFound) {
		if later, e := s.cfg.Events.Schedule.ScheduledEvent(r.ctx(), r.param("event_id")); e == nil && later.Cancelled.IsZero() {
			rec, due, err = event.Record{Event: later.Event}, later.Due, nil
		}
	}
	if err != nil {
		return nil, err
	}
	return s.searcher.Tree(r.ctx(), rec, due)
}
