package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/labstack/echo/v4"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/wire"
)

// reply is what a handler answers when it has no error.
type reply struct {
	status int    // 0 is 200
	kind   string // media type of the body; "" is application/json
	header map[string]string
	body   any // encoded as JSON
}

// serveJSON makes a handler of a function that answers a value or an error. The
// value is encoded before anything is sent, so that a failure is still a 500.
func serveJSON(handle func(c echo.Context) (reply, error)) echo.HandlerFunc {
	return func(c echo.Context) error {
		r, err := handle(c)
		if err != nil {
			return err
		}
		bare := r.status == http.StatusNoContent || r.status == http.StatusNotModified
		var body []byte
		if !bare {
			if body, err = encode(r.body); err != nil {
				return err
			}
		}
		noteAnswer(c, body)
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
}

func encode(v any) ([]byte, error) {
	if r, ok := v.(wire.Receipt); ok { // the answer there is most of
		if b, ok := appendReceipt(nil, r); ok {
			return b, nil
		}
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, fault.New(fault.Internal, "encode the answer: %w", err)
	}
	return b.Bytes(), nil
}

// appendReceipt encodes a receipt as encode would, or answers false when one of
// its texts has a character that needs a look at.
func appendReceipt(b []byte, r wire.Receipt) ([]byte, bool) {
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

// Bounds of bodies, in bytes. White space around an event does not count into
// its own limit, and so a body may be a little larger.
const (
	maxBody      = event.MaxSize + 64<<10
	maxBatchBody = 16 << 20
)

// decodeBody reads a JSON body into a T, strictly.
func decodeBody[T any](s *Server, c echo.Context) (T, error) {
	var v T
	if err := checkMediaType(c.Request()); err != nil {
		return v, err
	}
	body, err := s.readBody(c, maxBody, maxBody)
	if err != nil {
		return v, err
	}
	if !utf8.Valid(body) {
		return v, fault.Field("", "the body is not valid UTF-8")
	}
	return v, event.DecodeStrict(body, &v)
}

// checkMediaType takes application/json only.
func checkMediaType(r *http.Request) error {
	given := r.Header.Get("Content-Type")
	if given == "application/json" { // as nearly everybody writes it
		return checkCoding(r)
	}
	kind, _, err := mime.ParseMediaType(given)
	if err != nil || kind != "application/json" {
		return unsupported("is %q; it must be application/json", shown(given))
	}
	return checkCoding(r)
}

// checkCoding takes bodies as they are only.
func checkCoding(r *http.Request) error {
	if coding := r.Header.Get("Content-Encoding"); coding != "" && !strings.EqualFold(coding, "identity") {
		return unsupported("a body encoded as %q is not taken; send it as it is", shown(coding))
	}
	return nil
}

// unsupported is an error about a body's media type.
func unsupported(format string, args ...any) error {
	return &refusal{
		status: http.StatusUnsupportedMediaType,
		header: [2]string{"Accept", "application/json"},
		error:  &fault.Error{Code: fault.Invalid, Field: "Content-Type", Reason: fmt.Sprintf(format, args...)},
	}
}

// readBody reads a body of at most one bytes, or of at most list bytes if it is
// a JSON list. Its bytes count into the quotas until the request is answered.
func (s *Server) readBody(c echo.Context, one, list int) ([]byte, error) {
	r := c.Request()
	limit := one
	tooLarge := func() error {
		return &fault.Error{Code: fault.Exhausted, Field: "body", Reason: fmt.Sprintf("is over the limit of %d bytes", limit)}
	}
	size := 4 << 10
	if n := r.ContentLength; n >= 0 {
		if n > int64(max(one, list)) {
			limit = max(one, list)
			return nil, tooLarge()
		}
		size = int(min(n, int64(one))) + 1 // one more, to meet the end without growing
	}
	reserved, pace := s.reservation(c), s.pace(c)
	if err := reserved.begin(r.Context(), r.ContentLength); err != nil {
		return nil, err
	}
	defer pace.end()
	body := make([]byte, 0, size)
	for {
		if len(body) == cap(body) {
			body = append(body, 0)[:len(body)]
			if err := reserved.extend(int64(cap(body))); err != nil {
				return nil, err
			}
		}
		pace.more(len(body))
		n, err := r.Body.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		if len(body) > limit && isList(body) {
			limit = list
		}
		if len(body) > limit {
			return nil, tooLarge()
		}
		if errors.Is(err, io.EOF) {
			return body, nil
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return nil, pace.tooSlow(len(body))
		}
		if err != nil {
			return nil, fault.New(fault.Invalid, "the body ended early, after %d bytes: %w", len(body), err)
		}
	}
}

// isList reports whether JSON text starts with a list.
func isList(body []byte) bool {
	text := bytes.TrimLeft(body, " \t\r\n")
	return len(text) > 0 && text[0] == '['
}

// param returns a path parameter, decoded.
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

// query returns the query's parameters, which must be among these, once each.
func query(c echo.Context, known ...string) (url.Values, error) {
	values, err := url.ParseQuery(c.Request().URL.RawQuery)
	if err != nil {
		return nil, fault.New(fault.Invalid, "the query is malformed: %w", err)
	}
	for name, list := range values {
		if !slices.Contains(known, name) {
			return nil, fault.Field(shown(name), "is not a parameter here; there are %s", strings.Join(known, ", "))
		}
		if len(list) > 1 {
			return nil, fault.Field(name, "is given %d times", len(list))
		}
		if list[0] == "" {
			return nil, fault.Field(name, "is empty; leave it out for none")
		}
	}
	return values, nil
}

// limitOf reads the limit of a page.
func limitOf(q url.Values, standard, most int) (int, error) {
	text := q.Get("limit")
	if text == "" {
		return standard, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > most {
		return 0, fault.Field("limit", "is %q; it must be 1 to %d", shown(text), most)
	}
	return n, nil
}
