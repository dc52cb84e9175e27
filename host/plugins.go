package host

import (
	"context"
	"fmt"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/pathguard"
	"github.com/berth-host/berth/host/plugin"
	"github.com/berth-host/berth/host/wire"
)

// startPlugins starts the manager: when it returns, every plugin that is there
// has its place in the log.
func (h *Host) startPlugins(ctx context.Context) error {
	for _, dir := range h.live.Config().PluginDirectories {
		if err := pathguard.Check(dir); fault.Is(err, fault.Denied) {
			h.logger.Warn("other users can write to a watched directory", "path", dir, "error", err)
		}
	}
	m, err := plugin.New(plugin.Config{
		Directories: h.live.Config().PluginDirectories,
		Pins:        h.install.Pins(),
		Loader:      h.runner,
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
		h.awaitLock()
	}
	h.background("the wait for the plugins", func(ctx context.Context) {
		if m.WaitReady(ctx) == nil {
			h.pluginsLoaded.Store(true)
			n := len(m.List())
			h.logger.Info("plugins found at the start are loaded", "plugins", n)
			if n == 0 {
				h.logger.Info("no plugins yet; add one with: berth plugin add FILE", "plugin_directories", h.live.Config().PluginDirectories)
			}
		}
	})
	return nil
}
