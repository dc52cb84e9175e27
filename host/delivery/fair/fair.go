// Package fair shares the ready entries of a handler among the values that their events have
// at one place, such as tenants.
//
// Entries with the same value form a group. Ready ones are taken by weighted round robin over
// the groups (queue.go). A group beyond its share of the handler's window has only the Seqs of
// its further events (kept.go), in a ledger in the order of the log (ledger.go). A group that
// has used up what it had in memory is starved: the handler reads its next events again.
//
// The events of one order key are in one group while any of them is kept, so that their order
// is that of the log. Nothing here has a lock: the handler's guards it.
package fair

import "github.com/berth-host/berth/host/event"

// Policy says among which values a handler's events are shared. It is immutable.
type Policy struct {
	By string // where the value is: it identifies Value
	// Value returns an event's value. It must be safe for concurrent use.
	Value func(*event.Event) string
	// Weights is by value: how many events each round takes of it, 1 to spec.MaxFairWeight. Other
	// values have the weight 1.
	Weights map[string]int
	// Window is how many open events all values may have together. Default DefaultWindow.
	Window int
}

// DefaultWindow is the default of Policy.Window.
const DefaultWindow = 4096

func (p *Policy) window() int {
	if p == nil || p.Window <= 0 {
		return DefaultWindow
	}
	return p.Window
}

// Of returns the value of an event; "" under no policy.
func (p *Policy) Of(ev *event.Event) string {
	if p == nil {
		return ""
	}
	return p.Value(ev)
}
