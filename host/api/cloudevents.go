package api

import (
	"bytes"
	"cmp"
	"mime"
	"net/http"
	"strconv"
	"strings"

	"github.com/berth-host/berth/host/api/cloudevents"
	"github.com/berth-host/berth/host/api/inflight"
	"github.com/berth-host/berth/host/api/problem"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/wire"
)

// format is the encoding of published events.
type format int

const (
	nativeFormat format = iota
	structuredFormat
	batchFormat
	binaryFormat
	otherFormat // CloudEvents in an unsupported format
)

// cloudEventFormat returns the format that the headers announce (CloudEvents HTTP protocol
// binding 1.0, section 3).
func cloudEventFormat(r *http.Request) format {
	given := r.Header.Get("Content-Type")
	if given == "application/json" && !cloudevents.IsBinary(r.Header) {
		return nativeFormat
	}
	kind, params, err := mime.ParseMediaType(given)
	utf8 := params["charset"] == "" || strings.EqualFold(params["charset"], "utf-8")
	switch {
	case err == nil && utf8 && kind == cloudevents.Structured:
		return structuredFormat
	case err == nil && utf8 && kind == cloudevents.Batch:
		return batchFormat
	case strings.HasPrefix(strings.ToLower(given), "application/cloudevents"):
		return otherFormat
	case cloudevents.IsBinary(r.Header):
		return binaryFormat
	}
	return nativeFormat
}

// publishCloudEvents is POST /api/v1/events with CloudEvents: answers, limits and errors are
// those of native events.
func (s *Server) publishCloudEvents(r *request, f format) (any, error) {
	in := r.Request()
	if f == otherFormat {
		return nil, unsupported("is %q; CloudEvents are taken as %s, as %s (both in UTF-8) and in binary mode",
			problem.Short(in.Header.Get("Content-Type")), cloudevents.Structured, cloudevents.Batch)
	}
	r.fail(checkCoding(in))
	if len(in.Header.Values("Idempotency-Key")) > 0 {
		r.fail(fault.Field("Idempotency-Key", "is not for CloudEvents: their source and id are the key"))
	}
	if f == batchFormat {
		text := r.readBody(inflight.MaxList, inflight.MaxList)
		switch {
		case r.err != nil:
			return nil, r.err
		case !inflight.IsList(text):
			return nil, fault.Field("body", "must be a list of CloudEvents; a single one is %s", cloudevents.Structured)
		case isEmptyList(text): // which the JSON Batch Format allows in a request
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
	if f == structuredFormat {
		d, err = cloudevents.ParseStructured(text)
	} else {
		d, err = cloudevents.ParseBinary(in.Header, text)
	}
	if err != nil {
		return nil, err
	}
	return s.publishOne(r.ctx(), d, cloudevents.New, cloudevents.Named)
}

func parseCloudEvent(body []byte, traceparent string) (*event.Event, error) {
	d, err := cloudevents.ParseStructured(body)
	if err != nil {
		return nil, err
	}
	d.TraceParent = cmp.Or(d.TraceParent, traceparent)
	return cloudevents.New(d)
}

// isEmptyList reports whether JSON text is a list without a value in it.
func isEmptyList(body []byte) bool {
	inside, found := bytes.CutPrefix(bytes.Trim(body, " \t\r\n"), []byte("["))
	return found && string(bytes.TrimLeft(inside, " \t\r\n")) == "]"
}

// prefersCloudEvent reports whether Accept names CloudEvents with at least the weight of
// JSON (RFC 9110, section 12.5.1). Wildcards mean JSON.
func prefersCloudEvent(accept []string) bool {
	weight := map[string]float64{}
	for part := range strings.SplitSeq(strings.Join(accept, ","), ",") {
		kind, params, err := mime.ParseMediaType(part)
		if err != nil {
			continue
		}
		q := 1.0
		if text, ok := params["q"]; ok {
			if q, err = strconv.ParseFloat(text, 64); err != nil {
				continue
			}
		}
		weight[kind] = q
	}
	return weight[cloudevents.Structured] > 0 && weight[cloudevents.Structured] >= weight["application/json"]
}
