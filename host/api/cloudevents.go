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

// publishCloudEvents is POST /api/v1/events with CloudEvents: answers, limits and errors are
// those of native events.
func (s *Server) publishCloudEvents(r *request, f cloudevents.Format) (any, error) {
	in := r.Request()
	if f == cloudevents.Other {
		return nil, unsupported("is %q; CloudEvents are taken as %s, as %s (both in UTF-8) and in binary mode",
			problem.Short(in.Header.Get("Content-Type")), cloudevents.Structured, cloudevents.Batch)
	}
	r.fail(checkCoding(in))
	if len(in.Header.Values("Idempotency-Key")) > 0 {
		r.fail(fault.Field("Idempotency-Key", "is not for CloudEvents: their source and id are the key"))
	}
	if f == cloudevents.InBatch {
		text := r.readBody(inflight.MaxList, inflight.MaxList)
		switch {
		case r.err != nil:
			return nil, r.err
		case !inflight.IsList(text):
			return nil, fault.Field("body", "must be a list of CloudEvents; a single one is %s", cloudevents.Structured)
		case batch.IsEmpty(text): // which the JSON Batch Format allows in a request
			return reply{status: http.StatusAccepted, body: wire.List[wire.BatchReceipt]{Items: []wire.BatchReceipt{}}}, nil
		}
		return s.publishBatch(r, text, parseCloudEvent, cloudevents.Named)
	}
	text := r.readBody(inflight.MaxBody, inflight.MaxBody)
	if r.err != nil {
		return nil, r.err
	}
	var d event.Draft
	var err error
	if f == cloudevents.InStructure {
		d, err = cloudevents.ParseStructured(text)
	} else {
		d, err = cloudevents.ParseBinary(in.Header, text)
	}
	if err != nil {
		return nil, err
	}
	return s.publishOne(r, d, cloudevents.New, cloudevents.Named)
}

func parseCloudEvent(body []byte, traceparent string) (*event.Event, error) {
	d, err := cloudevents.ParseStructured(body)
	if err != nil {
		return nil, err
	}
	d.TraceParent = cmp.Or(d.TraceParent, traceparent)
	return cloudevents.New(d)
}
