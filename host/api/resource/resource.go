// Package resource is how packages below host/api add endpoints to the API: they list them as
// values, and package api serves them with its guard, audit log and encoding.
package resource

import (
	"context"
	"net/url"
	"time"

	"github.com/berth-host/berth/host/api/etag"
	"github.com/berth-host/berth/host/spec"
)

// PageBytes bounds the bytes of events in a page.
const PageBytes = 8 << 20

// Endpoint is one method of one path.
type Endpoint struct {
	Method, Path string
	Scope        string // that a token needs
	Handle       func(Request) (Answer, error)
}

// Request reads the input of one request. It keeps the first error: reads after it return zero
// values. Handle returns Err before it does anything else.
type Request interface {
	// Ctx ends when the caller has gone.
	Ctx() context.Context
	// Param returns a parameter of the path, decoded.
	Param(name string) string
	// Query returns the query's parameters, which must be among these, once each.
	Query(known ...string) url.Values
	// Limit returns the size of a page, at most maximum.
	Limit(q url.Values, maximum int) int
	// Time reads a time; "" is the zero time.
	Time(field, text string) time.Time
	// ReserveAnswer reserves memory for an answer with up to size bytes of events.
	ReserveAnswer(size int64)
	// Body reads a JSON body into v, strictly.
	Body(v any)
	// OptionalBody is Body where the body may be absent.
	OptionalBody(v any)
	// Conditions returns the headers If-Match and If-None-Match.
	Conditions() (match, noneMatch etag.Tags)
	// Fail keeps an error, if it is the first.
	Fail(err error)
	Err() error
	// Caller is the name of the caller's token.
	Caller() string
	// Publisher is the caller as the publisher of events.
	Publisher() spec.Publisher
}

// Answer is the answer to a request.
type Answer struct {
	Status int    // 0 is 200
	Body   any    // encoded as JSON
	ETag   string // of Body, without quotes; "" for none
	// Noted is what the audit log has of the answer to a change; nil is Body. Target is what was
	// changed then, if the request names no plugin.
	Noted  any
	Target string
}

// Read reads a JSON body into a T, strictly.
func Read[T any](r Request) (v T) {
	r.Body(&v)
	return v
}
