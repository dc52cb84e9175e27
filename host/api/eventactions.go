package api

import (
	"fmt"
	"slices"
	"strings"

	"github.com/berth-host/berth/host/api/guard"
	"github.com/berth-host/berth/host/api/problem"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/wire"
)

// waitsForBreaker is the Kind of a wire.WaitingFor.
const waitsForBreaker = "breaker"

// publisherOf returns who publishes with a token.
func publisherOf(t spec.Token) spec.Publisher { return spec.Publisher{Token: t.ID, Name: t.Name} }

// published returns an event with the caller as its publisher.
func (r *request) published(ev *event.Event) *event.Event {
	origin := ev.Origin()
	origin.Publisher = publisherOf(r.caller.Token)
	return ev.WithOrigin(origin)
}

// eventAt returns the event in the path of what is about one event. It is named by its id: a
// key could be a word that is another endpoint's.
func (s *Server) eventAt(r *request) (event.Record, error) {
	id := r.param("event_id")
	r.query()
	if !event.IsID(id) {
		r.fail(fault.Field("event_id", "%q is not the id of an event; GET %s?key= finds an event by its idempotency key", problem.Short(id), eventsPath))
	}
	if r.err != nil {
		return event.Record{}, r.err
	}
	return s.cfg.Events.Log.Event(r.ctx(), id)
}

// retryEvent is POST /api/v1/events/:event_id/retry: the deliveries of the event that are not ok
// are attempted now.
func (s *Server) retryEvent(r *request) (any, error) {
	in := optionalBody[wire.EventRetry](r)
	rec, err := s.eventAt(r)
	if err != nil {
		return nil, err
	}
	list, err := s.cfg.Events.Deliveries.Deliveries(r.ctx(), rec)
	if err != nil {
		return nil, err
	}
	done := wire.EventChange{EventID: rec.Event.ID(), Seq: rec.Seq, Plugins: []string{}}
	found, waits := false, ""
	for _, d := range list {
		if in.Plugin != "" && d.Plugin != in.Plugin {
			continue
		}
		found = true
		if d.Status == string(event.StatusOK) || d.Status == string(event.StatusDelivering) {
			continue
		}
		n, err := s.cfg.Actions.RetryNow(r.ctx(), d.Plugin, []uint64{rec.Seq})
		if err != nil {
			return nil, err
		}
		switch w := d.WaitingFor; {
		case n > 0 || w != nil && w.Kind == waitsForBreaker: // which lets it through now
			if !slices.Contains(done.Plugins, d.Plugin) { // a dead letter of a shard that is no more is another one
				done.Plugins = append(done.Plugins, d.Plugin)
			}
		case w != nil:
			waits += strings.TrimRight(fmt.Sprintf("; %s waits: %s %s", d.Plugin, w.Reason, w.EventID), " ")
		}
	}
	switch {
	case in.Plugin != "" && !found:
		return nil, fault.New(fault.NotFound, "the plugin %s does not get the event %s", problem.Short(in.Plugin), rec.Event.ID())
	case len(done.Plugins) == 0 && waits != "":
		return nil, fault.New(fault.Conflict, "nothing of the event %s waits for a retry%s", rec.Event.ID(), waits)
	case len(done.Plugins) == 0:
		return nil, fault.New(fault.Conflict, "nothing of the event %s waits for a retry: its deliveries are ok, under way or about to be; "+
			"a replay delivers again what is ok", rec.Event.ID())
	}
	return done, nil
}

// skipEvent is POST /api/v1/events/:event_id/skip: the event becomes a dead letter of one handler,
// without an attempt, so that later events of its key go on.
func (s *Server) skipEvent(r *request) (any, error) {
	in := body[wire.EventSkip](r)
	if in.Plugin == "" {
		r.fail(fault.Field("plugin", "is required: the plugin that is not to get the event"))
	}
	rec, err := s.eventAt(r)
	if err != nil {
		return nil, err
	}
	list, err := s.cfg.Events.Deliveries.Deliveries(r.ctx(), rec)
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(list, func(d wire.Delivery) bool { return d.Plugin == in.Plugin }) {
		return nil, fault.New(fault.NotFound, "the plugin %s does not get the event %s", problem.Short(in.Plugin), rec.Event.ID())
	}
	if err := s.cfg.Actions.SkipEvent(r.ctx(), in.Plugin, rec.Seq); err != nil {
		return nil, err
	}
	return wire.EventChange{EventID: rec.Event.ID(), Seq: rec.Seq, Plugins: []string{in.Plugin}}, nil
}

// copyEvent is POST /api/v1/events/:event_id/copy: it publishes an edited copy as a new event of
// the same chain. It requires the scope publish as well.
func (s *Server) copyEvent(r *request) (any, error) {
	if err := guard.CheckScope(r.caller.Token, spec.ScopePublish); err != nil {
		return nil, err
	}
	in := optionalBody[wire.EventCopy](r)
	rec, err := s.eventAt(r)
	if err != nil {
		return nil, err
	}
	if in.Plugin != "" && !s.cfg.Plugins.Registry.Known(in.Plugin) {
		return nil, fault.Field("plugin", "there is no plugin %q here", problem.Short(in.Plugin))
	}
	meta := rec.Event.Metadata()
	draft := event.Draft{Type: string(rec.Event.Type()), Data: []byte(rec.Event.Data()), Subject: meta.Subject, Source: meta.Source,
		CorrelationID: meta.CorrelationID, IdempotencyKey: in.IdempotencyKey}
	if in.EventType != "" {
		draft.Type = in.EventType
	}
	if len(in.Data) > 0 {
		draft.Data = in.Data
	}
	if in.Subject != nil {
		draft.Subject = *in.Subject
	}
	if event.CheckSource(event.Type(draft.Type), draft.Source) != nil {
		draft.Source = "" // the copy is no change of an order
	}
	return s.publishOne(r, draft, func(d event.Draft) (*event.Event, error) {
		ev, err := event.New(d)
		if err != nil {
			return nil, err
		}
		return ev.WithOrigin(event.Origin{Only: in.Plugin, CopyOf: meta.EventID}), nil
	}, unnamed)
}
