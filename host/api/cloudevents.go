package api

import (
	"bytes"
	"mime"
	"net/http"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/berth-host/berth/host/api/cloudevents"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/wire"
)

// format is how a publisher sends events.
type format int

const (
	nativeFormat format = iota
	structuredFormat
	batchFormat
	binaryFormat
	otherFormat // CloudEvents in a format that is not taken
)

// cloudEventFormat tells by the headers what a publisher sends (CloudEvents HTTP
// protocol binding 1.0, section 3).
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

// publishCloudEvents is POST /api/v1/events with CloudEvents: answers, limits
// and errors are those of native events.
func (s *Server) publishCloudEvents(c echo.Context, f format) (reply, error) {
	r := c.Request()
	if f == otherFormat {
		return reply{}, unsupported("is %q; CloudEvents are taken as %s, as %s (both in UTF-8) and in binary mode", shown(r.Header.Get("Content-Type")), cloudevents.Structured, cloudevents.Batch)
	}
	if err := checkCoding(r); err != nil {
		return reply{}, err
	}
	if len(r.Header.Values("Idempotency-Key")) > 0 {
		return reply{}, fault.Field("Idempotency-Key", "is not for CloudEvents: their source and id are the key")
	}
	if f == batchFormat {
		body, err := s.readBody(c, maxBatchBody, maxBatchBody)
		if err != nil {
			return reply{}, err
		}
		if !isList(body) {
			return reply{}, fault.Field("body", "must be a list of CloudEvents; a single one is %s", cloudevents.Structured)
		}
		if isEmptyList(body) { // which the JSON Batch Format allows in a request
			return reply{status: http.StatusAccepted, body: wire.List[batchReceipt]{Items: []batchReceipt{}}}, nil
		}
		return s.publishBatch(c, body, parseCloudEvent, cloudevents.Named)
	}
	body, err := s.readBody(c, maxBody, maxBody)
	if err != nil {
		return reply{}, err
	}
	var d event.Draft
	if f == structuredFormat {
		d, err = cloudevents.ParseStructured(body)
	} else {
		d, err = cloudevents.ParseBinary(r.Header, body)
	}
	if err != nil {
		return reply{}, err
	}
	ev, err := cloudevents.New(d)
	if err != nil {
		return reply{}, err
	}
	return s.publishOne(c, ev, cloudevents.Named)
}

func parseCloudEvent(body []byte) (*event.Event, error) {
	d, err := cloudevents.ParseStructured(body)
	if err != nil {
		return nil, err
	}
	return cloudevents.New(d)
}

// isEmptyList reports whether JSON text is a list without a value in it.
func isEmptyList(body []byte) bool {
	inside, found := bytes.CutPrefix(bytes.Trim(body, " \t\r\n"), []byte("["))
	return found && string(bytes.TrimLeft(inside, " \t\r\n")) == "]"
}

// prefersCloudEvent reports whether Accept names CloudEvents, and not JSON as
// what is rather wanted (RFC 9110, section 12.5.1). Wildcards mean JSON.
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
