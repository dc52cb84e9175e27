package route

import (
	"errors"
	"fmt"
	"strings"

	"github.com/berth-host/berth/host/event"
)

// Explanation is a decision about an event with its reason, for people.
type Explanation struct {
	Takes  bool
	Route  string // the pattern of the route that decides; "" when none matches
	Reason string
}

// maxNamed bounds the patterns or handlers that a reason names.
const maxNamed = 20

// Explain returns the decision of Takes with the reason.
func (t *Table) Explain(handler string, f *Filter, ev *event.Event) Explanation {
	general := t.ExplainRoute(ev)
	r := t.find(ev.Type())
	no := func(format string, args ...any) Explanation {
		return Explanation{Route: general.Route, Reason: fmt.Sprintf(format, args...)}
	}
	switch {
	case r == nil:
		return general
	case r.handlers != nil && !r.handlers[handler]:
		return no("the route %s is for %s", r.Pattern, only(r.Handlers))
	case r.exclude[handler]:
		return no("the route %s excludes it", r.Pattern)
	case !f.Subscribes(ev.Type()):
		return no("its manifest does not subscribe to the type %s, but to %s", ev.Type(), f.patterns())
	case !general.Takes:
		return general
	}
	why, ok := f.explain(newFacts(ev, r))
	return Explanation{Takes: ok, Route: r.Pattern, Reason: why}
}

// ExplainRoute returns the route that decides about an event, and whether its condition
// holds.
func (t *Table) ExplainRoute(ev *event.Event) Explanation {
	r := t.find(ev.Type())
	if r == nil {
		if len(t.rules) == 0 {
			return Explanation{Reason: "there are no routes, so no handler takes an event"}
		}
		return Explanation{Reason: fmt.Sprintf("no route is for the type %s; tried: %s", ev.Type(), shorten(t.Patterns()))}
	}
	if r.when == nil {
		return Explanation{Takes: true, Route: r.Pattern, Reason: fmt.Sprintf("the route %s is the most specific that matches", r.Pattern)}
	}
	left := budget(maxCost)
	ok, err := r.when.holds(newFacts(ev, r), &left)
	switch {
	case err != nil:
		return Explanation{Route: r.Pattern,
			Reason: fmt.Sprintf("the condition of the route %s could not be evaluated: %v (%s)", r.Pattern, err, r.When)}
	case !ok:
		return Explanation{Route: r.Pattern, Reason: fmt.Sprintf("the condition of the route %s does not hold: %s", r.Pattern, r.When)}
	}
	return Explanation{Takes: true, Route: r.Pattern,
		Reason: fmt.Sprintf("the route %s is the most specific that matches, and its condition holds", r.Pattern)}
}

// Patterns returns the routes' patterns, in the order in which they are tried:
// the most specific first.
func (t *Table) Patterns() []string {
	patterns := make([]string, len(t.rules))
	for i, r := range t.rules {
		patterns[i] = r.Pattern
	}
	return patterns
}

// explain is wants with the reason. Its subscriptions include the type.
func (f *Filter) explain(known *facts) (string, bool) {
	if f == nil || f.subs == nil {
		return "it takes every routed type", true
	}
	var reasons []string
	left, spent := budget(maxCost), false
	for _, s := range f.subs {
		if !match(s.EventType, string(known.event.Type())) {
			continue
		}
		ok, err := s.when.holds(known, &left)
		switch {
		case ok && s.when == nil:
			return "it subscribes to " + s.EventType, true
		case ok:
			return fmt.Sprintf("it subscribes to %s, and the condition holds: %s", s.EventType, s.When), true
		case spent: // the first of them is said
		case err != nil:
			reasons = append(reasons,
				fmt.Sprintf("the condition of its subscription to %s could not be evaluated: %v (%s)", s.EventType, err, s.When))
			spent = errors.Is(err, errCost)
		default:
			reasons = append(reasons, fmt.Sprintf("the condition of its subscription to %s does not hold: %s", s.EventType, s.When))
		}
	}
	return strings.Join(reasons, "; "), false
}

func (f *Filter) patterns() string {
	patterns := make([]string, len(f.subs))
	for i, s := range f.subs {
		patterns[i] = s.EventType
	}
	if len(patterns) == 0 {
		return "none"
	}
	return shorten(patterns)
}

func only(handlers []string) string {
	if len(handlers) == 0 {
		return "no handler (handlers: [])"
	}
	return shorten(handlers) + " only"
}

// shorten lists the first maxNamed names and the number of the others.
func shorten(names []string) string {
	if more := len(names) - maxNamed; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:maxNamed], ", "), more)
	}
	return strings.Join(names, ", ")
}
