package host

import (
	"context"

	"github.com/berth-host/berth/host/api/ports"
	"github.com/berth-host/berth/host/backup"
	"github.com/berth-host/berth/host/config"
	"github.com/berth-host/berth/host/live"
	"github.com/berth-host/berth/host/plugin"
	"github.com/berth-host/berth/host/run"
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
