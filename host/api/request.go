package api

import (
	"context"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/labstack/echo/v4"

	"github.com/berth-host/berth/host/api/describe"
	"github.com/berth-host/berth/host/api/etag"
	"github.com/berth-host/berth/host/api/guard"
	"github.com/berth-host/berth/host/api/inflight"
	"github.com/berth-host/berth/host/api/problem"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/wire"
)

// request reads the input of one request. It keeps the first error: reads after it return
// zero values, and the request is answered with it. It is the echo.Context of handlers, so
// that what belongs to the request needs no map.
type request struct {
	echo.Context
	server *Server
	err    error

	caller   guard.Caller          // the zero Caller, which may do nothing, if there is none
	reserved *inflight.Reservation // nil before the first use
	audit    *wire.AuditRecord     // of a change, once it is recorded
}

// requestOf returns the request of a handler's context.
func requestOf(c echo.Context) *request { return c.(*request) }

// reply is an answer that is more than a body with the status 200.
type reply struct {
	status int    // 0 is 200
	kind   string // media type of the body; "" is application/json
	header map[string]string
	body   any  // encoded as JSON
	secret bool // the audit log does not have the body
}

// serveJSON makes a handler of a function that reads the input and one that computes the
// answer to it.
func serveJSON[In, Out any](s *Server, read func(*request) In, handle func(context.Context, In) (Out, error)) echo.HandlerFunc {
	return s.serve(func(r *request) (any, error) {
		in := read(r)
		if r.err != nil {
			return nil, r.err
		}
		return handle(r.ctx(), in)
	})
}

// serve makes a handler of a function that returns a body, or a reply. The body is encoded
// before anything is sent, so that a failure is still a 500.
func (s *Server) serve(handle func(*request) (any, error)) echo.HandlerFunc {
	return func(c echo.Context) error {
		answer, err := handle(requestOf(c))
		if err != nil {
			return err
		}
		return send(c, answer)
	}
}

func send(c echo.Context, answer any) (err error) {
	r, ok := answer.(reply)
	if !ok {
		r.body = answer
	}
	bare := r.status == http.StatusNoContent || r.status == http.StatusNotModified
	var body []byte
	if !bare {
		if body, err = encode(r.body); err != nil {
			return err
		}
	}
	if !r.secret {
		noteAnswer(c, body)
	}
	for name, value := range r.header {
		c.Response().Header().Set(name, value)
	}
	if bare {
		return c.NoContent(r.status)
	}
	if r.status == 0 {
		r.status = http.StatusOK
	}
	if r.kind == "" {
		r.kind = "application/json"
	}
	return c.Blob(r.status, r.kind, body)
}

func encode(v any) ([]byte, error) {
	if r, ok := v.(wire.Receipt); ok { // the most frequent answer
		if b, ok := appendReceipt(nil, r); ok {
			return b, nil
		}
	}
	b, err := wire.Encode(v)
	if err != nil {
		return nil, fault.New(fault.Internal, "encode the answer: %w", err)
	}
	return b, nil
}

// appendReceipt encodes a receipt as encode would, or returns false when one of its texts
// has a character that may need an escape.
func appendReceipt(b []byte, r wire.Receipt) ([]byte, bool) {
	if r.DueAt != nil || r.Cancelled {
		return b, false
	}
	for _, text := range []string{r.EventID, r.IdempotencyKey} {
		for i := range len(text) {
			if c := text[i]; c < ' ' || c >= 0x7f || c == '"' || c == '\\' {
				return b, false
			}
		}
	}
	b = slices.Grow(b, len(`{"event_id":"","idempotency_key":"","duplicate":false,"routed":false}`)+1+len(r.EventID)+len(r.IdempotencyKey))
	b = append(append(b, `{"event_id":"`...), r.EventID...)
	b = append(append(b, `","idempotency_key":"`...), r.IdempotencyKey...)
	b = strconv.AppendBool(append(b, `","duplicate":`...), r.Duplicate)
	if r.Routed != nil {
		b = strconv.AppendBool(append(b, `,"routed":`...), *r.Routed)
	}
	return append(b, "}\n"...), true
}

func (r *request) ctx() context.Context { return r.Request().Context() }

// fail keeps an error, if it is the first.
func (r *request) fail(err error) {
	if r.err == nil {
		r.err = err
	}
}

// nothing is the input of endpoints that take none.
func nothing(*request) struct{} { return struct{}{} }

// param returns a path parameter, decoded.
func (r *request) param(name string) string {
	value, err := param(r.Context, name)
	r.fail(err)
	return value
}

func param(c echo.Context, name string) (string, error) {
	value := c.Param(name)
	if c.Request().URL.RawPath == "" {
		return value, nil // the router matched the decoded path
	}
	value, err := url.PathUnescape(value)
	if err != nil {
		return "", fault.Field(name, "is not a valid path segment")
	}
	return value, nil
}

// pluginName is the input of endpoints about one plugin.
func (r *request) pluginName() string { return r.param("name") }

// query returns the query's parameters, which must be among these, once each.
func (r *request) query(known ...string) url.Values {
	values, err := url.ParseQuery(r.Request().URL.RawQuery)
	if err != nil {
		r.fail(fault.New(fault.Invalid, "the query is malformed: %w", err))
		return nil
	}
	for name, list := range values {
		switch {
		case !slices.Contains(known, name):
			r.fail(fault.Field(problem.Short(name), "is not a parameter here; there are %s", strings.Join(known, ", ")))
		case len(list) > 1:
			r.fail(fault.Field(name, "is given %d times", len(list)))
		case list[0] == "":
			r.fail(fault.Field(name, "is empty; leave it out for none"))
		}
	}
	return values
}

// limit returns the size of a page.
func (r *request) limit(q url.Values, maximum int) int {
	text := q.Get("limit")
	if text == "" {
		return describe.PageSize
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > maximum {
		r.fail(fault.Field("limit", "is %q; it must be 1 to %d", problem.Short(text), maximum))
	}
	return n
}

// time reads a time; "" is the zero time.
func (r *request) time(field, text string) (t time.Time) {
	if text != "" {
		var err error
		if t, err = event.ParseTime(text); err != nil {
			r.fail(fault.Field(field, "%v", err))
		}
	}
	return t
}

// flag returns a parameter of the query that is true or false; false when it is absent.
func (r *request) flag(q url.Values, name string) bool {
	on, err := strconv.ParseBool(q.Get(name))
	if err != nil && q.Has(name) {
		r.fail(fault.Field(name, "must be true or false"))
	}
	return on
}

// ifMatch returns the header If-Match.
func (r *request) ifMatch() etag.Tags {
	tags, err := etag.IfMatch(r.Request())
	r.fail(err)
	return tags
}

// body reads a JSON body into a T, strictly.
func body[T any](r *request) (v T) {
	r.decode(&v)
	return v
}

// decode reads a JSON body into v, strictly.
func (r *request) decode(v any) {
	r.fail(checkMediaType(r.Request()))
	text := r.readBody(inflight.MaxBody, inflight.MaxBody)
	if r.err != nil {
		return
	}
	if !utf8.Valid(text) {
		r.fail(fault.Field("", "the body is not valid UTF-8"))
		return
	}
	r.fail(event.DecodeStrict(text, v))
}

// optionalBody is body where the body may be absent.
func optionalBody[T any](r *request) (v T) {
	if r.Request().ContentLength == 0 {
		return v
	}
	return body[T](r)
}

// readBody reads a body of at most one bytes, or of at most list bytes if it is a list.
func (r *request) readBody(one, list int) []byte {
	if r.err != nil {
		return nil
	}
	text, err := r.reservation().ReadBody(r.Response(), r.Request(), one, list)
	r.fail(err)
	return text
}

// reserveAnswer reserves for an answer with up to size bytes of events.
func (r *request) reserveAnswer(size int64) {
	if r.err == nil {
		r.fail(r.reservation().Answer(r.ctx(), size))
	}
}

func (r *request) reservation() *inflight.Reservation {
	if r.reserved == nil {
		r.reserved = r.server.quotas.Reserve(r.caller.Token.ID)
	}
	return r.reserved
}

// checkMediaType refuses bodies other than application/json.
func checkMediaType(r *http.Request) error {
	given := r.Header.Get("Content-Type")
	if given == "application/json" { // the usual spelling
		return checkCoding(r)
	}
	kind, _, err := mime.ParseMediaType(given)
	if err != nil || kind != "application/json" {
		return unsupported("is %q; it must be application/json", problem.Short(given))
	}
	return checkCoding(r)
}

// checkCoding refuses compressed bodies.
func checkCoding(r *http.Request) error {
	if coding := r.Header.Get("Content-Encoding"); coding != "" && !strings.EqualFold(coding, "identity") {
		return unsupported("a body encoded as %q is not taken; send it as it is", problem.Short(coding))
	}
	return nil
}

// unsupported is an error about a body's media type.
func unsupported(format string, args ...any) error {
	return &problem.Refusal{
		Status: http.StatusUnsupportedMediaType,
		Header: [2]string{"Accept", "application/json"},
		Err:    &fault.Error{Code: fault.Invalid, Field: "Content-Type", Reason: fmt.Sprintf(format, args...)},
	}
}

// orEmpty returns a list that is encoded as [] rather than null.
func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}
