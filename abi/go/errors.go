package berth

import (
	"strconv"

	"github.com/berth-host/berth/abi/go/internal/wire"
)

// RetryError has the event delivered again later, as any error that is not a
// RejectError does.
type RetryError struct{ Reason string }

// Error returns the reason.
func (e *RetryError) Error() string { return e.Reason }

// Retry returns a *RetryError. The host keeps 8 KiB of the reason.
func Retry(reason string) error { return &RetryError{reason} }

// RejectError sends the event to the dead letters without further attempts.
type RejectError struct{ Reason string }

// Error returns the reason.
func (e *RejectError) Error() string { return e.Reason }

// Reject returns a *RejectError. The host keeps 8 KiB of the reason.
func Reject(reason string) error { return &RejectError{reason} }

// Code is the reason of a failed call to the host. Codes are errors for errors.Is:
// errors.Is(err, berth.ErrConflict).
type Code int32

// The codes of the ABI.
const (
	ErrEnd         Code = -1 // no more events; handled by Run
	ErrInvalid     Code = -2 // an argument is malformed
	ErrDenied      Code = -3 // the capability is not granted to this plugin
	ErrNotFound    Code = -4 // no such key, field or secret
	ErrTooLarge    Code = -5 // over a limit
	ErrUnavailable Code = -6 // the backend failed; trying again may help
	ErrTimeout     Code = -7 // the event's deadline, or the call's own, passed
	ErrConflict    Code = -8 // the compared value differs
)

// Error returns the code's name in lower case.
func (c Code) Error() string {
	switch c {
	case ErrEnd:
		return "no more events"
	case ErrInvalid:
		return "invalid"
	case ErrDenied:
		return "denied"
	case ErrNotFound:
		return "not found"
	case ErrTooLarge:
		return "too large"
	case ErrUnavailable:
		return "unavailable"
	case ErrTimeout:
		return "timeout"
	case ErrConflict:
		return "conflict"
	}
	return "code " + strconv.Itoa(int(c))
}

// CallError is the error of a call to the host.
type CallError struct {
	Call string // the function, such as kv_get
	Code Code
	Text string // the host's explanation, may be empty
}

// Error returns the call, the code and the host's explanation.
func (e *CallError) Error() string {
	text := "berth: " + e.Call + ": " + e.Code.Error()
	if e.Text != "" {
		text += ": " + e.Text
	}
	return text
}

// Unwrap returns the code.
func (e *CallError) Unwrap() error { return e.Code }

// callError fetches the host's text for a call that has just failed.
func callError(call string, code int32) error {
	e := &CallError{Call: call, Code: Code(code)}
	buf := make([]byte, 512)
	n := wire.Error(buf)
	if int(n) > len(buf) {
		buf = make([]byte, n)
		n = wire.Error(buf)
	}
	if n > 0 && int(n) <= len(buf) {
		e.Text = string(buf[:n])
	}
	return e
}

// failed returns nil for a code that is not negative, else callError's error.
func failed(call string, code int32) error {
	if code >= 0 {
		return nil
	}
	return callError(call, code)
}
