package api

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/wire"
)

// refusal is an error with a meaning in HTTP that its fault code alone does
// not have: its status and one header.
type refusal struct {
	status int
	header [2]string // name and value, or empty
	error
}

func (r *refusal) Unwrap() error { return r.error }

// detailed is an error about a file of the host's, such as its configuration.
type detailed interface {
	error
	Details() []wire.ErrorDetail
}

// approvalRequired is the code of a problem that has a plan.
const approvalRequired = "approval_required"

// problemOf is the one mapping from errors to statuses. An internal error keeps
// its text in the problem; fail takes it out.
func problemOf(err error) wire.Problem {
	var r *refusal
	if errors.As(err, &r) {
		err = r.error
	}
	p := wire.Problem{Type: "about:blank", Code: string(fault.CodeOf(err)), Detail: err.Error()}
	var list detailed
	if errors.As(err, &list) {
		p.Errors = list.Details()
	}
	var f *fault.Error
	if errors.As(err, &f) {
		p.Field = f.Field
		if err == error(f) {
			p.Detail = f.Reason // the field has its own place
		}
	}
	switch fault.CodeOf(err) {
	case fault.Invalid:
		p.Status = http.StatusBadRequest
		if p.Errors != nil { // the request is in order, a file of the host's is not
			p.Status = http.StatusUnprocessableEntity
		}
	case fault.NotFound:
		p.Status = http.StatusNotFound
	case fault.Conflict:
		p.Status = http.StatusConflict
	case fault.Precondition:
		p.Status = http.StatusPreconditionFailed
	case fault.Denied:
		p.Status = http.StatusForbidden
	case fault.Exhausted:
		switch {
		case p.Field != "": // it is the caller's input that is too large, not the host that is full
			p.Status = http.StatusRequestEntityTooLarge
		case fault.RetryAfter(err) > 0: // a limit that passes
			p.Status = http.StatusTooManyRequests
		default: // the disk
			p.Status = http.StatusInsufficientStorage
		}
	case fault.Unavailable:
		p.Status = http.StatusServiceUnavailable
	case fault.Timeout:
		p.Status = http.StatusGatewayTimeout
	default:
		p.Status = http.StatusInternalServerError
	}
	if f == nil {
		switch {
		case errors.Is(err, context.DeadlineExceeded):
			p.Code, p.Status = string(fault.Timeout), http.StatusGatewayTimeout
		case errors.Is(err, context.Canceled): // the caller went away: nobody reads this
			p.Code, p.Status = string(fault.Unavailable), http.StatusServiceUnavailable
		}
	}
	var planned Planned
	if errors.As(err, &planned) {
		plan := planned.Plan()
		p.Code, p.Status, p.Plan = approvalRequired, http.StatusConflict, &plan
	}
	if badGateway(err) {
		p.Status = http.StatusBadGateway
	}
	if r != nil {
		p.Status = r.status
	}
	p.Title = http.StatusText(p.Status)
	return p
}

// fail answers a request with its error.
func (s *Server) fail(err error, c echo.Context) {
	if c.Response().Committed {
		s.cfg.Logger.Debug("an answer ended early", "path", c.Path(), "error", err)
		return
	}
	header := c.Response().Header()
	err = s.routing(err, c)
	p := problemOf(err)
	var r *refusal
	if errors.As(err, &r) && r.header[0] != "" {
		header.Set(r.header[0], r.header[1])
	}
	if wait := retryAfter(err, p.Status); wait > 0 {
		header.Set("Retry-After", strconv.Itoa(int((wait+time.Second-1)/time.Second)))
	}
	s.conceal(&p, err, c)
	body, err := encode(p)
	if err == nil {
		err = c.Blob(p.Status, "application/problem+json", body)
	}
	if err != nil {
		s.cfg.Logger.Debug("an error was not answered", "path", c.Path(), "error", err)
	}
}

// diskRetry is when a client asks again after the disk was full: nobody knows
// when there is room, and asking costs little.
const diskRetry = 10 * time.Second

// retryAfter is what the client is told to wait (RFC 9110, 10.2.3), 0 for nothing.
func retryAfter(err error, status int) time.Duration {
	if status == http.StatusInsufficientStorage {
		return diskRetry
	}
	return fault.RetryAfter(err)
}

// conceal takes an internal error's text out of the answer, and into the log.
func (s *Server) conceal(p *wire.Problem, err error, c echo.Context) {
	if p.Status != http.StatusInternalServerError {
		return
	}
	id := rand.Text()[:10]
	s.cfg.Logger.Error("internal error", "request", id, "method", c.Request().Method, "path", c.Request().URL.Path, "error", err)
	p.Code, p.Field = string(fault.Internal), ""
	p.Detail = "internal error; the host's log says what happened at request " + id
}

// routing gives Echo's own errors, unknown path and wrong method, a text.
func (s *Server) routing(err error, c echo.Context) error {
	var he *echo.HTTPError
	if !errors.As(err, &he) {
		return err
	}
	r := c.Request()
	switch he.Code {
	case http.StatusNotFound:
		return fault.New(fault.NotFound, "there is nothing at %s", shown(r.URL.Path))
	case http.StatusMethodNotAllowed:
		allow := strings.Join(s.allow[c.Path()], ", ")
		return &refusal{status: he.Code, header: [2]string{"Allow", allow},
			error: fault.New(fault.Invalid, "%s is not a method of %s; it has %s", shown(r.Method), shown(r.URL.Path), allow)}
	}
	return fmt.Errorf("echo: %w", err)
}

// nowhere answers 405 at a path that would otherwise be taken for an id.
func nowhere(echo.Context) error { return echo.ErrMethodNotAllowed }

// shown keeps input short in an error.
func shown(s string) string {
	const most = 80
	if len(s) > most {
		return fmt.Sprintf("%q…", s[:most])
	}
	return s
}
