package run

import (
	"context"
	"log/slog"
	"time"

	"golang.org/x/time/rate"

	"github.com/berth-host/berth/abi/strictjson"
	"github.com/berth-host/berth/host/delivery"
	"github.com/berth-host/berth/host/delivery/fair"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/plugin"
	"github.com/berth-host/berth/host/route"
	"github.com/berth-host/berth/host/run/guestlog"
	"github.com/berth-host/berth/host/run/versions"
	"github.com/berth-host/berth/host/sandbox"
	"github.com/berth-host/berth/host/sandbox/guestnet"
	"github.com/berth-host/berth/host/secret"
	"github.com/berth-host/berth/host/shards"
	"github.com/berth-host/berth/host/spec"
)

// Config configures a Runner. All fields are required.
type Config struct {
	Dispatcher *delivery.Dispatcher
	Engine     *sandbox.Engine
	KV         KeyValues
	Network    *guestnet.Network
	Secrets    secret.Source
	Table      func() *route.Table // in force now
	Units      Units
	Logs       *guestlog.Logs
	Versions   *versions.Versions
	Read       func(ctx context.Context, from uint64, limit int) ([]event.Record, error) // of the log
	Check      func(*event.Event) (work int, err error)                                  // of what plugins emit, by its type; see sandbox.Capabilities
	Logger     *slog.Logger
}

// Runner implements plugin.Loader and plugin.Runner. It is safe for concurrent use.
type Runner struct {
	Config

	started startedVersions
	live    live
}

// New returns a Runner.
func New(cfg Config) *Runner {
	return &Runner{Config: cfg, live: live{versions: make(map[string][]*running)}}
}

// Load implements plugin.Loader.
func (r *Runner) Load(ctx context.Context, _ string, a spec.Artifact, memory int64) (plugin.Module, error) {
	m, err := r.Engine.Load(ctx, a, sandbox.Options{Memory: memory})
	if err != nil {
		return nil, err
	}
	return m, nil
}

// Claim implements plugin.Runner. Hosts that share the log claim all units of a handler together.
func (r *Runner) Claim(ctx context.Context, name string) error {
	return r.Dispatcher.Claim(ctx, r.Units.Known(name)[0])
}

// Prepare implements plugin.Runner.
func (r *Runner) Prepare(ctx context.Context, version plugin.Spec) (plugin.Prepared, error) {
	policy, err := r.policy(version)
	if err != nil {
		return nil, err
	}
	capabilities, err := r.capabilities(version)
	if err != nil {
		return nil, err
	}
	pool, err := version.Module.(*sandbox.Module).NewPool(ctx, sandbox.PoolConfig{
		Name:         version.Name,
		Entry:        version.Manifest.Extism.Entry,
		Limits:       version.Settings.Limits,
		Settings:     string(version.Settings.Config),
		Capabilities: capabilities,
		Logger:       r.Logger,
		Log:          r.Logs.Of(version.Name),
		Logs:         version.Settings.Logs,
		State:        version.Settings.State,
		Batch:        version.Settings.Batch,
	})
	if err != nil {
		return nil, err
	}
	r.started.add(version.Name, started{version.SHA256, version.Manifest.Version, policy.Key})
	return &prepared{runner: r, name: version.Name, module: version.SHA256, version: version.Manifest.Version, policy: policy,
		layout: shards.New(version.Settings.Shards, version.Settings.OrderBy), fair: version.Settings.Fair, pool: pool}, nil
}

// policy returns which events a version takes, in which order, and its retries.
func (r *Runner) policy(version plugin.Spec) (delivery.Policy, error) {
	filter, err := route.FilterOf(version.Name, version.Manifest)
	if err != nil {
		return delivery.Policy{}, err
	}
	logger := r.Logger.With("plugin", version.Name)
	sometimes := &rate.Sometimes{First: 3, Interval: 10 * time.Second}
	return delivery.Policy{
		Takes: func(ev *event.Event) bool {
			takes, err := r.Table().Takes(version.Name, filter, ev)
			if err != nil {
				sometimes.Do(func() {
					logger.Warn("condition not evaluated; event skipped", "event_id", ev.ID(), "error", err)
				})
			}
			return takes
		},
		Key:     valueAt(version.Settings.OrderBy),
		Fair:    sharing(version.Settings.Fair),
		Atomic:  version.Settings.State == spec.StateAtomic,
		Retry:   version.Settings.Retry,
		Breaker: version.Settings.Breaker,
		Paused:  version.Settings.Paused,
	}, nil
}

// sharing returns nil when the settings say nothing.
func sharing(p spec.FairPolicy) *fair.Policy {
	if p.By == "" {
		return nil
	}
	return &fair.Policy{By: p.By, Value: valueAt(p.By), Weights: p.Weights}
}

// valueAt returns the function that reads the value at a JSON Pointer into the envelope,
// "" for an event without one; nil for no pointer.
func valueAt(ptr string) func(*event.Event) string {
	switch ptr {
	case "":
		return nil
	case "/metadata/subject":
		return (*event.Event).Subject
	}
	return func(ev *event.Event) string {
		key, _ := strictjson.Get(ev.Envelope(), ptr)
		return key
	}
}
