package host

import (
	"context"

	"github.com/berth-host/berth/host/bus"
	"github.com/berth-host/berth/host/config"
	"github.com/berth-host/berth/host/run"
)

// startSchedules publishes the events of schedules from now on.
func (h *Host) startSchedules(ctx context.Context, state bus.State) (err error) {
	if h.schedules, err = run.Schedules(ctx, h.checked, state, h.logger); err != nil {
		return err
	}
	h.live.OnChange(func(_, _ *config.Config) { h.schedules.Set(h.live.Schedules()) })
	h.schedules.Set(h.live.Schedules())
	h.background("the schedules", h.schedules.Run)
	return nil
}
