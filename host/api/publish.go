package api

import (
	"cmp"
	"net/http"

	"github.com/berth-host/berth/host/api/batch"
	"github.com/berth-host/berth/host/api/cloudevents"
	"github.com/berth-host/berth/host/api/inflight"
	"github.com/berth-host/berth/host/api/problem"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/wire"
)

// publish is POST /api/v1/events.
func (s *Server) publish(r *request) (any, error) {
	if format := cloudevents.FormatOf(r.Request()); format != cloudevents.Native {
		return s.publishCloudEvents(r, format)
	}
	r.fail(checkMediaType(r.Request()))
	text := r.readBody(inflight.MaxBody, inflight.MaxList)
	if r.err != nil {
		return nil, r.err
	}
	if inflight.IsList(text) {
		return s.publishBatch(r, text, parseNative, unnamed)
	}
	d, err := event.ParseDraft(text)
	if err != nil {
		return nil, err
	}
	if err := batch.ApplyKey(&d, r.Request().Header.Values("Idempotency-Key")); err != nil {
		return nil, err
	}
	return s.publishOne(r, d, event.New, unnamed)
}

// publishOne publishes, as the caller's, the event that build makes of a draft. named makes errors of the log
// name the fields that the publisher knows.
func (s *Server) publishOne(r *request, d event.Draft, build func(event.Draft) (*event.Event, error), named func(error) error) (
	_ any, err error) {
	id, ctx := "", r.ctx()
	if s.cfg.Tracer != nil {
		var end func(string, error)
		ctx, end = s.cfg.Tracer.Publish(ctx, d.Type, 1, d.TraceParent)
		defer func() { end(id, err) }()
		d.TraceParent = cmp.Or(d.TraceParent, event.TraceParentOf(ctx))
	}
	ev, err := build(d)
	if err != nil {
		return nil, err
	}
	if err := s.checkKey(ev); err != nil {
		return nil, named(err)
	}
	receipts, err := s.cfg.Events.Publisher.PublishEvents(ctx, []*event.Event{r.published(ev)})
	if err != nil {
		return nil, err
	}
	if len(receipts) != 1 {
		return nil, fault.New(fault.Internal, "%d receipts for one event", len(receipts))
	}
	if err := receipts[0].Err; err != nil {
		return nil, named(err)
	}
	id = receipts[0].EventID
	return reply{status: http.StatusAccepted, body: s.receiptOf(receipts[0], ev)}, nil
}

// checkKey refuses an event whose idempotency key only the host may give.
func (s *Server) checkKey(ev *event.Event) error {
	return ev.CheckPublished(s.cfg.Plugins.Registry.Known)
}

// parseNative makes an event of a native envelope, with this traceparent unless it has one.
func parseNative(body []byte, traceparent string) (*event.Event, error) {
	d, err := event.ParseDraft(body)
	if err != nil {
		return nil, err
	}
	d.TraceParent = cmp.Or(d.TraceParent, traceparent)
	return event.New(d)
}

// unnamed leaves an error as it is.
func unnamed(err error) error { return err }

// publishBatch publishes a list. parse reads one event, as parseNative does; named makes errors of the log name
// the fields that parse knows. Nothing is published unless every event is valid. A key that
// was used with other content, and an event that the log refuses because it is not due yet,
// concern their event only: the answer is then 207, with the problem at its index.
func (s *Server) publishBatch(r *request, text []byte, parse func(text []byte, traceparent string) (*event.Event, error),
	named func(error) error) (_ any, err error) {
	if len(r.Request().Header.Values("Idempotency-Key")) > 0 {
		return nil, fault.Field("Idempotency-Key", "names one event, not a batch; use metadata.idempotency_key of each")
	}
	raws, err := batch.Split(text)
	if err != nil {
		return nil, err
	}
	ctx, traceparent := r.ctx(), ""
	if s.cfg.Tracer != nil {
		var end func(string, error)
		ctx, end = s.cfg.Tracer.Publish(ctx, "", len(raws), "")
		defer func() { end("", err) }()
		traceparent = event.TraceParentOf(ctx)
	}
	events := make([]*event.Event, len(raws))
	for i, raw := range raws {
		if events[i], err = parse(raw, traceparent); err == nil {
			err = named(s.checkKey(events[i]))
		}
		if err != nil {
			return nil, batch.Within(i, err)
		}
		events[i] = r.published(events[i])
	}
	receipts, err := s.cfg.Events.Publisher.PublishEvents(ctx, events)
	if err != nil {
		return nil, err
	}
	if len(receipts) != len(events) {
		return nil, fault.New(fault.Internal, "%d receipts for %d events", len(receipts), len(events))
	}
	answer := reply{status: http.StatusAccepted}
	list := wire.List[wire.BatchReceipt]{Items: make([]wire.BatchReceipt, len(receipts))}
	for i, receipt := range receipts {
		list.Items[i].Receipt = s.receiptOf(receipt, events[i])
		if receipt.Err == nil {
			continue
		}
		p := problem.Of(named(receipt.Err))
		if p.Status == http.StatusInternalServerError {
			return nil, receipt.Err
		}
		p.Field = batch.At(i, p.Field) // not before: with a field, a log without capacity is a request that is too large
		list.Items[i].EventID = ""
		list.Items[i].Error = &p
		answer.status = http.StatusMultiStatus
	}
	answer.body = list
	return answer, nil
}

// receiptOf returns the answer for an event that was published, or refused by the log.
func (s *Server) receiptOf(r event.Receipt, ev *event.Event) wire.Receipt {
	answer := wire.Receipt{EventID: r.EventID, IdempotencyKey: r.IdempotencyKey, Duplicate: r.Duplicate, Cancelled: r.Cancelled}
	if r.Err == nil {
		answer.Routed = new(s.cfg.Events.Router.Routed(ev))
		if !r.Due.IsZero() {
			answer.DueAt = &r.Due
		}
	}
	return answer
}
