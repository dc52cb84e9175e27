package shards

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
)

const (
	stepEvery = 500 * time.Millisecond // between two looks at all generations
	steadyFor = 10 * time.Second       // the default of Coordinator.Steady: longer than a lease and a restart
	slackFor  = 10 * time.Second       // to give units away, after the attempts were to end
	minPause  = time.Minute            // after hosts did not give units away
	maxPause  = 30 * time.Minute
)

// Store keeps the generations, and the units whose progress they depend on.
type Store interface {
	Documents
	// Share stores a document if the stored revision is d.Revision, 0 for none. fault.Conflict
	// otherwise.
	Share(ctx context.Context, d spec.SharedDocument) (revision uint64, err error)
	// UnitStates returns the units of these names, in this order.
	UnitStates(ctx context.Context, units []string) ([]spec.UnitState, error)
	// CutUnits ends the epochs of units, and stores the document for the highest Seq that any of
	// them has read or has an outcome of, in one transaction. fault.Conflict: one is not free or
	// has no position, or as Share.
	CutUnits(ctx context.Context, units []string, document func(cut uint64) spec.SharedDocument) error
	// BeginUnits ends the epochs of the former units, puts the next ones in place of all that the
	// plugin has, at the lowest position of the former ones, and stores the document, in one
	// transaction. Outcomes stay. fault.Conflict: a former unit is not free, has not passed the cut
	// or has something open, or as Share.
	BeginUnits(ctx context.Context, former, next []string, cut uint64, d spec.SharedDocument) error
	// EndUnits ends the epochs of units, and stores the document, in one transaction. fault.Conflict:
	// one is not free, a unit of the plugin has a position, or as Share.
	EndUnits(ctx context.Context, units []string, d spec.SharedDocument) error
}

// Wishes are what the hosts want.
type Wishes struct {
	// Layouts has every plugin that a live host has, and the layouts that live hosts want of it. The
	// zero Layout is of a host that runs the plugin and does not say what it wants: no other agrees
	// with it.
	Layouts map[string][]Layout
	// Hosts has the names of hosts, by the ID of the member.
	Hosts map[string]string
}

// Coordinator changes the layouts of handlers to those that all live hosts want, and removes the
// generations of handlers that are forgotten. One host at a time runs it; of two that do, one is
// refused at each step. It is not safe for concurrent use.
type Coordinator struct {
	Store  Store
	Wishes func() Wishes
	Logger *slog.Logger
	// Steady is how long all live hosts must have wanted the same before a change begins: a host whose
	// lease lapses for a moment, or that restarts, still counts. 0 is 10 s.
	Steady time.Duration
	// Grace is how long an attempt may go on when its unit is given away. Hosts that have not given
	// their units away 10 s later keep them, and the change begins again after a pause.
	Grace time.Duration
	Now   func() time.Time // nil: time.Now

	observed map[string]*observation // by plugin
}

// observation is what a Coordinator has seen of a plugin.
type observation struct {
	wish     Layout    // of all live hosts, other than the layout in force
	since    time.Time // zero: there is none
	stopping time.Time // when it was first seen so; zero: it is not
	failures int       // changes to the wish in which hosts did not give units away
	paused   time.Time // no change begins before
}

// Run makes the steps until ctx ends.
func (c *Coordinator) Run(ctx context.Context) {
	tick := time.NewTicker(stepEvery)
	defer tick.Stop()
	c.observed = nil // of a time when this host was the coordinator before
	last := ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		err := c.Step(ctx)
		if ctx.Err() != nil {
			return
		}
		text := ""
		if err != nil {
			text = err.Error()
		}
		if err != nil && text != last {
			c.Logger.Error("the shards of handlers cannot be changed; this is tried again", "error", err)
		}
		last = text
	}
}

// Step makes the steps that are possible now. A step that another host or the state of a unit
// prevents is not an error; one that fails does not keep other plugins from theirs.
func (c *Coordinator) Step(ctx context.Context) error {
	list, err := c.Store.Shared(ctx, Kind)
	if err != nil {
		return fmt.Errorf("read the shards of handlers: %w", err)
	}
	wishes := c.Wishes()
	documents := make(map[string]spec.SharedDocument)
	for plugin := range wishes.Layouts {
		documents[plugin] = first().document(plugin, 0)
	}
	for _, d := range list {
		documents[d.ID] = d
	}
	if c.observed == nil {
		c.observed = make(map[string]*observation)
	}
	maps.DeleteFunc(c.observed, func(plugin string, _ *observation) bool { return documents[plugin].ID == "" })
	var errs []error
	for _, plugin := range slices.Sorted(maps.Keys(documents)) {
		if c.observed[plugin] == nil {
			c.observed[plugin] = new(observation)
		}
		g, err := Decode(documents[plugin])
		for revision, made := documents[plugin].Revision, err == nil; made; {
			revision, made, err = c.step(ctx, plugin, &g, revision, wishes)
		}
		if err != nil && !fault.Is(err, fault.Conflict) {
			errs = append(errs, fmt.Errorf("change the shards of %s: %w", plugin, err))
		}
	}
	return errors.Join(errs...)
}

// step makes one step of a generation, if one is possible, and returns the new revision.
func (c *Coordinator) step(ctx context.Context, plugin string, g *Generation, revision uint64, wishes Wishes) (_ uint64, made bool, err error) {
	wanted, present := wishes.Layouts[plugin]
	s := situation{wanted: wanted}
	c.observe(c.observed[plugin], *g, &s)
	units := g.Layout.Units(plugin)
	var states []spec.UnitState
	if forgotten := !present && revision > 0; g.Stage != Running || forgotten {
		if states, err = c.Store.UnitStates(ctx, units); err != nil {
			return 0, false, err
		}
		s.free = !slices.ContainsFunc(states, func(u spec.UnitState) bool { return u.Owner != "" || !u.Found })
		s.done = !slices.ContainsFunc(states, func(u spec.UnitState) bool { return !u.Found || u.Cursor < g.Cut || u.Open })
		s.forgotten = forgotten && !slices.ContainsFunc(states, func(u spec.UnitState) bool { return u.Owner != "" || u.Found })
	}
	next, what := g.step(s)
	switch what {
	case wait:
		return 0, false, nil
	case put:
		revision, err = c.Store.Share(ctx, next.document(plugin, revision))
	case cut:
		err = c.Store.CutUnits(ctx, units, func(cut uint64) spec.SharedDocument {
			next.Cut = cut
			return next.document(plugin, revision)
		})
		revision++
	case begin:
		err = c.Store.BeginUnits(ctx, units, next.Layout.Units(plugin), g.Cut, next.document(plugin, revision))
		revision++
	case remove:
		err = c.Store.EndUnits(ctx, units, spec.SharedDocument{Kind: Kind, ID: plugin, Revision: revision})
		revision = 0
	}
	if err != nil {
		return 0, false, err
	}
	switch {
	case what == remove:
		c.Logger.Info("a handler is forgotten, and how it was divided too", "plugin", plugin, "shards", g.Layout.String())
	case s.late && !s.free && next.Stage == Running:
		c.pause(plugin, *g.Next, states, wishes.Hosts)
	default:
		c.log(plugin, *g, next)
	}
	*g = next
	return revision, what != remove, nil
}

// observe adds to a situation what depends on time.
func (c *Coordinator) observe(o *observation, g Generation, s *situation) {
	now := time.Now()
	if c.Now != nil {
		now = c.Now()
	}
	wish, unanimous := agreement(s.wanted)
	switch {
	case g.Stage == Running && (!unanimous || wish == g.Layout):
		o.since = time.Time{}
	case g.Stage == Running && (o.since.IsZero() || wish != o.wish):
		if wish != o.wish {
			o.failures, o.paused = 0, time.Time{}
		}
		o.wish, o.since = wish, now
	}
	switch {
	case g.Stage != Stopping:
		o.stopping = time.Time{}
	case o.stopping.IsZero():
		o.stopping = now
	}
	s.steady = !o.since.IsZero() && now.Sub(o.since) >= cmp.Or(c.Steady, steadyFor) && !now.Before(o.paused)
	s.late = !o.stopping.IsZero() && now.Sub(o.stopping) >= c.Grace+slackFor
}

// pause keeps a change to a wish in which hosts did not give units away from beginning again soon.
func (c *Coordinator) pause(plugin string, wish Layout, states []spec.UnitState, hosts map[string]string) {
	o := c.observed[plugin]
	o.wish = wish // this host can have become the coordinator meanwhile
	pause := min(minPause<<min(o.failures, 10), maxPause)
	o.failures++
	o.paused = o.stopping.Add(c.Grace + slackFor + pause)
	var kept []string
	for _, u := range states {
		switch {
		case u.Owner != "":
			kept = append(kept, fmt.Sprintf("%s on %s", u.Name, cmp.Or(hosts[u.Owner], u.Owner)))
		case !u.Found:
			kept = append(kept, u.Name+" has no position in the log")
		}
	}
	c.Logger.Warn("the shards of a handler do not change, because hosts have not given it away: they go on, and this is tried again later",
		"plugin", plugin, "units", strings.Join(kept, ", "), "pause", pause)
}

// log logs a step.
func (c *Coordinator) log(plugin string, g, next Generation) {
	switch {
	case g.Stage == Running:
		c.Logger.Info("the shards of a handler change: its hosts give it away", "plugin", plugin, "from", g.Layout.String(), "to", next.Next.String())
	case next.Stage == Draining && g.Stage == Stopping:
		c.Logger.Info("the shards of a handler change: it ends what was begun", "plugin", plugin, "to_seq", next.Cut)
	case next.Stage == Running && next.Number == g.Number:
		c.Logger.Info("the shards of a handler do not change", "plugin", plugin, "shards", g.Layout.String())
	case next.Stage == Running:
		c.Logger.Info("the shards of a handler have changed", "plugin", plugin, "shards", next.Layout.String(), "after_seq", g.Cut)
	}
}
