// Package problem maps errors to answers of the API: a fault code to its HTTP status,
// and an error to a problem (RFC 9457). Of is the only such mapping. Read problem.go.
package problem

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/wire"
)

// Refusal is an error with an HTTP status and a header that its fault code alone does
// not determine.
type Refusal struct {
	Status int
	Header [2]string // name and value, or empty
	Err    error
}

// Error implements error.
func (r *Refusal) Error() string { return r.Err.Error() }

// Unwrap returns the error that is refused with.
func (r *Refusal) Unwrap() error { return r.Err }

// Detailed is an error about a file of the host, such as its configuration.
type Detailed interface {
	error
	Details() []wire.ErrorDetail
}

// Planned is an error that carries a plan: the operation continues once the caller
// approves it.
type Planned interface {
	error
	Plan() wire.Plan
}

// UpstreamError is an error of another server, such as a marketplace: it failed, or
// its answer cannot be trusted. The API answers it with 502.
type UpstreamError interface {
	error
	Upstream()
}

// approvalRequired is the code of a problem with a plan.
const approvalRequired = "approval_required"

// statuses has the status of each fault code; a code that is not listed is 500.
var statuses = map[fault.Code]int{
	fault.Invalid:      http.StatusBadRequest,
	fault.NotFound:     http.StatusNotFound,
	fault.Conflict:     http.StatusConflict,
	fault.Precondition: http.StatusPreconditionFailed,
	fault.Denied:       http.StatusForbidden,
	fault.Exhausted:    http.StatusInsufficientStorage, // the disk; see status
	fault.Unavailable:  http.StatusServiceUnavailable,
	fault.Timeout:      http.StatusGatewayTimeout,
}

// status returns the status of a code, refined by other parts of the error.
func status(code fault.Code, p wire.Problem, err error) int {
	switch {
	case code == fault.Invalid && p.Errors != nil: // a file of the host is invalid, not the request
		return http.StatusUnprocessableEntity
	case code == fault.Exhausted && p.Field != "": // the request is too large
		return http.StatusRequestEntityTooLarge
	case code == fault.Exhausted && fault.RetryAfter(err) > 0: // a rate or quota, which recovers
		return http.StatusTooManyRequests
	}
	return cmp.Or(statuses[code], http.StatusInternalServerError)
}

// Of returns the problem that describes an error. The problem of an internal error
// contains the error's text, which must not be sent: see Conceal.
func Of(err error) wire.Problem {
	var refusal *Refusal
	if errors.As(err, &refusal) {
		err = refusal.Err
	}
	code := fault.CodeOf(err)
	p := wire.Problem{Type: "about:blank", Code: string(code), Detail: err.Error()}
	var detailed Detailed
	if errors.As(err, &detailed) {
		p.Errors = detailed.Details()
	}
	var f *fault.Error
	if errors.As(err, &f) {
		p.Field = f.Field
		if err == error(f) {
			p.Detail = f.Reason // the problem has a member for the field
		}
	}
	p.Detail = fault.Public(p.Detail, err)
	p.Status = status(code, p, err)
	switch {
	case f != nil:
	case errors.Is(err, context.DeadlineExceeded):
		p.Code, p.Status = string(fault.Timeout), http.StatusGatewayTimeout
	case errors.Is(err, context.Canceled): // the caller has closed the connection
		p.Code, p.Status = string(fault.Unavailable), http.StatusServiceUnavailable
	}
	var planned Planned
	if errors.As(err, &planned) {
		plan := planned.Plan()
		p.Code, p.Status, p.Plan = approvalRequired, http.StatusConflict, &plan
	}
	if upstream(err, code) {
		p.Status = http.StatusBadGateway
	}
	if refusal != nil {
		p.Status = refusal.Status
	}
	p.Title = http.StatusText(p.Status)
	return p
}

// upstream reports whether another server is the cause of an error.
func upstream(err error, code fault.Code) bool {
	var u UpstreamError
	return errors.As(err, &u) && (code == fault.Unavailable || code == fault.Timeout || code == fault.Denied)
}

// Conceal replaces the text of an internal error by the id under which the log has it.
func Conceal(p *wire.Problem, id string) {
	p.Code, p.Field = string(fault.Internal), ""
	p.Detail = "internal error; the host's log has the cause under request " + id
}

// diskRetry is the Retry-After of a full disk, which recovers at an unknown time.
const diskRetry = 10 * time.Second

// RetryAfter returns how long the caller should wait (RFC 9110, 10.2.3); 0 is no Retry-After.
func RetryAfter(err error, status int) time.Duration {
	if status == http.StatusInsufficientStorage {
		return diskRetry
	}
	return fault.RetryAfter(err)
}

// Short returns input of a request, shortened for an error text.
func Short(s string) string {
	const limit = 80
	if len(s) > limit {
		return fmt.Sprintf("%q…", s[:limit])
	}
	return s
}
