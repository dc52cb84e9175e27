package measure

import (
	"cmp"
	"context"
	"math"
	"slices"
	"time"

	"github.com/berth-host/berth/host/telemetry/figures"
	"github.com/berth-host/berth/host/telemetry/series"
	"github.com/berth-host/berth/host/wire"
)

// Views answers the API from the figures. It is safe for concurrent use.
type Views struct {
	Reader    *Reader
	Recorder  *series.Recorder
	Machine   string // its name
	StartedAt time.Time
	// Versions returns when the versions of a plugin, or of all for "", became active; nil:
	// that is not known.
	Versions func(ctx context.Context, plugin string) ([]wire.VersionMarker, error)
}

// Series implements ports.SeriesSource.
func (v Views) Series(ctx context.Context, plugin string, day bool) (wire.Series, error) {
	s := v.Recorder.Series(plugin, day, time.Now())
	if v.Versions == nil {
		return s, nil
	}
	markers, err := v.Versions(ctx, plugin)
	for _, m := range markers {
		if !m.At.Before(s.Start) {
			s.Markers = append(s.Markers, m)
		}
	}
	slices.SortFunc(s.Markers, func(a, b wire.VersionMarker) int { return a.At.Compare(b.At) })
	return s, err
}

// Overview implements ports.SeriesSource.
func (v Views) Overview(ctx context.Context) (wire.Overview, error) {
	f := v.Reader.Read(ctx)
	host, recent := v.Recorder.Recent(f)
	o := wire.Overview{
		Version: f.Version, Host: v.Machine, StartedAt: v.StartedAt, Ready: f.Problem == "", Problem: f.Problem,
		EventsPerS: round(host.EventsPerS), DeliveriesPerS: round(host.DeliveriesPerS), OKShare: round(host.OKShare),
		LatencyP50MS: round(host.Latency.P50MS), LatencyP99MS: round(host.Latency.P99MS),
		Operations: f.Operations, MemoryBytes: f.MemoryBytes, Handlers: make([]wire.HandlerSummary, 0, len(f.Handlers)),
		Disk: wire.OverviewDisk{StoreBytes: f.Files.Data + f.Files.WAL},
	}
	if f.Log != nil {
		o.Scheduled = f.Log.Scheduled
	}
	if f.Cluster != nil {
		o.Hosts = f.Cluster.Members
	}
	if f.Disk != nil {
		o.Disk.FreeBytes, o.Disk.TotalBytes = f.Disk.Free, f.Disk.Total
	}
	for i := range f.Handlers {
		h := &f.Handlers[i]
		s := summary(h, recent[h.Plugin])
		o.OpenIssues += h.OpenIssues
		o.DeadLetters += h.Dead
		if h.WaitsForApproval {
			o.Approvals++
		}
		if runs(h.State) && s.OldestAt != nil && (o.OldestAt == nil || s.OldestAt.Before(*o.OldestAt)) {
			o.OldestAt = s.OldestAt
		}
		o.Handlers = append(o.Handlers, s)
	}
	slices.SortStableFunc(o.Handlers, worse) // they are sorted by name
	return o, nil
}

func summary(h *figures.Handler, recent series.Recent) wire.HandlerSummary {
	s := wire.HandlerSummary{Plugin: h.Plugin, Version: h.Version, SHA256: h.SHA256, State: h.State, Reason: h.Reason, Since: h.Since,
		PerS: round(recent.AttemptsPerS), FailedShare: round(recent.FailedShare), Lag: h.Lag,
		DurationP50MS: round(recent.Duration.P50MS), DurationP99MS: round(recent.Duration.P99MS), FuelPerEvent: math.Round(recent.FuelPerEvent),
		MemoryBytes: h.MemoryBytes, Instances: h.Instances, Dead: h.Dead, OpenIssues: h.OpenIssues}
	if !h.OldestAt.IsZero() {
		s.OldestAt = new(h.OldestAt)
	}
	return s
}

// round keeps four digits after the point, which is more than the figures are worth.
func round(v float64) float64 { return math.Round(v*1e4) / 1e4 }

// runs reports whether a handler of this state gets events now, or should.
func runs(state wire.PluginState) bool {
	return state == wire.Active || state == wire.Standby || state == wire.BreakerOpen || state == wire.Stuck || state == wire.Draining
}

// urgency ranks the states: the lower, the sooner a person should look.
func urgency(state wire.PluginState) int {
	switch state {
	case wire.Stuck:
		return 0
	case wire.Rejected:
		return 1
	case wire.BreakerOpen:
		return 2
	case wire.NeedsApproval, wire.Held:
		return 3
	case wire.Disabled:
		return 5
	}
	return 4
}

// worse sorts handlers: by state, the share of failures, open issues, lag and dead letters.
func worse(a, b wire.HandlerSummary) int {
	return cmp.Or(cmp.Compare(urgency(a.State), urgency(b.State)), cmp.Compare(b.FailedShare, a.FailedShare),
		cmp.Compare(b.OpenIssues, a.OpenIssues), cmp.Compare(b.Lag, a.Lag), cmp.Compare(b.Dead, a.Dead))
}
