package host

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/berth-host/berth/host/api"
	"github.com/berth-host/berth/host/api/traffic"
	"github.com/berth-host/berth/host/bus"
	"github.com/berth-host/berth/host/doctor"
	"github.com/berth-host/berth/host/engine"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/plugin"
	"github.com/berth-host/berth/host/run"
	"github.com/berth-host/berth/host/run/measure"
	"github.com/berth-host/berth/host/sandbox"
	"github.com/berth-host/berth/host/sandbox/vet"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/telemetry/figures"
	"github.com/berth-host/berth/host/telemetry/metrics"
	"github.com/berth-host/berth/host/telemetry/series"
	"github.com/berth-host/berth/host/wire"
)

// counts are what is counted for the metrics alone.
type counts struct {
	published *metrics.Published
	vets      metrics.Timings
	loads     metrics.Timings
	requests  *traffic.Recorder
}

// startFigures starts the sampler of the series, and returns the parts of the API that
// measure the host.
func (h *Host) startFigures(log *engine.Engine, events *bus.Bus, plugins func() []wire.Plugin) (api.Figures, error) {
	h.background("the counts of published events", func(ctx context.Context) {
		observe(ctx, events, func(list []event.Record) {
			h.counts.published.Note(list)
			h.checked.Types.Note(list)
		})
	})
	reader := measure.New(measure.Config{
		Version: h.cfg.Version, Engine: string(h.live.Started().Bus.Engine), StoreFile: h.dataFile(doctor.StoreFile), MemoryLimit: h.memoryTotal(),
		Ready: h.ready, Last: log.Last, Log: log.Status, DeadCounts: log.DeadCounts, Commits: log.Commits, Database: log.Database,
		Published: h.counts.published.Counts, Plugins: plugins, Handler: h.runner.Figures,
		Vets: h.counts.vets.List, Loads: h.counts.loads.List, Requests: run.RequestFigures(h.counts.requests),
		EventStreams: func() int { return int(h.counts.requests.Streams.Load()) },
		Schedules:    run.ScheduleFigures(h.schedules.List), Violations: h.checked.Types.Violations,
		Issues: h.issues.Active, Operations: h.operations.Running, Cluster: run.ClusterFigures(h.cluster.Load),
		Marketplace: func() figures.Marketplace {
			s := h.sources.Status()
			return figures.Marketplace{Enabled: s.Enabled, Fetched: s.Fetched, Failures: s.Failures}
		},
		Logger: h.logger,
	})
	recorder := series.New(time.Now())
	h.background("the sampler of the series", func(ctx context.Context) { recorder.Run(ctx, reader.Fresh) })
	handler, err := metrics.NewHandler(reader.Read, h.logger)
	if err != nil {
		return api.Figures{}, err
	}
	machine, err := os.Hostname()
	if err != nil {
		return api.Figures{}, fmt.Errorf("name of the machine: %w", err)
	}
	return api.Figures{Metrics: handler, Series: measure.Views{Reader: reader, Recorder: recorder, Machine: machine, StartedAt: time.Now().UTC(),
		Versions: func(_ context.Context, plugin string) ([]wire.VersionMarker, error) {
			return h.runner.Versions.Markers(plugin), nil
		}}}, nil
}

// observe calls note with the events that are published from now on, until ctx ends.
func observe(ctx context.Context, b *bus.Bus, note func([]event.Record)) {
	buf := make([]event.Record, 256)
	for ctx.Err() == nil {
		sub := b.Subscribe(b.Last() + 1)
		for n, err := sub.Next(ctx, buf); err == nil; n, err = sub.Next(ctx, buf) {
			note(buf[:n])
		}
		sub.Close()
		select { // unreadable events are skipped
		case <-time.After(time.Second):
		case <-ctx.Done():
		}
	}
}

// timedVetter measures a vetter.
type timedVetter struct {
	sandbox.Vetter
	times *metrics.Timings
}

// Vet implements sandbox.Vetter.
func (v timedVetter) Vet(ctx context.Context, module spec.Artifact) (vet.Verdict, error) {
	began := time.Now()
	verdict, err := v.Vetter.Vet(ctx, module)
	v.times.Observe(resultOf(err), time.Since(began))
	return verdict, err
}

// resultOf names the result of vetting or loading a module.
func resultOf(err error) string {
	switch {
	case err == nil:
		return "ok"
	case fault.Is(err, fault.Invalid):
		return "refused"
	}
	return "failed"
}

// timedLoader measures a loader.
type timedLoader struct {
	plugin.Loader
	times *metrics.Timings
}

// Load implements plugin.Loader.
func (l timedLoader) Load(ctx context.Context, name string, a spec.Artifact, memory int64) (plugin.Module, error) {
	began := time.Now()
	m, err := l.Loader.Load(ctx, name, a, memory)
	l.times.Observe(resultOf(err), time.Since(began))
	return m, err
}
