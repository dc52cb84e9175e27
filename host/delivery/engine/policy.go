package engine

import (
	"github.com/berth-host/berth/host/delivery/fair"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/spec"
)

// Policy is what may change while a handler is open.
type Policy struct {
	// Mine reports whether an event is one of the handler's, which is a shard of several: each
	// event of the log is of one of them. It is asked before Takes, and must be safe for concurrent
	// use. Default: every event.
	Mine func(event.Record) bool
	// Takes reports whether the handler gets the event. It is asked once for each event,
	// when the event is read, and must be safe for concurrent use. Default: every event.
	Takes func(*event.Event) bool
	// Key returns the order key of an event: events with the same key are delivered one
	// at a time, in order. An event with the key "" is not ordered. Default: no order.
	Key func(*event.Event) string
	// Fair shares the events that can start among values. Default: no sharing.
	Fair *fair.Policy
	// Atomic: the handler's outcomes can have effects.
	Atomic  bool
	Retry   spec.RetryPolicy
	Breaker spec.BreakerPolicy
	// Paused keeps attempts from starting. Attempts that have started end; events and
	// retries wait, and the handler keeps its position in the log.
	Paused bool
}

// SetDefaults sets the fields that have no value.
func (p *Policy) SetDefaults() {
	if p.Takes == nil {
		p.Takes = func(*event.Event) bool { return true }
	}
	if p.Key == nil {
		p.Key = func(*event.Event) string { return "" }
	}
	p.Retry = p.Retry.WithDefaults()
}

// Gets reports whether a handler with this policy gets the event.
func (p *Policy) Gets(handler string, rec event.Record) bool {
	if !rec.Event.IsFor("") && !rec.Event.IsFor(spec.PluginOf(handler)) { // nearly all are for every handler
		return false
	}
	return (p.Mine == nil || p.Mine(rec)) && p.Takes(rec.Event)
}
