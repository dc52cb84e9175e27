package shards

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
)

// stepEvery is the time between two looks at all generations.
const stepEvery = 500 * time.Millisecond

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
}

// Coordinator changes the layouts of handlers to those that all live hosts want. One host at a time
// runs it; of two that do, one is refused at each step.
type Coordinator struct {
	Store Store
	// Wanted returns the layouts that live hosts want, by plugin.
	Wanted func() map[string][]Layout
	Logger *slog.Logger
}

// Run makes the steps until ctx ends.
func (c Coordinator) Run(ctx context.Context) {
	tick := time.NewTicker(stepEvery)
	defer tick.Stop()
	failing := false
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
		if err != nil && !failing {
			c.Logger.Error("the shards of handlers cannot be changed; this is tried again", "error", err)
		}
		failing = err != nil
	}
}

// Step makes the steps that are possible now. A step that another host or the state of a unit
// prevents is not an error.
func (c Coordinator) Step(ctx context.Context) error {
	list, err := c.Store.Shared(ctx, Kind)
	if err != nil {
		return fmt.Errorf("read the shards of handlers: %w", err)
	}
	wanted := c.Wanted()
	documents := make(map[string]spec.SharedDocument)
	for plugin := range wanted {
		documents[plugin] = first().document(plugin, 0)
	}
	for _, d := range list {
		documents[d.ID] = d
	}
	var errs []error
	for _, plugin := range slices.Sorted(maps.Keys(documents)) {
		g, err := Decode(documents[plugin])
		for revision, made := documents[plugin].Revision, err == nil; made; {
			revision, made, err = c.step(ctx, plugin, &g, revision, wanted[plugin])
		}
		if err != nil && !fault.Is(err, fault.Conflict) {
			errs = append(errs, fmt.Errorf("change the shards of %s: %w", plugin, err))
		}
	}
	return errors.Join(errs...)
}

// step makes one step of a generation, if one is possible, and returns the new revision.
func (c Coordinator) step(ctx context.Context, plugin string, g *Generation, revision uint64, wanted []Layout) (_ uint64, made bool, err error) {
	s := situation{wanted: wanted}
	units := g.Layout.Units(plugin)
	if g.Stage != Running {
		states, err := c.Store.UnitStates(ctx, units)
		if err != nil {
			return 0, false, err
		}
		s.free = !slices.ContainsFunc(states, func(u spec.UnitState) bool { return u.Owner != "" })
		s.done = !slices.ContainsFunc(states, func(u spec.UnitState) bool { return !u.Found || u.Cursor < g.Cut || u.Open })
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
	}
	if err != nil {
		return 0, false, err
	}
	c.log(plugin, *g, next)
	*g = next
	return revision, true, nil
}

// log logs a step.
func (c Coordinator) log(plugin string, g, next Generation) {
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
