package route

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
)

// maxCached bounds the types whose route a Table caches.
const maxCached = 1024

// Table is the operator's routes. It is immutable.
type Table struct {
	rules []rule // most specific first
	index index  // of their patterns

	// cached maps types to their index in rules, -1 for none. Readers take no lock;
	// writers replace the map, up to maxCached types.
	cached atomic.Pointer[map[event.Type]int]
	mu     sync.Mutex // serialises writers of cached

	// last has the facts of the last event, for the next handler that is asked about the
	// same event. It keeps that event in memory.
	last atomic.Pointer[facts]
}

type rule struct {
	spec.Route
	handlers map[string]bool // nil for every one
	exclude  map[string]bool
	when     *condition
}

// RuleError is one problem of a route.
type RuleError struct {
	Index   int    // in the routes
	Pattern string // the rule's
	Key     string // "when", or "" for the pattern itself
	Reason  string
}

// Error implements error.
func (e RuleError) Error() string {
	path := "routes." + e.Pattern
	if e.Key != "" {
		path += "." + e.Key
	}
	return path + ": " + e.Reason
}

// Errors are the problems of the routes.
type Errors []RuleError

// Error implements error, one problem a line.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, one := range e {
		lines[i] = one.Error()
	}
	return strings.Join(lines, "\n")
}

// New compiles the routes. It returns all problems at once, as a fault.Invalid that
// wraps an Errors.
func New(routes []spec.Route) (*Table, error) {
	t := &Table{rules: make([]rule, 0, len(routes))}
	t.cached.Store(&map[event.Type]int{})
	var comp compiler
	var bad Errors
	seen := map[string]bool{}
	for i, r := range routes {
		if !globPattern.MatchString(r.Pattern) {
			bad = append(bad, RuleError{Index: i, Pattern: r.Pattern, Reason: "is not an event type or a glob"})
		}
		if seen[r.Pattern] {
			bad = append(bad, RuleError{Index: i, Pattern: r.Pattern, Reason: "is repeated"})
		}
		seen[r.Pattern] = true
		when, err := comp.compile(r.When)
		if err != nil {
			bad = append(bad, RuleError{Index: i, Pattern: r.Pattern, Key: "when", Reason: err.Error()})
		}
		r.Handlers, r.Exclude = slices.Clone(r.Handlers), slices.Clone(r.Exclude)
		t.rules = append(t.rules, rule{Route: r, handlers: set(r.Handlers), exclude: set(r.Exclude), when: when})
	}
	if len(bad) > 0 {
		return nil, &fault.Error{Code: fault.Invalid, Reason: bad.Error(), Err: bad}
	}
	slices.SortStableFunc(t.rules, func(a, b rule) int { return moreSpecific(a.Pattern, b.Pattern) })
	t.index = newIndex(t.Patterns())
	return t, nil
}

func set(names []string) map[string]bool {
	if names == nil {
		return nil
	}
	m := make(map[string]bool, len(names))
	for _, name := range names {
		m[name] = true
	}
	return m
}

// Routed reports whether a route matches the type.
func (t *Table) Routed(typ event.Type) bool { return t.find(typ) != nil }

// TakesEvent reports whether a route matches the event's type and its condition holds.
// The result of the condition is cached for handlers that are asked about the event next.
func (t *Table) TakesEvent(ev *event.Event) bool {
	r := t.find(ev.Type())
	if r == nil || r.when == nil {
		return r != nil
	}
	ok, err := t.facts(ev, r).routed()
	return ok && err == nil
}

// Route returns the route that decides about events of this type.
func (t *Table) Route(typ event.Type) (spec.Route, bool) {
	r := t.find(typ)
	if r == nil {
		return spec.Route{}, false
	}
	return r.Route, true
}

// find returns the most specific matching rule, or nil.
func (t *Table) find(typ event.Type) *rule {
	cached := *t.cached.Load()
	i, ok := cached[typ]
	if !ok {
		i = t.index.find(string(typ))
		if len(cached) < maxCached {
			t.remember(typ, i)
		}
	}
	if i < 0 {
		return nil
	}
	return &t.rules[i]
}

func (t *Table) remember(typ event.Type, i int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	old := *t.cached.Load()
	if len(old) >= maxCached {
		return
	}
	grown := make(map[event.Type]int, len(old)+1)
	for k, v := range old {
		grown[k] = v
	}
	grown[typ] = i
	t.cached.Store(&grown)
}

// Takes reports whether the handler takes the event: the route of its type allows the
// handler, the route's condition holds, and the filter matches. A nil filter matches
// every event.
//
// It returns false with an error when a condition cannot be evaluated, for instance
// because the event lacks a field that the condition uses without has(). The error is
// fault.Invalid and names the condition; it is for the caller's log and counters.
// Without conditions Takes does not allocate.
func (t *Table) Takes(handler string, f *Filter, ev *event.Event) (bool, error) {
	r := t.find(ev.Type())
	if r == nil || r.handlers != nil && !r.handlers[handler] || r.exclude[handler] {
		return false, nil
	}
	if !f.Subscribes(ev.Type()) {
		return false, nil
	}
	if r.when == nil && !f.conditional() {
		return true, nil
	}
	known := t.facts(ev, r)
	if ok, err := known.routed(); !ok || err != nil {
		return false, err
	}
	return f.wants(known)
}

// facts returns the facts of an event whose route is r, cached ones for the last event.
func (t *Table) facts(ev *event.Event, r *rule) *facts {
	known := t.last.Load()
	if known == nil || known.event != ev {
		known = newFacts(ev, r)
		t.last.Store(known)
	}
	return known
}
