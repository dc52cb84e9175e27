package run

import (
	"context"
	"slices"
	"time"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/delivery"
	"github.com/berth-host/berth/host/delivery/view"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/route"
	"github.com/berth-host/berth/host/run/versions"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/wire"
)

// statsTimeout bounds the reading of a handler's lag.
const statsTimeout = 2 * time.Second

// WithLag returns a plugin with its shards and their worst condition, and with the lag of its handler if
// its events wait because it has no instances, or if other hosts run it or a shard of it.
func (r *Runner) WithLag(p wire.Plugin) wire.Plugin {
	p.Shards = r.Units.shown(p.Name)
	p = r.withCondition(p)
	if p.State != wire.Standby && (p.Instances > 0 || p.Lag > 0) && p.Shards == nil {
		return p
	}
	ctx, cancel := context.WithTimeout(context.Background(), statsTimeout)
	defer cancel()
	f, err := r.figures(ctx, p.Name)
	if err != nil {
		r.Logger.Warn("lag of plugin unknown", "plugin", p.Name, "error", err)
		return p
	}
	p.Lag = f.Lag
	if p.Shards != nil {
		p.Shards.WaitsFor = r.waitsFor(ctx, p, f.Open)
	}
	return p
}

// Deliveries are the deliveries of events, with the pending ones of handlers that are
// not open, such as disabled ones, or that another host runs, and those that an older version did not keep.
type Deliveries struct {
	*delivery.Dispatcher
	Cursors  func(context.Context) ([]event.Cursor, error)
	Manifest func(plugin string) (m abi.Manifest, known bool)
	Table    func() *route.Table
	Versions *versions.Versions
	Units    Units
	Owner    func(handler string) string // the name of the host that runs a handler, "" when none does; see delivery.Config
}

// Deliveries implements ports.Deliveries.
func (d Deliveries) Deliveries(ctx context.Context, rec event.Record) ([]wire.Delivery, error) {
	list, err := d.Dispatcher.Deliveries(ctx, rec)
	if err != nil {
		return nil, err
	}
	cursors, err := d.Cursors(ctx)
	if err != nil {
		return nil, err
	}
	position := make(map[string]uint64, len(cursors)) // by the cursor's name
	for _, c := range cursors {
		position[c.Name] = c.Seq
	}
	for i := range list {
		unit := list[i].Unit()
		if waits := list[i].Status == string(event.StatusPending) || list[i].Status == string(event.StatusRetrying); waits && !d.Runs(unit) {
			list[i].WaitingFor = d.elsewhere(unit, rec.Seq)
		}
	}
	for plugin, positions := range event.Positions(cursors) {
		if slices.ContainsFunc(list, func(d wire.Delivery) bool { return d.Plugin == plugin }) {
			continue
		}
		for _, at := range positions {
			if one, found := d.unlisted(at, rec, position); found {
				list = append(list, one)
			}
		}
	}
	for i := range list {
		d.Versions.Name(&list[i])
	}
	slices.SortFunc(list, view.Compare)
	return list, nil
}

// unlisted returns the delivery of an event to a unit at a position of which nothing is stored, and
// false when there is none.
func (d Deliveries) unlisted(at event.Cursor, rec event.Record, position map[string]uint64) (wire.Delivery, bool) {
	unit := at.Name
	if d.Runs(unit) || !d.Units.Gets(unit, rec) {
		return wire.Delivery{}, false
	}
	names := event.HandlerCursors(unit)
	sampled := event.Sampled{From: position[names.SampledFrom], To: position[names.SampledTo]}.Has(rec.Seq)
	switch {
	case at.Seq >= rec.Seq && !sampled, !d.takes(spec.PluginOf(unit), rec.Event):
		return wire.Delivery{}, false
	case at.Seq >= rec.Seq:
		return view.Of(rec.NotKept(unit)), true
	}
	pending := view.Of(event.Delivery{Handler: unit, Seq: rec.Seq, Status: event.StatusPending, At: rec.Event.Metadata().Time})
	pending.WaitingFor, pending.History = d.elsewhere(unit, rec.Seq), []wire.PastAttempt{}
	return pending, true
}

// elsewhere returns what an event waits for whose unit does not run here.
func (d Deliveries) elsewhere(unit string, seq uint64) *wire.WaitingFor {
	if d.Units.beyond(spec.PluginOf(unit), seq) {
		return view.Ahead(true)
	}
	if d.IsOpen(unit) {
		what := "the handler"
		if _, shard := spec.ShardOf(unit); shard {
			what = "its shard"
		}
		reason := "no host runs " + what + " yet: one takes it within seconds"
		if owner := d.Owner(unit); owner != "" {
			reason = "the host " + owner + " runs " + what + ", and shows what it waits for"
		}
		return &wire.WaitingFor{Kind: view.Standby, Reason: reason}
	}
	return &wire.WaitingFor{Kind: view.Disabled, Reason: "the handler does not run"}
}

// takes reports whether a plugin takes an event, by its manifest and the routes; false
// for a plugin whose file is missing.
func (d Deliveries) takes(name string, ev *event.Event) bool {
	manifest, known := d.Manifest(name)
	if !known || !ev.IsFor(name) {
		return false
	}
	filter, err := route.FilterOf(name, manifest)
	if err != nil {
		return false
	}
	takes, err := d.Table().Takes(name, filter, ev)
	return err == nil && takes
}
