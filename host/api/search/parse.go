package search

import (
	"errors"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
)

// Statuses returns the statuses by which events are found.
func Statuses() []string {
	return []string{string(event.StatusPending), string(event.StatusDelivering), string(event.StatusRetrying), string(event.StatusOK),
		string(event.StatusDead)}
}

// Classes returns the classes of a delivery's error by which events are found.
func Classes() []string {
	return append(event.FailureClasses(), string(event.ClassUnreadable))
}

// Parse reads a filter and a cursor, 0 for none, from a query. selection compiles a glob of
// types and a condition, "" for none. The error is fault.Invalid and names the parameter.
func Parse(q url.Values, now time.Time, selection func(pattern, when string) (func(*event.Event) bool, error)) (f Filter, before uint64, err error) {
	var errs []error
	fail := func(name, format string) { errs = append(errs, fault.Field(name, format, fault.Quote(q.Get(name)))) }
	when := func(name string) (t time.Time) {
		if text := q.Get(name); text != "" {
			p, err := event.ParsePosition(text)
			var ok bool
			if t, ok = p.When(now); err != nil || !ok {
				fail(name, "%s is not a time (2026-05-01T10:00:00Z), nor a duration back from now (1h, 7d)")
			}
		}
		return t
	}
	oneOf := func(name string, words []string) string {
		text := q.Get(name)
		if text != "" && !slices.Contains(words, text) {
			fail(name, "%s is none of "+strings.Join(words, ", "))
		}
		return text
	}
	f = Filter{Subject: q.Get("subject"), Key: q.Get("key"), Correlation: q.Get("correlation_id"), Cause: q.Get("caused_by"),
		Source: q.Get("source"), Publisher: q.Get("published_by"), Handler: q.Get("handler"), Since: when("since"), Until: when("until"),
		Status: event.Status(oneOf("status", Statuses())), Class: event.Class(oneOf("class", Classes()))}
	if !f.Since.IsZero() && !f.Until.IsZero() && !f.Since.Before(f.Until) {
		fail("until", "%s is not after since")
	}
	if text := q.Get("cursor"); text != "" {
		if before, err = strconv.ParseUint(text, 10, 64); err != nil || before == 0 {
			fail("cursor", "%s is not a cursor of this list; pass next of the page before")
		}
	}
	pattern := q.Get("type")
	if pattern != "" && !strings.Contains(pattern, "*") {
		if f.Type, err = event.ParseType(pattern); err != nil {
			fail("type", "%s is not an event type or a glob")
		}
		pattern = ""
	}
	if pattern != "" || q.Get("when") != "" {
		f.Select, err = selection(pattern, q.Get("when"))
		var wrong *fault.Error
		if errors.As(err, &wrong) && wrong.Field == "event_type" {
			err = fault.Field("type", "%s", wrong.Reason)
		}
		errs = append(errs, err)
	}
	for _, err := range errs {
		if err != nil {
			return f, before, err
		}
	}
	return f, before, nil
}
