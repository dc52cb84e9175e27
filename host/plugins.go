package host

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/berth-host/berth/host/config"
	"github.com/berth-host/berth/host/config/lockfile"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/install"
	"github.com/berth-host/berth/host/live"
	"github.com/berth-host/berth/host/pathguard"
	"github.com/berth-host/berth/host/plugin"
	"github.com/berth-host/berth/host/run"
	"github.com/berth-host/berth/host/secret"
	"github.com/berth-host/berth/host/sources"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/wire"
)

const (
	// listFile is the file of the marketplace's last list in the data directory.
	listFile = "marketplace.json"
	// recoverTimeout bounds the recovery of installs, which waits for other processes.
	recoverTimeout = 30 * time.Second
	// lockInterval is the time between two checks of an unusable lock file.
	lockInterval = time.Second
)

// secrets returns the operator's secrets: files of the data directory, then the
// environment.
func (h *Host) secrets() secret.Source {
	return secret.Source{Directory: secret.Directory(h.dataFile("secrets")), Env: os.LookupEnv}
}

// startSources makes the sources of plugins. It makes no request.
func (h *Host) startSources() {
	h.sources = sources.New(sources.Config{
		Settings:  func() config.Marketplace { return h.live.Config().Marketplace },
		Installed: func() (map[string]install.Entry, error) { return h.install.Installed() },
		Secret:    h.secrets().Read,
		State:     h.dataFile(listFile),
		Fetch:     h.cfg.fetch,
		NewTimer:  h.cfg.newTimer,
		Logger:    h.logger,
	})
	h.live.OnChange(func(former, now *config.Config) { h.sources.Reconfigure(former.Marketplace, now.Marketplace) })
	h.onClose("the sources of plugins", func(context.Context) error { h.sources.Close(); return nil })
}

// startInstalls opens the store of installed plugins, and completes or reverts an
// install that a crash has interrupted. It makes no request.
func (h *Host) startInstalls(ctx context.Context) error {
	i, err := install.New(install.Config{
		Shared:     h.engine.Shared,
		Dir:        h.live.DataDir(),
		Source:     h.sources,
		Vetter:     run.Vetter{Reports: h.reports},
		Plugins:    run.Installed{Manager: func() *plugin.Manager { return h.plugins }, State: h.engine, Shared: h.engine.Shared != nil, Logger: h.logger},
		Settings:   live.Handlers{Live: h.live},
		State:      h.kept,
		Codec:      lockfile.Codec{Header: install.LockHeader},
		MinimumAge: func() time.Duration { return h.live.Config().Marketplace.MinimumReleaseAge },
		Revoked:    h.sources.Revocation,
		Logger:     h.logger,
	})
	if err != nil {
		return fmt.Errorf("installed plugins: %w", err)
	}
	h.onClose("the installed plugins", func(context.Context) error { return i.Close() })
	h.install = i
	ctx, cancel := context.WithTimeout(ctx, recoverTimeout)
	defer cancel()
	if err := i.Recover(ctx); err != nil { // installed plugins run nevertheless, as the lock says
		h.logger.Error("interrupted install not recovered; installs are refused until it is", "error", err)
	}
	return nil
}

// startPlugins starts the plugin manager. When it returns, every plugin found has a
// position in the log.
func (h *Host) startPlugins(ctx context.Context) error {
	directories := h.live.Config().PluginDirectories
	for _, dir := range directories {
		if err := pathguard.Check(dir); fault.Is(err, fault.Denied) {
			h.logger.Warn("other users can write to a watched directory", "path", dir, "error", err)
		}
	}
	m, err := plugin.New(plugin.Config{
		Directories: directories,
		Pins:        h.install.Pins(),
		Loader:      timedLoader{h.runner, &h.counts.loads},
		Runner:      h.runner,
		Settings:    h.live.Settings,
		SetEnabled:  h.live.SetEnabled,
		SetPaused:   h.live.SetPaused,
		SetGrants:   h.live.SetGrants,
		OnChange: func(p wire.Plugin) {
			h.feed.Publish(wire.Activity{Kind: "plugin", Plugin: new(h.sources.WithRevocation(p))})
		},
		OnFile:       h.auditFiles(),
		DrainTimeout: h.ShutdownTimeout(),
		Logger:       h.logger,
	})
	if err != nil {
		return fmt.Errorf("plugins: %w", err)
	}
	h.plugins = m
	if err := m.Start(ctx); err != nil {
		return fmt.Errorf("start the plugins: %w", err)
	}
	h.onClose("the plugins", m.Close)
	h.live.Attach(m)
	if _, err := h.install.Installed(); err != nil {
		h.background("the wait for the lock of installed plugins", h.awaitLock)
	}
	h.background("the wait for the plugins", func(ctx context.Context) {
		if m.WaitReady(ctx) != nil {
			return
		}
		h.pluginsLoaded.Store(true)
		n := len(m.List())
		h.logger.Info("plugins found at the start are loaded", "plugins", n)
		if n == 0 {
			h.logger.Info("no plugins yet; add one with: berth plugin add FILE", "plugin_directories", directories)
		}
	})
	return nil
}

// awaitLock runs the installed plugins once their lock file is repaired. Until then they
// are refused.
func (h *Host) awaitLock(ctx context.Context) {
	tick := time.NewTicker(lockInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if h.install.Repaired(ctx, func(pins []spec.Pin) error { return h.plugins.Repin(ctx, pins) }) == nil {
			h.logger.Info("lock of installed plugins repaired; they are started", "plugins", len(h.install.Pins()))
			return
		}
	}
}
