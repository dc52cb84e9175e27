package host

import (
	"context"
	"fmt"
	"time"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/config"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/pathguard"
	"github.com/berth-host/berth/host/plugin"
	"github.com/berth-host/berth/host/wire"
)

// startPlugins starts the manager: when it returns, every plugin that is there
// has its place in the log.
func (h *Host) startPlugins(ctx context.Context, r *runner) error {
	for _, dir := range h.current.Load().PluginDirectories {
		if err := pathguard.Check(dir); fault.Is(err, fault.Denied) {
			h.logger.Warn("other users can have a handler run", "plugin_directory", dir, "error", err)
		}
	}
	pins := h.install.Pins()
	m, err := plugin.New(plugin.Config{
		Directories: h.current.Load().PluginDirectories,
		Pins:        pinsOf(pins),
		Loader:      loader{r.engine},
		Runner:      r,
		Settings:    h.settings,
		SetEnabled: func(_ context.Context, name string, enabled bool) error {
			return h.setEnabled(name, enabled)
		},
		SetPaused: func(_ context.Context, name string, paused bool) error {
			return h.edit(func() (*config.Config, error) { return h.editor.SetHandlerPaused(name, paused) })
		},
		SetGrants: func(_ context.Context, name string, grants []plugin.Grant) error {
			return h.setGrants(name, grants)
		},
		OnChange: func(p wire.Plugin) {
			h.feed.Publish(wire.Activity{Kind: "plugin", Plugin: new(h.warned(p))})
		},
		OnFile:       h.auditFiles(),
		DrainTimeout: h.ShutdownTimeout(),
		Logger:       h.logger,
	})
	if err != nil {
		return fmt.Errorf("plugins: %w", err)
	}
	r.conditionChanged.Store(new(m.ConditionChanged))
	if err := m.Start(ctx); err != nil {
		return fmt.Errorf("start the plugins: %w", err)
	}
	h.plugins = m
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

// settings are what a plugin runs with under the current configuration.
func (h *Host) settings(name string, m abi.Manifest) (plugin.Settings, error) {
	return settingsOf(h.current.Load(), name, m), nil
}

// askedBy is what a manifest asks for.
func askedBy(m abi.Manifest) config.ManifestLimits {
	return config.ManifestLimits{
		Timeout:     time.Duration(m.Limits.Timeout),
		Memory:      int64(m.Limits.Memory),
		Stack:       int64(m.Limits.Stack),
		Concurrency: m.Limits.Concurrency,
		MaxAttempts: m.Retry.MaxAttempts,
		Backoff:     time.Duration(m.Retry.Backoff),
		MaxBackoff:  time.Duration(m.Retry.MaxBackoff),
		OrderBy:     m.OrderBy,
	}
}

// settingsOf are what a plugin would run with under a configuration.
func settingsOf(c *config.Config, name string, m abi.Manifest) plugin.Settings {
	s := c.Resolve(name, askedBy(m))
	grants := make([]plugin.Grant, len(s.Grants))
	for i, g := range s.Grants {
		grants[i] = plugin.Grant{Name: g.Name, Hosts: g.Hosts, EventTypes: g.EventTypes, Names: g.Names}
	}
	return plugin.Settings{
		Enabled:       s.Enabled,
		Hold:          s.Held,
		Paused:        s.Paused,
		Config:        s.Config,
		Timeout:       s.Limits.Timeout,
		Memory:        s.Limits.Memory,
		Stack:         s.Limits.Stack,
		Concurrency:   s.Limits.Concurrency,
		Fuel:          s.Limits.Fuel,
		FreshPerEvent: s.Limits.Isolation == config.IsolationEvent,
		RecycleEvents: s.Limits.RecycleEvents,
		RecycleAge:    s.Limits.RecycleAge,
		Breaker:       plugin.Breaker{Failures: s.Breaker.Failures, Cooldown: s.Breaker.Cooldown, MaxCooldown: s.Breaker.MaxCooldown},
		Retry:         plugin.Retry{MaxAttempts: s.Retry.MaxAttempts, Backoff: s.Retry.Backoff, MaxBackoff: s.Retry.MaxBackoff},
		OrderBy:       s.OrderBy,
		Grants:        grants,
	}
}

// setGrants writes what is approved into the configuration and takes it over.
func (h *Host) setGrants(name string, grants []plugin.Grant) error {
	list := make([]config.Grant, len(grants))
	for i, g := range grants {
		list[i] = config.Grant{Name: g.Name, Hosts: g.Hosts, EventTypes: g.EventTypes, Names: g.Names}
	}
	return h.edit(func() (*config.Config, error) { return h.editor.SetHandlerGrants(name, list) })
}

// setEnabled writes the operator's decision into the configuration and takes it over.
func (h *Host) setEnabled(name string, enabled bool) error {
	return h.edit(func() (*config.Config, error) { return h.editor.SetHandlerEnabled(name, enabled) })
}
