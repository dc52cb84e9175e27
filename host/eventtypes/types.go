package eventtypes

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/wire"
)

const (
	// takenTimeout bounds the look-up of the key of an event that a schema refuses.
	takenTimeout = 5 * time.Second
	// logInterval is the time between two log lines about the events of one type.
	logInterval = time.Minute
)

// Config configures Types. All fields are required.
type Config struct {
	Table func() *Table // in force
	// Taken reports whether an event that is stored has an idempotency key.
	Taken  func(ctx context.Context, key string) (bool, error)
	Now    func() time.Time
	Logger *slog.Logger
}

// Types checks events against the types in force, and counts them. It is safe for
// concurrent use.
type Types struct {
	cfg Config

	mu         sync.Mutex
	violations map[event.Type]*violations
	rates      rates
}

// violations are the events of one type that its schema refused.
type violations struct {
	count  uint64
	logged time.Time
}

// New returns Types that have counted nothing.
func New(cfg Config) *Types {
	return &Types{cfg: cfg, violations: make(map[event.Type]*violations), rates: newRates(cfg.Now())}
}

// Check returns a fault.Invalid about an event that its type does not let pass; see
// Refusal.Err. An event whose key the log has already passes.
func (t *Types) Check(ev *event.Event) error {
	_, err := t.CheckChild(ev)
	return err
}

// lookUpWork is the work of looking for a key in the log, in microseconds.
const lookUpWork = 20

// CheckChild is Check for an event of a guest. The work is an upper bound of what the check
// took, in microseconds, for the guest's fuel.
func (t *Types) CheckChild(ev *event.Event) (work int, err error) {
	table := t.cfg.Table()
	if table.schemas == 0 {
		return 0, nil
	}
	r, work, refused := table.Refuses(ev)
	if !refused {
		return work, nil
	}
	work += lookUpWork
	if known, err := t.known(ev); known || err != nil {
		return work, err
	}
	t.note(ev, r)
	if r.Warn {
		return work, nil
	}
	return work, r.Err()
}

// known reports whether the log has the key of an event.
func (t *Types) known(ev *event.Event) (bool, error) {
	key := ev.Metadata().IdempotencyKey
	if key == ev.ID() { // it is new
		return false, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), takenTimeout)
	defer cancel()
	taken, err := t.cfg.Taken(ctx, key)
	if err != nil {
		return false, fmt.Errorf("look for the key of an event that its type refuses: %w", err)
	}
	return taken, nil
}

// note counts an event that its schema refused, and logs it unless another one of the type
// was logged lately.
func (t *Types) note(ev *event.Event, r Refusal) {
	t.mu.Lock()
	v := t.violations[ev.Type()]
	if v == nil { // only types with a schema get here, so that the map is bounded
		v = new(violations)
		t.violations[ev.Type()] = v
	}
	v.count++
	now := t.cfg.Now()
	quiet := !v.logged.IsZero() && now.Sub(v.logged) < logInterval
	if !quiet {
		v.logged = now
	}
	count := v.count
	t.mu.Unlock()
	if quiet || !r.Warn { // the publisher of a refused one gets an error
		return
	}
	t.cfg.Logger.Warn("event does not fit the schema of its type", "event_type", ev.Type(), "event_id", ev.ID(), "position", "data"+r.Pointer,
		"reason", r.Reason, "violations", count)
}

// Publish checks events and passes those that are not refused to publish, in one call. The receipts are in the
// order of the events; that of a refused one has the error.
func (t *Types) Publish(ctx context.Context, events []*event.Event,
	publish func(context.Context, []*event.Event) ([]event.Receipt, error)) ([]event.Receipt, error) {
	var refused map[int]error
	for i, ev := range events {
		if err := t.Check(ev); err != nil {
			if refused == nil {
				refused = make(map[int]error)
			}
			refused[i] = err
		}
	}
	if refused == nil {
		return publish(ctx, events)
	}
	passed := make([]*event.Event, 0, len(events)-len(refused))
	for i, ev := range events {
		if refused[i] == nil {
			passed = append(passed, ev)
		}
	}
	var stored []event.Receipt
	if len(passed) > 0 {
		var err error
		if stored, err = publish(ctx, passed); err != nil {
			return nil, err
		}
		if len(stored) != len(passed) {
			return nil, fault.New(fault.Internal, "%d receipts for %d events", len(stored), len(passed))
		}
	}
	receipts := make([]event.Receipt, len(events))
	for i, ev := range events {
		if err := refused[i]; err != nil {
			receipts[i] = event.Receipt{IdempotencyKey: ev.Metadata().IdempotencyKey, Err: err}
			continue
		}
		receipts[i], stored = stored[0], stored[1:]
	}
	return receipts, nil
}

// Violations returns how many events the schemas refused since the host started, by type.
func (t *Types) Violations() map[string]uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	counts := make(map[string]uint64, len(t.violations))
	for typ, v := range t.violations {
		counts[string(typ)] = v.count
	}
	return counts
}

// List returns the types that are configured, and those of events of the newest hour, by
// name. subscribers returns the plugins that take events of a type.
func (t *Types) List(subscribers func(event.Type) []string) []wire.EventType {
	table := t.cfg.Table()
	t.mu.Lock()
	perMinute := t.rates.perMinute(t.cfg.Now())
	t.mu.Unlock()
	names := make(map[event.Type]bool, len(table.types))
	for typ := range table.types {
		names[typ] = true
	}
	for typ := range perMinute {
		names[typ] = true
	}
	counts := t.Violations()
	list := make([]wire.EventType, 0, len(names))
	for _, typ := range slices.Sorted(maps.Keys(names)) {
		list = append(list, view(typ, table.types[typ], perMinute[typ], counts[string(typ)], subscribers(typ)))
	}
	return list
}

// Type returns one type with its schema. fault.NotFound: it is not configured and the
// newest hour has none of its events.
func (t *Types) Type(name string, subscribers func(event.Type) []string) (wire.EventType, error) {
	for _, et := range t.List(subscribers) {
		if et.EventType != name {
			continue
		}
		if k := t.cfg.Table().types[event.Type(name)]; k != nil {
			et.Schema = k.Schema
		}
		return et, nil
	}
	return wire.EventType{}, fault.New(fault.NotFound, "nothing is known about the event type %s: it is not in the configuration, and no event "+
		"of it was published in the last hour", fault.Quote(name))
}

func view(typ event.Type, k *kind, perMinute float64, count uint64, subscribers []string) wire.EventType {
	et := wire.EventType{EventType: string(typ), PerMinute: perMinute, Subscribers: append([]string{}, subscribers...), Violations: count}
	if k == nil {
		return et
	}
	et.Description, et.Owner, et.SchemaFile = k.Description, k.Owner, k.File
	if k.schema != nil {
		et.HasSchema, et.Mode = true, "reject"
		if k.Warn {
			et.Mode = "warn"
		}
	}
	return et
}

// Note counts events that were appended to the log, for their rates.
func (t *Types) Note(records []event.Record) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rates.note(records, t.cfg.Now())
}
