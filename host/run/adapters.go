package run

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/berth-host/berth/host/bus"
	"github.com/berth-host/berth/host/delivery/view"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/install"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/wire"
)

// Actions are what operators do to deliveries; see delivery.Dispatcher.
type Actions interface {
	DeadLetters(ctx context.Context, f event.DeadFilter, cursor string, limit int) (list []event.DeadLetter, next string, err error)
	Redrive(ctx context.Context, f event.DeadFilter) (int, error)
	Purge(ctx context.Context, f event.DeadFilter) (int, error)
	Replay(ctx context.Context, handler string, from, to uint64) error
}

// DeadLetters is the dead letters for the API.
type DeadLetters struct{ Actions }

// DeadLetters implements ports.DeadLetters.
func (l DeadLetters) DeadLetters(ctx context.Context, f event.DeadFilter, cursor string, limit int) ([]wire.DeadLetter, string, error) {
	dead, next, err := l.Actions.DeadLetters(ctx, f, cursor, limit)
	list := make([]wire.DeadLetter, len(dead))
	for i, d := range dead {
		list[i] = deadLetter(d)
	}
	return list, next, err
}

func deadLetter(d event.DeadLetter) wire.DeadLetter {
	meta := d.Event.Metadata()
	plugin, shard := spec.SplitUnit(d.Handler)
	w := wire.DeadLetter{
		Plugin: plugin, Shard: shard, EventID: meta.EventID, Seq: d.Seq, EventType: string(d.Event.Type()), Subject: meta.Subject,
		IdempotencyKey: meta.IdempotencyKey, Status: string(d.Status), Reason: d.Reason, Attempts: d.Attempts,
		Error: view.Error(d.ErrorClass, d.ErrorMessage), PublishedAt: meta.Time, At: d.At, Event: json.RawMessage(d.Event.Envelope()),
	}
	if !d.FirstAt.IsZero() {
		w.FirstAttemptAt = &d.FirstAt
	}
	return w
}

// Replayer replays and skips parts of the log for the API.
type Replayer struct {
	*bus.Bus
	Log     bus.Engine
	Actions Actions
}

// SeqAt implements ports.Replayer.
func (r Replayer) SeqAt(ctx context.Context, t time.Time) (uint64, error) { return r.Log.SeqAt(ctx, t) }

// Replay implements ports.Replayer.
func (r Replayer) Replay(ctx context.Context, plugin string, from, to uint64) error {
	return r.Actions.Replay(ctx, plugin, from, to)
}

// Skip implements ports.Replayer.
func (r Replayer) Skip(ctx context.Context, from, to uint64) (event.Skipped, error) {
	done, err := r.Log.Skip(ctx, from, to)
	for i, unit := range done.Handlers {
		done.Handlers[i] = spec.PluginOf(unit)
	}
	done.Handlers = slices.Compact(done.Handlers)
	return done, err
}

// Installer installs plugins for the API. Lock order: package install's lock, then the
// plugin manager, which locks the configuration (live.Live.SetEnabled).
type Installer struct{ *install.Installer }

// Install implements ports.Installer.
func (i Installer) Install(ctx context.Context, in wire.Install, report func(wire.Progress)) (wire.Plugin, error) {
	return i.Installer.Install(ctx, install.Request{Name: in.Name, Version: in.Version, URL: in.URL, SHA256: in.SHA256, Ref: in.Ref},
		in.Approve, report)
}

// Upgrade implements ports.Installer.
func (i Installer) Upgrade(ctx context.Context, name string, in wire.Upgrade, precondition func(wire.Plugin) error,
	report func(wire.Progress)) (wire.Plugin, error) {
	return i.Installer.Upgrade(ctx, name, install.Request{Version: in.Version, URL: in.URL, SHA256: in.SHA256, Ref: in.Ref,
		Precondition: precondition}, in.Approve, report)
}

// Rollback implements ports.Installer.
func (i Installer) Rollback(ctx context.Context, name, version string, precondition func(wire.Plugin) error,
	report func(wire.Progress)) (wire.Plugin, error) {
	return i.Installer.Rollback(ctx, name, version, precondition, report)
}

// Uninstall implements ports.Installer.
func (i Installer) Uninstall(ctx context.Context, name string, force, purge bool, precondition func(wire.Plugin) error) (out wire.Uninstalled, err error) {
	err = i.Installer.Uninstall(ctx, name, install.UninstallOptions{Force: force, Purge: purge, Precondition: precondition,
		Remains: func(hosts []string) { out.RemainsOn = hosts }})
	return out, err
}

// Vetter vets modules for installs.
type Vetter struct{ *Reports }

// Vet implements install.Vetter.
func (v Vetter) Vet(ctx context.Context, module spec.Artifact) error {
	_, err := v.Reports.Vet(ctx, module)
	return err
}
