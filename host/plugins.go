package host

import (
	"context"
	"fmt"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/config"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/pathguard"
	"github.com/berth-host/berth/host/plugin"
	"github.com/berth-host/berth/host/run"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/wire"
)

// startPlugins starts the manager: when it returns, every plugin that is there
// has its place in the log.
func (h *Host) startPlugins(ctx context.Context, r *run.Runner) error {
	for _, dir := range h.current.Load().PluginDirectories {
		if err := pathguard.Check(dir); fault.Is(err, fault.Denied) {
			h.logger.Warn("other users can have a handler run", "plugin_directory", dir, "error", err)
		}
	}
	m, err := plugin.New(plugin.Config{
		Directories: h.current.Load().PluginDirectories,
		Pins:        h.install.Pins(),
		Loader:      r,
		Runner:      r,
		Settings:    h.settings,
		SetEnabled: func(_ context.Context, name string, enabled bool) error {
			return h.setEnabled(name, enabled)
		},
		SetPaused: func(_ context.Context, name string, paused bool) error {
			return h.edit(func() (*config.Config, error) { return h.editor.SetHandlerPaused(name, paused) })
		},
		SetGrants: func(_ context.Context, name string, grants []spec.Grant) error {
			return h.edit(func() (*config.Config, error) { return h.editor.SetHandlerGrants(name, grants) })
		},
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
	h.undo("the plugins", m.Close)
	if _, err := h.install.Installed(); err != nil {
		h.awaitLock()
	}
	h.background("the wait for the plugins", func(ctx context.Context) {
		if m.WaitReady(ctx) == nil {
			h.pluginsLoaded.Store(true)
			n := len(m.List())
			h.logger.Info("the plugins found at the start are settled", "plugins", n)
			if n == 0 {
				h.logger.Info("there is no plugin yet: add one with 'berth plugin add FILE'", "plugin_directories", h.current.Load().PluginDirectories)
			}
		}
	})
	return nil
}

// settings resolves a plugin's settings under the current configuration.
func (h *Host) settings(name string, m abi.Manifest) (spec.Settings, error) {
	return settingsUnder(h.current.Load())(name, m)
}

// settingsUnder resolves settings under a configuration.
func settingsUnder(c *config.Config) plugin.SettingsFunc {
	return func(name string, m abi.Manifest) (spec.Settings, error) {
		s, _ := c.Resolve(name, m)
		return s, nil
	}
}

// setEnabled writes the operator's decision into the configuration and takes it over.
func (h *Host) setEnabled(name string, enabled bool) error {
	return h.edit(func() (*config.Config, error) { return h.editor.SetHandlerEnabled(name, enabled) })
}
