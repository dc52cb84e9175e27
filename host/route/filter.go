package route

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
)

// Filter is the subscriptions of a plugin. It is immutable.
type Filter struct {
	handler string
	subs    []subscription // nil for every type
}

type subscription struct {
	abi.Subscription
	when *condition
}

// NewFilter compiles subscriptions; a filter matches an event when one of them does. Nil
// subscribes to every type, an empty list to none. Errors are fault.Invalid and name
// every invalid subscription.
func NewFilter(handler string, subs []abi.Subscription) (*Filter, error) {
	f := &Filter{handler: handler}
	if subs == nil {
		return f, nil
	}
	f.subs = make([]subscription, 0, len(subs))
	var comp compiler
	var bad []string
	for i, s := range subs {
		if !globPattern.MatchString(s.EventType) {
			bad = append(bad, fmt.Sprintf("subscribes[%d].event_type: %q is not an event type or a glob", i, s.EventType))
		}
		when, err := comp.compile(s.When)
		if err != nil {
			bad = append(bad, fmt.Sprintf("subscribes[%d].when: %v", i, err))
		}
		f.subs = append(f.subs, subscription{Subscription: s, when: when})
	}
	if len(bad) > 0 {
		return nil, fault.New(fault.Invalid, "%s: %s", handler, strings.Join(bad, "\n"))
	}
	return f, nil
}

// Subscribes reports whether a subscription matches the type, regardless of conditions.
func (f *Filter) Subscribes(typ event.Type) bool {
	if f == nil || f.subs == nil {
		return true
	}
	for i := range f.subs {
		if match(f.subs[i].EventType, string(typ)) {
			return true
		}
	}
	return false
}

func (f *Filter) conditional() bool {
	if f == nil {
		return false
	}
	return slices.ContainsFunc(f.subs, func(s subscription) bool { return s.when != nil })
}

// wants reports whether a subscription matches the event. It returns an error only if
// none does.
func (f *Filter) wants(known *facts) (bool, error) {
	if f == nil || f.subs == nil {
		return true, nil
	}
	var failed error
	left, spent := budget(maxCost), false
	for i, s := range f.subs {
		if !match(s.EventType, string(known.event.Type())) {
			continue
		}
		ok, err := s.when.holds(known, &left)
		if ok {
			return true, nil
		}
		// No budget is left for further conditions; subscriptions without one need none.
		if err != nil && (failed == nil || !spent && errors.Is(err, errCost)) {
			failed = fault.New(fault.Invalid, "%s: subscribes[%d].when: %w", f.handler, i, err)
			spent = errors.Is(err, errCost)
		}
	}
	return false, failed
}
