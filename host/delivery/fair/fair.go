// Package fair shares the ready events of a handler among the values that they have at one
// place, such as tenants.
package fair

import "github.com/berth-host/berth/host/event"

// Policy says among which values a handler's events are shared. It is immutable.
type Policy struct {
	// Value returns an event's value. It must be safe for concurrent use.
	Value func(*event.Event) string
	// Weights is by value: how many events each round takes of it, 1 to spec.MaxFairWeight. Other
	// values have the weight 1.
	Weights map[string]int
}
