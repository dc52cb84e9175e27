package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/labstack/echo/v4"

	"github.com/berth-host/berth/host/api/cloudevents"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/wire"
)

const (
	maxBatch    = 1000 // events of a batch
	eventsPage  = 50   // events of a page by default
	eventsMost  = 500  // and at most
	eventsChunk = 32   // read from the log at a time, and
	chunkBytes  = 2 << 20
	pageBytes   = 8 << 20
)

// publish is POST /api/v1/events.
func (s *Server) publish(c echo.Context) (reply, error) {
	if format := cloudEventFormat(c.Request()); format != nativeFormat {
		return s.publishCloudEvents(c, format)
	}
	if err := checkMediaType(c.Request()); err != nil {
		return reply{}, err
	}
	body, err := s.readBody(c, maxBody, maxBatchBody)
	if err != nil {
		return reply{}, err
	}
	if isList(body) {
		return s.publishBatch(c, body, parseNative, unnamed)
	}
	d, err := event.ParseDraft(body)
	if err != nil {
		return reply{}, err
	}
	if err := applyKey(&d, c.Request().Header.Values("Idempotency-Key")); err != nil {
		return reply{}, err
	}
	ev, err := event.New(d)
	if err != nil {
		return reply{}, err
	}
	return s.publishOne(c, ev, unnamed)
}

// publishOne publishes one event. named has errors of the log name what the
// publisher knows its fields by.
func (s *Server) publishOne(c echo.Context, ev *event.Event, named func(error) error) (reply, error) {
	if err := s.reserved(ev); err != nil {
		return reply{}, named(err)
	}
	receipts, err := s.cfg.Publisher.PublishEvents(c.Request().Context(), []*event.Event{ev})
	if err != nil {
		return reply{}, err
	}
	if len(receipts) != 1 {
		return reply{}, fault.New(fault.Internal, "%d receipts for one event", len(receipts))
	}
	if err := receipts[0].Err; err != nil {
		return reply{}, named(err)
	}
	return reply{status: http.StatusAccepted, body: s.receiptOf(receipts[0], ev)}, nil
}

// reserved returns why a request may not publish the event: the host gives its
// key itself.
func (s *Server) reserved(ev *event.Event) error {
	return ev.CheckPublished(s.cfg.Plugins.Known)
}

// parseNative makes an event of a native envelope.
func parseNative(body []byte) (*event.Event, error) {
	d, err := event.ParseDraft(body)
	if err != nil {
		return nil, err
	}
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

// batchReceipt is a Receipt, or the reason why this event was not taken.
type batchReceipt struct {
	wire.Receipt
	Error *wire.Problem `json:"error,omitempty"`
}

// publishBatch publishes a list, of which parse reads one event, and named has
// errors of the log name what parse knows its fields by. Nothing is published unless every event is
// valid. A key that is taken with other content concerns its event only: the
// answer is then 207, with the problem in its place.
func (s *Server) publishBatch(c echo.Context, body []byte, parse func([]byte) (*event.Event, error), named func(error) error) (reply, error) {
	if len(c.Request().Header.Values("Idempotency-Key")) > 0 {
		return reply{}, fault.Field("Idempotency-Key", "names one event, not a batch; use metadata.idempotency_key of each")
	}
	raws, err := splitBatch(body)
	if err != nil {
		return reply{}, err
	}
	events := make([]*event.Event, len(raws))
	for i, raw := range raws {
		if events[i], err = parse(raw); err == nil {
			err = named(s.reserved(events[i]))
		}
		if err != nil {
			return reply{}, within(i, err)
		}
	}
	receipts, err := s.cfg.Publisher.PublishEvents(c.Request().Context(), events)
	if err != nil {
		return reply{}, err
	}
	if len(receipts) != len(events) {
		return reply{}, fault.New(fault.Internal, "%d receipts for %d events", len(receipts), len(events))
	}
	answer := reply{status: http.StatusAccepted}
	list := wire.List[batchReceipt]{Items: make([]batchReceipt, len(receipts))}
	for i, receipt := range receipts {
		list.Items[i].Receipt = s.receiptOf(receipt, events[i])
		if receipt.Err == nil {
			continue
		}
		problem := problemOf(within(i, named(receipt.Err)))
		if problem.Status == http.StatusInternalServerError {
			return reply{}, receipt.Err
		}
		list.Items[i].EventID = ""
		list.Items[i].Error = &problem
		answer.status = http.StatusMultiStatus
	}
	answer.body = list
	return answer, nil
}

// splitBatch takes a list apart. It stops at maxBatch, so that a body of many
// tiny values does not become a large list in memory.
func splitBatch(body []byte) ([]json.RawMessage, error) {
	dec := json.NewDecoder(bytes.NewReader(body))
	_, err := dec.Token() // the bracket
	var raws []json.RawMessage
	for err == nil && dec.More() {
		if len(raws) == maxBatch {
			return nil, fault.Field("", "the batch has more than %d events", maxBatch)
		}
		var raw json.RawMessage
		if err = dec.Decode(&raw); err == nil {
			raws = append(raws, raw)
		}
	}
	// Whatever is wrong, even after the list, this finds and describes it.
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

// within says that an error is about one event of a batch.
func within(i int, err error) error {
	place := fmt.Sprintf("[%d]", i)
	var f *fault.Error
	if !errors.As(err, &f) {
		return fmt.Errorf("event %s: %w", place, err)
	}
	inner := *f
	if inner.Field != "" {
		place += "."
	}
	inner.Field = place + inner.Field
	return &inner
}

// receiptOf answers for an event that was published, or refused by the log.
func (s *Server) receiptOf(r event.Receipt, ev *event.Event) wire.Receipt {
	answer := wire.Receipt{EventID: r.EventID, IdempotencyKey: r.IdempotencyKey, Duplicate: r.Duplicate}
	if r.Err == nil && s.cfg.Router != nil {
		answer.Routed = new(s.cfg.Router.Routed(ev))
	}
	return answer
}

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

// listEvents is GET /api/v1/events?type&subject&key&limit&cursor. A page ends early
// when its events are large. key finds one event by its idempotency key, whatever
// that is: in the path of showEvent it could be a word of the API, or a text that
// programs change on the way (a slash, dots).
func (s *Server) listEvents(c echo.Context) (reply, error) {
	q, err := query(c, "type", "subject", "key", "limit", "cursor")
	if err != nil {
		return reply{}, err
	}
	limit, err := limitOf(q, eventsPage, eventsMost)
	if err != nil {
		return reply{}, err
	}
	find := event.Query{Subject: q.Get("subject"), Key: q.Get("key")}
	if name := q.Get("type"); name != "" {
		if find.Type, err = event.ParseType(name); err != nil {
			return reply{}, fault.Field("type", "%q is not an event type", shown(name))
		}
	}
	if text := q.Get("cursor"); text != "" {
		find.Before, err = strconv.ParseUint(text, 10, 64)
		if err != nil || find.Before == 0 {
			return reply{}, fault.Field("cursor", "%q is not a cursor of this list; pass next of the page before", shown(text))
		}
	}
	if err := s.reserveAnswer(c, pageBytes); err != nil {
		return reply{}, err
	}
	page := wire.List[wire.Event]{Items: []wire.Event{}}
	for size := 0; ; {
		find.Limit = min(limit-len(page.Items)+1, chunkOf(size, len(page.Items)))
		records, err := s.cfg.Events.Events(c.Request().Context(), find)
		if err != nil {
			return reply{}, err
		}
		for _, rec := range records {
			if len(page.Items) == limit || size >= pageBytes {
				next := strconv.FormatUint(page.Items[len(page.Items)-1].Seq, 10)
				page.Next = &next
				return reply{body: page}, nil
			}
			ev, err := EventOf(rec)
			if err != nil {
				return reply{}, err
			}
			page.Items = append(page.Items, ev)
			size += len(ev.Data) + len(ev.Metadata)
			find.Before = rec.Seq
		}
		if len(records) < find.Limit {
			return reply{body: page}, nil
		}
	}
}

// chunkOf is how many events to read at once after so many of so many bytes: about
// chunkBytes of them, for one event may have a thousand times the bytes of another.
func chunkOf(bytes, events int) int {
	if events == 0 {
		return chunkBytes / event.MaxSize
	}
	return max(1, min(eventsChunk, chunkBytes/max(1, bytes/events)))
}

// showEvent is GET /api/v1/events/:id. To a caller that would rather have it the
// event is shown as a CloudEvent, without its deliveries.
func (s *Server) showEvent(c echo.Context) (reply, error) {
	id, err := param(c, "id")
	if err != nil {
		return reply{}, err
	}
	if err := s.reserveAnswer(c, event.MaxSize); err != nil {
		return reply{}, err
	}
	ctx := c.Request().Context()
	rec, err := s.cfg.Events.Event(ctx, id)
	if err != nil {
		return reply{}, err
	}
	header := map[string]string{"Vary": "Accept"}
	if prefersCloudEvent(c.Request().Header.Values("Accept")) {
		text, err := cloudevents.Encode(rec.Event)
		if err != nil {
			return reply{}, err
		}
		return reply{kind: cloudevents.Structured, header: header, body: json.RawMessage(text)}, nil
	}
	ev, err := EventOf(rec)
	if err != nil {
		return reply{}, err
	}
	if ev.Deliveries, err = s.cfg.Deliveries.Deliveries(ctx, rec); err != nil {
		return reply{}, err
	}
	if ev.Deliveries == nil {
		ev.Deliveries = []wire.Delivery{}
	}
	return reply{header: header, body: ev}, nil
}
