// Package fault is the one set of error codes that every part of Berth speaks.
//
// An Error says what kind of failure it is (Code), which input it is about
// (Field) and, in words for a person, what is wrong. Three places map codes to
// something else, each in one function: the HTTP API, the delivery outcome and
// the ABI. Everything else wraps with fmt.Errorf and %w.
package fault

import (
	"errors"
	"fmt"
	"time"
)

// Code is a kind of failure.
type Code string

// The kinds of failure. The zero Code is not used: CodeOf answers Internal for
// an error that carries none.
const (
	Invalid     Code = "invalid"     // the caller's input is wrong; trying again will not help
	NotFound    Code = "not_found"   // what was named does not exist
	Conflict    Code = "conflict"    // the state does not allow it, or somebody was first
	Denied      Code = "denied"      // not authenticated, not authorised, or not granted
	Exhausted   Code = "exhausted"   // a limit or the disk is full
	Unavailable Code = "unavailable" // a part is down or closing; trying again may help
	Timeout     Code = "timeout"     // a deadline passed
	Trap        Code = "trap"        // a guest stopped by itself or was stopped
	Internal    Code = "internal"    // a defect of the host; the text is not for outsiders

	// Precondition: the caller asked for the change only in a state (such as a
	// version it names) that is not the present one. Conflict is about what the
	// change itself needs.
	Precondition Code = "precondition"
)

// Error is a failure with its code. Reason already contains the cause's text;
// Err keeps the cause for errors.Is and errors.As. Field is a JSON path of the input that is
// wrong ("data.total_cents", "event_type"), or empty. RetryAfter is when trying
// again is worth it, for a limit that passes; 0 when nobody knows.
type Error struct {
	Code   Code
	Field  string
	Reason string
	Err    error // the cause, or nil

	RetryAfter time.Duration
}

// Error implements error.
func (e *Error) Error() string {
	text := e.Reason
	if e.Field != "" {
		text = e.Field + ": " + text
	}
	return text
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// New returns an Error of this code. The format may wrap a cause with %w.
func New(code Code, format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	return &Error{Code: code, Reason: err.Error(), Err: errors.Unwrap(err)}
}

// Field returns an Invalid error about one field of the input.
func Field(field, format string, args ...any) error {
	return &Error{Code: Invalid, Field: field, Reason: fmt.Sprintf(format, args...)}
}

// RetryAfter returns when trying again is worth it, as the outermost Error in
// err's chain says; 0 when it does not.
func RetryAfter(err error) time.Duration {
	var e *Error
	if errors.As(err, &e) {
		return e.RetryAfter
	}
	return 0
}

// CodeOf returns the code of the outermost Error in err's chain. Without one it
// is Exhausted for an error of a full disk (see Full), else Internal; "" when err
// is nil.
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	var e *Error
	switch {
	case errors.As(err, &e):
		return e.Code
	case Full(err):
		return Exhausted
	}
	return Internal
}

// Is reports whether err carries this code.
func Is(err error, code Code) bool { return err != nil && CodeOf(err) == code }
