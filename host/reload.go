package host

import (
	"context"
	"time"

	"github.com/berth-host/berth/host/config"
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
			}
		})
		if err != nil && ctx.Err() == nil {
			h.logger.Error("the configuration file is not watched; reload it by the API", "error", err)
		}
	})
}

// Reload reads the configuration again and says what changed. A file that is
// wrong changes nothing. What only a start can change (data_dir, server.listen,
// bus) is named as such.
func (h *Host) Reload(ctx context.Context) (wire.ReloadResult, error) {
	h.reload.Lock()
	defer h.reload.Unlock()
	c, table, err := h.load()
	if err != nil {
		return wire.ReloadResult{}, err
	}
	changed := config.Diff(h.current.Load(), c)
	h.current.Store(c)
	h.table.Store(table)
	h.retention.configure()
	if err := h.plugins.Reload(ctx, c.PluginDirectories); err != nil {
		return wire.ReloadResult{}, err
	}
	return wire.ReloadResult{Changed: changed}, nil
}
