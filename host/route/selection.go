package route

import (
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
)

// Selection selects events by type and condition, as a route does. It is safe for
// concurrent use.
type Selection struct {
	pattern string
	when    *condition
}

// NewSelection returns the selection of the events whose type matches a type or a glob, ""
// for all, and for which a condition in CEL holds, "" for always. The error is
// fault.Invalid about "event_type" or "when".
func NewSelection(pattern, when string) (*Selection, error) {
	if pattern != "" && !globPattern.MatchString(pattern) {
		return nil, fault.Field("event_type", "%s is not an event type or a glob, such as order_*", fault.Quote(pattern))
	}
	compiled, err := new(compiler).compile(when)
	if err != nil {
		return nil, fault.Field("when", "%v", err)
	}
	return &Selection{pattern: pattern, when: compiled}, nil
}

// Selects reports whether the event is selected. An event for which the condition cannot be
// evaluated, for instance because it lacks a field, is not.
func (s *Selection) Selects(ev *event.Event) bool {
	if s.pattern != "" && !match(s.pattern, string(ev.Type())) {
		return false
	}
	if s.when == nil {
		return true
	}
	left := budget(maxCost)
	ok, err := s.when.holds(newFacts(ev, nil), &left)
	return ok && err == nil
}
