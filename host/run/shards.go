package run

import (
	"context"
	"slices"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
)

// Runnable returns the units of a plugin that can run here now: those of the layout in force, if
// the version that runs here has it.
func (r *Runner) Runnable(plugin string) []string {
	v := r.live.newest(plugin)
	if v == nil {
		return nil
	}
	if r.Units.Generations == nil {
		return []string{plugin}
	}
	g := r.Units.Generations.Of(plugin)
	if v.layout != g.Layout {
		return nil
	}
	return g.Units(plugin)
}

// Admit is called after this host has acquired a unit, and before it runs it. The database says how
// far the unit reads; fault.Conflict when it does not run now, or not with the version here.
func (r *Runner) Admit(ctx context.Context, unit string) (until uint64, err error) {
	plugin := spec.PluginOf(unit)
	g, err := r.Units.Generations.Read(ctx, plugin)
	if err != nil {
		return 0, err
	}
	if !slices.Contains(g.Units(plugin), unit) {
		return 0, fault.New(fault.Conflict, "the shards of %s are being changed: this unit does not run now", plugin)
	}
	v := r.live.newest(plugin)
	if v == nil || v.layout != g.Layout {
		return 0, fault.New(fault.Conflict, "the shards of %s have changed, and its version here does not have the new ones yet", plugin)
	}
	return g.Until(), nil
}
