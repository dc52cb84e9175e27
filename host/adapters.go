package host

import (
	"context"
	"encoding/json"
	"time"

	"github.com/berth-host/berth/host/api/ports"
	"github.com/berth-host/berth/host/backup"
	"github.com/berth-host/berth/host/bus"
	"github.com/berth-host/berth/host/config"
	"github.com/berth-host/berth/host/delivery"
	"github.com/berth-host/berth/host/delivery/view"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/install"
	"github.com/berth-host/berth/host/live"
	"github.com/berth-host/berth/host/plugin"
	"github.com/berth-host/berth/host/run"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/wire"
)

// pluginRegistry is the plugins with their revocations and lags, for the API.
type pluginRegistry struct {
	*plugin.Manager
	*run.Reports
	live    *live.Live
	details func(wire.Plugin) wire.Plugin
}

// List implements ports.Registry.
func (r pluginRegistry) List() []wire.Plugin {
	list := r.Manager.List()
	for i := range list {
		list[i] = r.details(list[i])
	}
	return list
}

// Plugin implements ports.Registry.
func (r pluginRegistry) Plugin(name string) (wire.Plugin, bool) {
	p, err := r.Manager.Plugin(name)
	if err != nil {
		return p, false
	}
	return r.details(p), true
}

// Known implements ports.Registry.
func (r pluginRegistry) Known(name string) bool {
	if _, configured := r.live.Config().Handlers[name]; configured {
		return true
	}
	_, err := r.Manager.Plugin(name)
	return err == nil
}

// reloader is the configuration in force with the values in use since the start.
type reloader struct {
	*live.Live
	started config.Started
}

// InForce implements ports.Reloader.
func (r reloader) InForce(handler string) (wire.Settings, error) {
	return r.Live.InForce(handler, r.started)
}

// deadLetters is the dead letters for the API.
type deadLetters struct{ *delivery.Dispatcher }

// DeadLetters implements ports.DeadLetters.
func (l deadLetters) DeadLetters(ctx context.Context, f event.DeadFilter, cursor string, limit int) ([]wire.DeadLetter, string, error) {
	dead, next, err := l.Dispatcher.DeadLetters(ctx, f, cursor, limit)
	list := make([]wire.DeadLetter, len(dead))
	for i, d := range dead {
		list[i] = deadLetter(d)
	}
	return list, next, err
}

func deadLetter(d event.DeadLetter) wire.DeadLetter {
	meta := d.Event.Metadata()
	w := wire.DeadLetter{
		Plugin: d.Handler, EventID: meta.EventID, Seq: d.Seq, EventType: string(d.Event.Type()), Subject: meta.Subject,
		IdempotencyKey: meta.IdempotencyKey, Status: string(d.Status), Reason: d.Reason, Attempts: d.Attempts,
		Error: view.Error(d.ErrorClass, d.ErrorMessage), PublishedAt: meta.Time, At: d.At, Event: json.RawMessage(d.Event.Envelope()),
	}
	if !d.FirstAt.IsZero() {
		w.FirstAttemptAt = &d.FirstAt
	}
	return w
}

// replayer replays and skips parts of the log for the API.
type replayer struct {
	*bus.Bus
	log        bus.Engine
	dispatcher *delivery.Dispatcher
}

// SeqAt implements ports.Replayer.
func (r replayer) SeqAt(ctx context.Context, t time.Time) (uint64, error) { return r.log.SeqAt(ctx, t) }

// Replay implements ports.Replayer.
func (r replayer) Replay(ctx context.Context, plugin string, from, to uint64) error {
	return r.dispatcher.Replay(ctx, plugin, from, to)
}

// Skip implements ports.Replayer.
func (r replayer) Skip(ctx context.Context, from, to uint64) (event.Skipped, error) {
	return r.log.Skip(ctx, from, to)
}

// installer installs plugins for the API. Lock order: package install's lock, then the
// plugin manager, which locks the configuration (live.Live.SetEnabled).
type installer struct{ *install.Installer }

// Install implements ports.Installer.
func (i installer) Install(ctx context.Context, in wire.Install, report func(wire.Progress)) (wire.Plugin, error) {
	return i.Installer.Install(ctx, install.Request{Name: in.Name, Version: in.Version, URL: in.URL, SHA256: in.SHA256, Ref: in.Ref},
		in.Approve, report)
}

// Upgrade implements ports.Installer.
func (i installer) Upgrade(ctx context.Context, name string, in wire.Upgrade, precondition func(wire.Plugin) error,
	report func(wire.Progress)) (wire.Plugin, error) {
	return i.Installer.Upgrade(ctx, name, install.Request{Version: in.Version, URL: in.URL, SHA256: in.SHA256, Ref: in.Ref,
		Precondition: precondition}, in.Approve, report)
}

// Rollback implements ports.Installer.
func (i installer) Rollback(ctx context.Context, name, version string, precondition func(wire.Plugin) error,
	report func(wire.Progress)) (wire.Plugin, error) {
	return i.Installer.Rollback(ctx, name, version, precondition, report)
}

// Uninstall implements ports.Installer.
func (i installer) Uninstall(ctx context.Context, name string, force, purge bool, precondition func(wire.Plugin) error) error {
	return i.Installer.Uninstall(ctx, name, install.UninstallOptions{Force: force, Purge: purge, Precondition: precondition})
}

// backups makes backups for the API.
type backups struct{ *backup.Backups }

// Make implements ports.Backups.
func (b backups) Make(ctx context.Context) (ports.Backup, error) {
	made, err := b.Backups.Make(ctx)
	if err != nil {
		return nil, err
	}
	return made, nil
}

// vetter vets modules for installs.
type vetter struct{ *run.Reports }

// Vet implements install.Vetter.
func (v vetter) Vet(ctx context.Context, module spec.Artifact) error {
	_, err := v.Reports.Vet(ctx, module)
	return err
}
