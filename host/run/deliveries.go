package run

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/delivery"
	"github.com/berth-host/berth/host/delivery/view"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/route"
	"github.com/berth-host/berth/host/run/versions"
	"github.com/berth-host/berth/host/wire"
)

// statsTimeout bounds the reading of a handler's lag.
const statsTimeout = 2 * time.Second

// WithLag returns a plugin with the lag of its handler, if its events wait because it has no
// instances, or if another host runs it.
func (r *Runner) WithLag(p wire.Plugin) wire.Plugin {
	if p.State != wire.Standby && (p.Instances > 0 || p.Lag > 0) {
		return p
	}
	ctx, cancel := context.WithTimeout(context.Background(), statsTimeout)
	defer cancel()
	f, err := r.Dispatcher.Figures(ctx, p.Name)
	if err != nil {
		r.Logger.Warn("lag of plugin unknown", "plugin", p.Name, "error", err)
		return p
	}
	p.Lag = f.Lag
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
		if waits := list[i].Status == string(event.StatusPending) || list[i].Status == string(event.StatusRetrying); waits && !d.Runs(list[i].Plugin) {
			list[i].WaitingFor = d.elsewhere(list[i].Plugin)
		}
	}
	for _, c := range cursors {
		name, isHandler := strings.CutPrefix(c.Name, "handler/")
		listed := slices.ContainsFunc(list, func(d wire.Delivery) bool { return d.Plugin == name })
		if !isHandler || listed || d.Runs(name) {
			continue
		}
		names := event.HandlerCursors(name)
		sampled := event.Sampled{From: position[names.SampledFrom], To: position[names.SampledTo]}.Has(rec.Seq)
		switch {
		case c.Seq >= rec.Seq && !sampled, !d.takes(name, rec.Event):
		case c.Seq >= rec.Seq:
			list = append(list, view.Of(rec.NotKept(name)))
		default:
			pending := view.Of(event.Delivery{Handler: name, Seq: rec.Seq, Status: event.StatusPending, At: rec.Event.Metadata().Time})
			pending.WaitingFor, pending.History = d.elsewhere(name), []wire.PastAttempt{}
			list = append(list, pending)
		}
	}
	for i := range list {
		d.Versions.Name(&list[i])
	}
	slices.SortFunc(list, func(x, y wire.Delivery) int { return strings.Compare(x.Plugin, y.Plugin) })
	return list, nil
}

// elsewhere returns what the events of a handler wait for that does not run here.
func (d Deliveries) elsewhere(handler string) *wire.WaitingFor {
	if d.IsOpen(handler) {
		reason := "no host runs the handler yet: one takes it within seconds"
		if owner := d.Owner(handler); owner != "" {
			reason = "the host " + owner + " runs the handler, and shows what it waits for"
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
