// Package spec defines the plain values that several parts of the host share, each
// once: grants, limits, policies, the settings of a handler, artifacts and pins. It holds no
// state and does no input or output; its values are immutable by convention and
// safe for concurrent reads.
package spec

import (
	"encoding/json"
	"time"
)

// Settings are the resolved settings of one handler: the configuration with the
// manifest's requests and the defaults applied.
type Settings struct {
	Enabled bool
	Hold    bool            // waits for the operator, whatever Enabled says: hot_drop is hold and the file does not set enabled
	Paused  bool            // stays loaded and receives no events
	Config  json.RawMessage // a JSON object for the guest; nil is {}
	Grants  []Grant
	Limits  Limits
	Retry   RetryPolicy
	Breaker BreakerPolicy
	OrderBy string // JSON Pointer into the envelope; "" for no order
	Logs    LogPolicy
	State   StateMode
	Batch   BatchPolicy
	Fair    FairPolicy
	Shards  int // of which hosts of a cluster can run one each; OrderBy decides the shard of an event
}

// Limits bound one handler. Zero values are the sandbox's defaults.
type Limits struct {
	Timeout       time.Duration // of one event
	Memory        int64         // bytes of one instance's linear memory
	Stack         int64         // bytes of one instance's call stack
	Concurrency   int           // instances at work at the same time
	Fuel          uint64        // for one event; 0 when Timeout is the only bound
	Isolation     Isolation
	RecycleEvents uint64        // events after which an instance is replaced; 0 for never
	RecycleAge    time.Duration // age at which an instance is replaced; 0 for never
}

// FreshPerEvent reports whether every event gets a new instance.
func (l Limits) FreshPerEvent() bool { return l.Isolation == IsolationEvent }

// Isolation selects how many events one instance handles.
type Isolation string

// The isolations.
const (
	IsolationShared Isolation = "shared" // one instance handles many events, one at a time; also ""
	IsolationEvent  Isolation = "event"  // every event gets a new instance
)

// BreakerPolicy says when the breaker of a failing handler opens. Its events wait
// while it is open, and no attempt is counted.
type BreakerPolicy struct {
	// Failures is the number of consecutive failed attempts, of at least two events,
	// that opens the breaker: one poisonous event is left to its retries and the dead
	// letters. 0 disables the breaker.
	Failures    int
	Cooldown    time.Duration // before the breaker probes with one event, doubled after each failed probe; default 1s
	MaxCooldown time.Duration // upper bound of the cooldown, at least Cooldown; default 1m
}

// WithDefaults replaces zero and negative durations by the defaults.
func (p BreakerPolicy) WithDefaults() BreakerPolicy {
	p.Cooldown = positive(p.Cooldown, time.Second)
	p.MaxCooldown = max(positive(p.MaxCooldown, time.Minute), p.Cooldown)
	return p
}

func positive(d, fallback time.Duration) time.Duration {
	if d <= 0 {
		return fallback
	}
	return d
}

// Route lets events whose type matches Pattern reach handlers.
type Route struct {
	Pattern  string   // an event type; every * matches any run of characters
	Handlers []string // only these; nil for every enabled handler that subscribes, [] for none
	Exclude  []string // all except these
	When     string   // a CEL expression over event_type, data and metadata; "" for always
	Line     int      // in the configuration file; 0 for a route from elsewhere
}

// Pin is an installed plugin: a module outside of the watched directories with a
// fixed name and digest. Every load verifies the digest.
type Pin struct {
	Name   string // a valid plugin name; the module's manifest has the same name or none
	Path   string // of the module, absolute
	SHA256 string // of the module, lower-case hex
	// Refusal, if not empty, is the reason for which the plugin must not run,
	// whatever file is at Path.
	Refusal string
}
