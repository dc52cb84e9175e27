package api

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/berth-host/berth/host/api/describe"
	"github.com/berth-host/berth/host/api/inflight"
	"github.com/berth-host/berth/host/api/problem"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/wire"
)

// publish is POST /api/v1/events.
func (s *Server) publish(r *request) (any, error) {
	if format := cloudEventFormat(r.Request()); format != nativeFormat {
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
	if err := applyKey(&d, r.Request().Header.Values("Idempotency-Key")); err != nil {
		return nil, err
	}
	return s.publishOne(r.ctx(), d, event.New, unnamed)
}

// publishOne publishes the event that build makes of a draft. named makes errors of the log
// name the fields that the publisher knows.
func (s *Server) publishOne(ctx context.Context, d event.Draft, build func(event.Draft) (*event.Event, error), named func(error) error) (
	_ any, err error) {
	id := ""
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
	receipts, err := s.cfg.Events.Publisher.PublishEvents(ctx, []*event.Event{ev})
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

// applyKey takes the idempotency key from the header if the event has none.
func applyKey(d *event.Draft, header []string) error {
	switch {
	case len(header) == 0:
		return nil
	case len(header) > 1:
		return fault.Field("Idempotency-Key", "is given %d times", len(header))
	case header[0] == "":
		return fault.Field("Idempotency-Key", "is empty")
	case d.IdempotencyKey == "":
		d.IdempotencyKey = header[0]
	case d.IdempotencyKey != header[0]:
		return fault.Field("Idempotency-Key", "the header and metadata.idempotency_key name different keys; give one")
	}
	return nil
}

// publishBatch publishes a list. parse reads one event, as parseNative does; named makes errors of the log name
// the fields that parse knows. Nothing is published unless every event is valid. A key that
// was used with other content concerns its event only: the answer is then 207, with the
// problem at its index.
func (s *Server) publishBatch(r *request, text []byte, parse func(text []byte, traceparent string) (*event.Event, error),
	named func(error) error) (_ any, err error) {
	if len(r.Request().Header.Values("Idempotency-Key")) > 0 {
		return nil, fault.Field("Idempotency-Key", "names one event, not a batch; use metadata.idempotency_key of each")
	}
	raws, err := splitBatch(text)
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
			return nil, within(i, err)
		}
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
		p := problem.Of(within(i, named(receipt.Err)))
		if p.Status == http.StatusInternalServerError {
			return nil, receipt.Err
		}
		list.Items[i].EventID = ""
		list.Items[i].Error = &p
		answer.status = http.StatusMultiStatus
	}
	answer.body = list
	return answer, nil
}

// splitBatch returns the events of a list. It stops at describe.MaxBatch, so that a body of
// many tiny values does not become a large list in memory.
func splitBatch(body []byte) ([]json.RawMessage, error) {
	dec := json.NewDecoder(bytes.NewReader(body))
	_, err := dec.Token() // the bracket
	var raws []json.RawMessage
	for err == nil && dec.More() {
		if len(raws) == describe.MaxBatch {
			return nil, fault.Field("", "the batch has more than %d events", describe.MaxBatch)
		}
		var raw json.RawMessage
		if err = dec.Decode(&raw); err == nil {
			raws = append(raws, raw)
		}
	}
	// The strict decoder describes any error, also one after the list.
	var whole json.RawMessage
	if err := event.DecodeStrict(body, &whole); err != nil {
		return nil, err
	}
	if err != nil {
		return nil, fault.New(fault.Invalid, "malformed JSON: %w", err)
	}
	if len(raws) == 0 {
		return nil, fault.Field("", "the batch is empty")
	}
	return raws, nil
}

// within adds the index of an event of a batch to an error about it.
func within(i int, err error) error {
	at := fmt.Sprintf("[%d]", i)
	var f *fault.Error
	if !errors.As(err, &f) {
		return fmt.Errorf("event %s: %w", at, err)
	}
	inner := *f
	if inner.Field != "" {
		at += "."
	}
	inner.Field = at + inner.Field
	return &inner
}

// receiptOf returns the answer for an event that was published, or refused by the log.
func (s *Server) receiptOf(r event.Receipt, ev *event.Event) wire.Receipt {
	answer := wire.Receipt{EventID: r.EventID, IdempotencyKey: r.IdempotencyKey, Duplicate: r.Duplicate}
	if r.Err == nil {
		answer.Routed = new(s.cfg.Events.Router.Routed(ev))
	}
	return answer
}
