// Package fault defines the error codes of all parts of Berth.
//
// An Error has the kind of failure (Code), the input at fault (Field) and a text for
// a person. Three functions map codes to something else: to an HTTP status, to a
// delivery outcome and to an ABI code. All other code wraps with fmt.Errorf and %w.
package fault

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Code is a kind of failure.
type Code string

// The kinds of failure. The zero Code is not used: CodeOf returns Internal for an
// error without a code.
const (
	Invalid     Code = "invalid"     // the caller's input is wrong; a retry does not help
	NotFound    Code = "not_found"   // the named thing does not exist
	Conflict    Code = "conflict"    // the state does not allow it, or another caller was first
	Denied      Code = "denied"      // not authenticated, not authorised, or not granted
	Exhausted   Code = "exhausted"   // a limit or the disk is full
	Unavailable Code = "unavailable" // a part is down or closing; a retry may help
	Timeout     Code = "timeout"     // a deadline passed
	Trap        Code = "trap"        // a guest trapped or was stopped
	Internal    Code = "internal"    // a defect of the host; the text is not for clients

	// Precondition: the present state is not the one that the caller made the change
	// conditional on, such as a version. Conflict is about the needs of the change
	// itself.
	Precondition Code = "precondition"
)

// Error is a failure with its code. Reason includes the text of the cause; Err is
// the cause for errors.Is and errors.As. Field is the JSON path of the wrong input
// ("data.total_cents", "event_type"), or empty. RetryAfter is the time until a retry
// may succeed, 0 when unknown. Private is the part of Reason that is not for clients of the API.
type Error struct {
	Code   Code
	Field  string
	Reason string
	Err    error // the cause, or nil

	RetryAfter time.Duration
	Private    string
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

// Public returns a text that contains err's without the private parts of the Errors in err's tree.
func Public(text string, err error) string {
	if e, is := err.(*Error); is && e.Private != "" { //nolint:errorlint // the tree is walked
		text = strings.ReplaceAll(strings.ReplaceAll(text, ": "+e.Private, ""), e.Private, "…")
	}
	switch e := err.(type) { //nolint:errorlint // the tree is walked
	case interface{ Unwrap() error }:
		return Public(text, e.Unwrap())
	case interface{ Unwrap() []error }:
		for _, one := range e.Unwrap() {
			text = Public(text, one)
		}
	}
	return text
}

// RetryAfter returns the RetryAfter of the outermost Error in err's chain, else 0.
func RetryAfter(err error) time.Duration {
	var e *Error
	if errors.As(err, &e) {
		return e.RetryAfter
	}
	return 0
}

// CodeOf returns the code of the outermost Error in err's chain. Without an Error it
// returns Exhausted for a full disk (see Full), else Internal; "" for nil.
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

// Is reports whether err has this code (see CodeOf).
func Is(err error, code Code) bool { return err != nil && CodeOf(err) == code }

// Quote returns input as an error shows it: shortened to 64 bytes, and safe to print.
func Quote(text string) string {
	const limit = 64
	if len(text) > limit {
		return strconv.Quote(text[:limit]) + "…"
	}
	return strconv.Quote(text)
}
