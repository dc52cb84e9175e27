package host

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"time"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/audit"
	"github.com/berth-host/berth/host/config"
	"github.com/berth-host/berth/host/plugin"
	"github.com/berth-host/berth/host/wire"
)

// watchDebounce is how long the configuration file must be at rest before it is read.
const watchDebounce = 200 * time.Millisecond

// startWatch reloads when the configuration file changes.
func (h *Host) startWatch() {
	h.background("the configuration watcher", func(ctx context.Context) {
		err := config.Watch(ctx, h.path, watchDebounce, func() {
			result, err := h.Reload(ctx)
			switch {
			case err != nil:
				h.logger.Error("the configuration was not reloaded; the old one stays", "error", err)
			case len(result.Changed) > 0:
				h.logger.Info("the configuration was reloaded", "changed", result.Changed)
				h.auditReload(result)
			}
		})
		if err != nil && ctx.Err() == nil {
			h.logger.Error("the configuration file is not watched; reload it by the API", "error", err)
		}
	})
}

// auditReload records what a change of the file brought. Who made it is not
// known: whoever may write the file.
func (h *Host) auditReload(result wire.ReloadResult) {
	after, err := json.Marshal(result)
	if err == nil {
		err = h.audit.Append(audit.Record{ID: rand.Text()[:16], Stage: audit.End, Action: "reload-config", Who: "the file", Target: h.path, After: after, Result: "ok"})
	}
	if err != nil {
		h.logger.Error("a reload is not in the audit log", "error", err)
	}
}

// Reload reads the configuration again and says what changed. Everything is
// checked before anything is in force: the YAML, the conditions, and each
// handler's config against its plugin's schema. A file that is wrong changes
// nothing. What only a start can change (data_dir, server.listen, bus.engine) is
// named as such.
func (h *Host) Reload(ctx context.Context) (wire.ReloadResult, error) {
	h.reload.Lock()
	defer h.reload.Unlock()
	c, table, text, err := load(h.path)
	if err != nil {
		return wire.ReloadResult{}, err
	}
	if err := h.fits(ctx, c, text); err != nil {
		return wire.ReloadResult{}, err
	}
	formerConfig, formerTable := h.current.Load(), h.table.Load()
	h.current.Store(c)
	h.table.Store(table)
	// Whoever asked may go, the rest is done all the same; it only fails when
	// the host is closing, and then nothing is in force any more.
	if err := h.plugins.Reload(context.WithoutCancel(ctx), c.PluginDirectories); err != nil {
		h.current.Store(formerConfig)
		h.table.Store(formerTable)
		return wire.ReloadResult{}, err
	}
	h.retention.configure()
	h.market.reconfigure(formerConfig.Marketplace, c.Marketplace)
	return wire.ReloadResult{Changed: config.Diff(formerConfig, c), NeedsRestart: config.Restarts(h.started, c)}, nil
}

// fits asks the plugins whether they would take the configuration.
func (h *Host) fits(ctx context.Context, c *config.Config, text []byte) error {
	misfits, err := h.plugins.Check(ctx, func(name string, m abi.Manifest) (plugin.Settings, error) { return settingsOf(c, name, m), nil })
	if err != nil {
		return err
	}
	var problems []config.Problem
	for _, m := range misfits {
		for _, v := range m.Violations {
			way := append([]string{"handlers", m.Name, "config"}, v.Way()...)
			problems = append(problems, config.Problem{File: h.path, Line: config.Locate(text, way...), Path: "handlers." + m.Name + ".config" + v.Pointer, Reason: v.Reason})
		}
		if m.Violations == nil {
			problems = append(problems, config.Problem{File: h.path, Line: config.Locate(text, "handlers", m.Name), Path: "handlers." + m.Name, Reason: m.Err.Error()})
		}
	}
	if problems == nil {
		return nil
	}
	return config.NewError(problems...)
}
