package route

import (
	"sync"
	"time"

	"cel.dev/cel-go/cel"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
)

// facts are the variables of conditions for one event, computed at first use. It is a
// cel.Activation, and safe for concurrent use because its values never change.
type facts struct {
	event    *event.Event
	data     func() (any, bool)
	metadata func() map[string]any
	routed   func() (bool, error) // whether the condition of the event's route holds
}

func newFacts(ev *event.Event, r *rule) *facts {
	known := &facts{event: ev}
	known.data = sync.OnceValues(func() (data any, ok bool) {
		data, err := decodeData(ev.Data())
		return data, err == nil // an event's data is valid JSON
	})
	known.metadata = sync.OnceValue(func() map[string]any { return metadata(ev) })
	known.routed = sync.OnceValues(func() (bool, error) {
		left := budget(maxCost)
		ok, err := r.when.holds(known, &left)
		if err != nil {
			return false, fault.New(fault.Invalid, "routes.%s.when: %w", r.Pattern, err)
		}
		return ok, nil
	})
	return known
}

// ResolveName implements cel.Activation.
func (f *facts) ResolveName(name string) (any, bool) {
	switch name {
	case "event_type":
		return string(f.event.Type()), true
	case "data":
		return f.data()
	case "metadata":
		return f.metadata(), true
	}
	return nil, false
}

// Parent implements cel.Activation.
func (f *facts) Parent() cel.Activation { return nil }

// metadata returns the metadata with the keys of the envelope, so that has() is false for
// a key that the envelope lacks.
func metadata(ev *event.Event) map[string]any {
	m := ev.Metadata()
	out := map[string]any{
		"event_id":        m.EventID,
		"idempotency_key": m.IdempotencyKey,
		"source":          m.Source,
		"subject":         m.Subject,
		"time":            m.Time.Format(time.RFC3339Nano),
		"correlation_id":  m.CorrelationID,
		"hops":            int64(m.Hops),
	}
	if m.CausationID != "" {
		out["causation_id"] = m.CausationID
	}
	if m.TraceParent != "" {
		out["traceparent"] = m.TraceParent
	}
	return out
}
