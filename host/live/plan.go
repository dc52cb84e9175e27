package live

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/config"
	"github.com/berth-host/berth/host/config/document"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/plan"
	"github.com/berth-host/berth/host/route"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/wire"
)

const (
	planAgainst = "24h"            // unless the caller says otherwise
	planTime    = 20 * time.Second // for the configuration and for examining events
)

// PlannerConfig configures a Planner. Every field is required.
type PlannerConfig struct {
	Live *Live
	Log  plan.Log
	// Mean returns the mean duration of a handler's attempts, and false when none was measured.
	Mean func(handler string) (time.Duration, bool)
}

// Planner makes plans: what another configuration, or another version of a plugin, would do
// with the events in the log. It is safe for concurrent use, and makes one plan at a time.
type Planner struct {
	cfg  PlannerConfig
	busy chan struct{} // has a token while a plan is made
}

// NewPlanner returns a planner.
func NewPlanner(cfg PlannerConfig) *Planner {
	return &Planner{cfg: cfg, busy: make(chan struct{}, 1)}
}

// Plan makes a plan. fault.Invalid: the request is invalid or, as a *document.Error, its
// configuration. fault.Exhausted with a RetryAfter: another plan is being made.
func (p *Planner) Plan(ctx context.Context, in wire.NewPlan) (wire.ConfigPlan, error) {
	until := time.Now().UTC()
	since, manifest, err := readPlan(in, until)
	if err != nil {
		return wire.ConfigPlan{}, err
	}
	select {
	case p.busy <- struct{}{}:
		defer func() { <-p.busy }()
	default:
		return wire.ConfigPlan{}, &fault.Error{Code: fault.Exhausted, RetryAfter: 2 * time.Second,
			Reason: "another plan is being made; one is made at a time"}
	}
	limited, cancel := context.WithTimeout(ctx, planTime)
	defer cancel()
	planned, err := p.cfg.Live.planned(limited, in)
	if err != nil {
		return wire.ConfigPlan{}, err
	}
	now := p.cfg.Live.now.Load()
	present, _, err := p.cfg.Live.side(*now, nil)
	if err != nil {
		return wire.ConfigPlan{}, err
	}
	next, unknown, err := p.cfg.Live.side(planned, manifest)
	if err != nil {
		return wire.ConfigPlan{}, err
	}
	made, err := plan.Make(ctx, plan.Config{Log: p.cfg.Log, Present: present, Next: next, Since: since, Until: until,
		MaxEvents: in.MaxEvents, Mean: p.cfg.Mean, Expired: limited.Done()})
	if err != nil {
		return wire.ConfigPlan{}, fmt.Errorf("make a plan: %w", err)
	}
	for _, name := range slices.Sorted(maps.Keys(unknown)) {
		made.Unknown = append(made.Unknown, wire.PlannedUnknown{Plugin: name, Reason: unknown[name]})
	}
	return made, nil
}

// readPlan reads what a request asks for.
func readPlan(in wire.NewPlan, now time.Time) (since time.Time, manifest *abi.Manifest, err error) {
	at, err := event.ParsePosition(cmp.Or(in.Against, planAgainst))
	if err != nil {
		return since, nil, fault.Field("against", "%v", err)
	}
	switch when, timed := at.When(now); {
	case timed:
		since = when
	case !at.Earliest:
		return since, nil, fault.Field("against", "%s is a Seq; it must be a duration back from now, such as 24h or 7d, or a time", fault.Quote(in.Against))
	}
	if since.After(now) {
		return since, nil, fault.Field("against", "%s is in the future", fault.Quote(in.Against))
	}
	if in.MaxEvents < 0 || in.MaxEvents > plan.MaxEvents {
		return since, nil, fault.Field("max_events", "is %d; it must be 1 to %d, or absent for %d", in.MaxEvents, plan.MaxEvents, plan.StandardEvents)
	}
	if in.Manifest == nil {
		return since, nil, nil
	}
	m, err := abi.ParseManifest(in.Manifest)
	if err != nil {
		return since, nil, fault.Field("manifest", "%v", err)
	}
	if m.Name == "" {
		return since, nil, fault.Field("manifest.name", "is required: it says of which plugin this is a version")
	}
	return since, &m, nil
}

// planned returns the configuration that a plan is about: the one of the request, the one in
// force for a plan of a manifest, or that of the file as it is now.
func (l *Live) planned(ctx context.Context, in wire.NewPlan) (inForce, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if in.Config == nil && in.Manifest != nil {
		return *l.now.Load(), nil
	}
	n, err := l.readPlanned(ctx, in)
	if err == nil && in.Manifest == nil { // a new version may take another config
		err = l.check(ctx, n)
	}
	var wrong *document.Error
	if errors.As(err, &wrong) && in.Config == nil { // the file may be secret to the caller
		return inForce{}, fault.New(fault.Conflict, "a reload would refuse the configuration file %s; berth config diff says why", l.path)
	}
	if err != nil {
		return inForce{}, err
	}
	return n.inForce, nil
}

// readPlanned reads the configuration of a request or, without one, the file. It requires l.mu.
func (l *Live) readPlanned(ctx context.Context, in wire.NewPlan) (*loaded, error) {
	if in.Config == nil {
		n, err := l.read()
		if err == nil && n == nil {
			defaults, err := compile(l.path, config.Default())
			return &loaded{inForce: defaults}, err
		}
		return n, err
	}
	const name = "configuration"
	text := []byte(*in.Config)
	c, err := config.Parse(name, text)
	if err != nil {
		return nil, err
	}
	schemas := make(map[string][]byte, len(in.SchemaFiles)) // each once: 10,000 types may name one file
	for path, schema := range in.SchemaFiles {
		if len(schema) > maxSchema {
			return nil, fault.Field("schema_files", "has %s with %d bytes; the limit is %d", fault.Quote(path), len(schema), maxSchema)
		}
		schemas[path] = []byte(schema)
	}
	for i, t := range c.EventTypes {
		if t.File == "" {
			continue
		}
		schema, given := schemas[t.File]
		if !given { // callers choose the path, and must learn nothing about files of the host
			return nil, fault.Field("schema_files", "lacks %s, which the schema of %s names: a plan reads no files of the host",
				fault.Quote(t.File), t.Type)
		}
		c.EventTypes[i].File, c.EventTypes[i].Schema = "", schema
	}
	n, err := compileUntil(func() error {
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return fault.New(fault.Timeout, "the configuration was not checked within %v: its schedules have too much data for the schemas", planTime)
		}
		return ctx.Err()
	}, name, c)
	return &loaded{n, text}, err
}

// side returns a configuration for a plan, with this manifest for the plugin of its name, and
// the handlers about which nothing is known, with the reasons.
func (l *Live) side(n inForce, manifest *abi.Manifest) (plan.Side, map[string]string, error) {
	c := n.config
	table, err := route.New(c.Routes) // its caches are of this plan
	if err != nil {
		return plan.Side{}, nil, err
	}
	s := plan.Side{Handlers: make(map[string]plan.Handler), Refuse: n.events.types.Check}
	unknown := make(map[string]string)
	add := func(name string, m abi.Manifest) error {
		filter, err := route.FilterOf(name, m)
		if err != nil {
			return err
		}
		settings, _ := c.Resolve(name, m)
		h := plan.Handler{OrderBy: settings.OrderBy, Concurrency: settings.Limits.Concurrency, Batch: settings.Batch.MaxEvents,
			Takes: func(ev *event.Event) (bool, error) {
				if !ev.IsFor(name) {
					return false, nil
				}
				return table.Takes(name, filter, ev)
			}}
		for _, c := range m.Capabilities {
			if !spec.Granted(settings.Grants, c) {
				h.Missing = append(h.Missing, c.Name)
			}
		}
		switch {
		case !settings.Enabled:
			h.Waits = "disabled"
		case settings.Paused:
			h.Waits = "paused"
		}
		s.Handlers[name] = h
		return nil
	}
	for name := range c.Handlers {
		unknown[name] = "no plugin of this name is here"
	}
	plugins := *l.plugins.Load()
	for _, p := range plugins.List() {
		m, known := plugins.Manifest(p.Name)
		if p.State == wire.Rejected || !known {
			unknown[p.Name] = stateText(p)
			continue
		}
		delete(unknown, p.Name)
		if err := add(p.Name, m); err != nil {
			return plan.Side{}, nil, err
		}
	}
	if manifest != nil {
		delete(unknown, manifest.Name)
		if err := add(manifest.Name, *manifest); err != nil {
			return plan.Side{}, nil, fault.Field("manifest", "%v", err)
		}
	}
	return s, unknown, nil
}
