package conformance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
)

// Host starts the module under test. It need not be safe for concurrent use.
type Host interface {
	// Start starts the module with a set-up, one instance at a time, and returns when it
	// waits for events. Each plugin has a key-value state of its own, empty at the start.
	Start(ctx context.Context, setup Setup) (Plugin, error)
}

// Plugin is the module as it was started by a Host.
type Plugin interface {
	// Name returns the plugin's name on the host.
	Name() string
	// Deliver publishes producers' envelopes, and delivers the events one after the other,
	// each until its outcome is final; with Setup.Batch, the first attempts of as many together
	// as a batch may have. It returns one outcome for each event, in order.
	Deliver(ctx context.Context, drafts []json.RawMessage) ([]Outcome, error)
	// Stop has next answer END, and waits until the instance has ended. It returns an
	// error when the instance did not return from its entry point by itself.
	Stop(ctx context.Context) error
}

// Statuses of an Outcome.
const (
	OK     = "ok"
	Retry  = "retry"
	Reject = "reject"
	Failed = "failed" // it trapped or went past a bound
)

// Outcome is the final outcome of one delivery: that of its last attempt.
type Outcome struct {
	Envelope string // that was delivered
	Status   string
	Attempts int
	Result   string // JSON, or ""
	Message  string // the reason or the error
	Class    string // of a failure, as the API names it; "" when the host does not report it
	Children []Child
	Logs     []Log
	Memory   int64 // bytes of the instance's linear memory; 0 when the host does not report it
	// NullIsNone: the host does not distinguish the result null from none.
	NullIsNone bool
}

// Child is an event that the handler emitted.
type Child struct {
	Type    string          `json:"event_type"`
	Data    json.RawMessage `json:"data"`
	Subject string          `json:"subject"`
	Key     string          `json:"key"` // the idempotency key
	// After is when it is due, in seconds after its parent's commit; 0: at once.
	After int `json:"after,omitzero"`
}

// Log is a log line of the handler.
type Log struct {
	Level   string `json:"level"` // debug, info, warn or error
	Message string `json:"message"`
}

// Result is the result of one vector. Err is nil when the module passed.
type Result struct {
	Group string
	Name  string
	Err   error
}

// drainGroup is the group of the results of stopping a plugin.
const drainGroup = "drain"

// Run runs the vectors, and returns a result for each and for each stop of a plugin. The
// results of vectors that did not run because ctx ended have its error.
func Run(ctx context.Context, host Host, vectors []Vector) []Result {
	r := runner{host: host}
	for _, v := range vectors {
		if err := ctx.Err(); err != nil {
			r.add(v.Group, v.Name, err)
			continue
		}
		r.add(v.Group, v.Name, r.run(ctx, v))
		if v.Fresh {
			r.stop(ctx)
		}
	}
	r.stop(ctx)
	return r.results
}

// runner runs vectors one after the other.
type runner struct {
	host    Host
	plugin  Plugin // nil when none is started
	setup   string // its set-up, as JSON
	first   string // the vector that it was started for
	results []Result
}

func (r *runner) add(group, name string, err error) {
	r.results = append(r.results, Result{Group: group, Name: name, Err: err})
}

// stop stops the plugin, if one is started.
func (r *runner) stop(ctx context.Context) {
	if r.plugin == nil {
		return
	}
	r.add(drainGroup, "after "+r.first, r.plugin.Stop(ctx))
	r.plugin = nil
}

// run runs one vector, on the plugin that is started or on another one.
func (r *runner) run(ctx context.Context, v Vector) error {
	setup, err := encode(v.Setup)
	if err != nil {
		return err
	}
	if v.Fresh || r.setup != string(setup) {
		r.stop(ctx)
	}
	if r.plugin == nil {
		plugin, err := r.host.Start(ctx, v.Setup)
		if err != nil {
			return fmt.Errorf("start: %w", err)
		}
		r.plugin, r.setup, r.first = plugin, string(setup), v.String()
	}
	var errs []error
	for i, step := range v.Steps {
		if err := r.step(ctx, step); err != nil {
			errs = append(errs, fmt.Errorf("step %d: %w", i+1, err))
			var broken *brokenError
			if errors.As(err, &broken) {
				r.stop(ctx)
				break
			}
		}
	}
	return errors.Join(errs...)
}

// brokenError is a host that does not deliver.
type brokenError struct{ error }

// step publishes the events of one step and checks their outcomes. The error is about the
// first that is wrong.
func (r *runner) step(ctx context.Context, s Step) error {
	parts := s.Parts()
	drafts := make([]json.RawMessage, len(parts))
	for i, part := range parts {
		if i > 0 && s.Together == nil {
			drafts[i] = drafts[0] // it is published again
			continue
		}
		draft, err := part.draft()
		if err != nil {
			return err
		}
		drafts[i] = draft
	}
	outcomes, err := r.plugin.Deliver(ctx, drafts)
	if err != nil {
		return &brokenError{fmt.Errorf("deliver %s: %w", excerpt(string(drafts[0])), err)}
	}
	if len(outcomes) != len(drafts) {
		return &brokenError{fmt.Errorf("the host reports %d outcomes of %d events", len(outcomes), len(drafts))}
	}
	for i, o := range outcomes {
		if err := parts[i].Expect.check(o, r.plugin.Name()); err != nil {
			if len(drafts) > 1 {
				return fmt.Errorf("event %d of %d: %s: %w", i+1, len(drafts), excerpt(string(parts[i].Data)), err)
			}
			return fmt.Errorf("%s: %w", excerpt(string(s.Data)), err)
		}
	}
	if s.Expect.Flat {
		return flat(outcomes)
	}
	return nil
}

// flat returns an error when the memory has grown after the first tenth of the events.
func flat(outcomes []Outcome) error {
	const tolerance = 64 << 10
	early, last := outcomes[len(outcomes)/10].Memory, outcomes[len(outcomes)-1].Memory
	if last > early+max(tolerance, early/20) {
		return fmt.Errorf("the memory is %d bytes after %d events and %d bytes after %d", early, len(outcomes)/10, last, len(outcomes))
	}
	return nil
}

// excerpt returns the beginning of a text.
func excerpt(text string) string {
	const limit = 120
	if len(text) <= limit {
		return text
	}
	return fmt.Sprintf("%.*s… (%d bytes)", limit, text, len(text))
}
