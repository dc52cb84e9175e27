package host

import (
	"context"

	"github.com/berth-host/berth/host/config"
	"github.com/berth-host/berth/host/member"
	"github.com/berth-host/berth/host/run"
)

// startSchedules publishes the events of schedules from now on.
func (h *Host) startSchedules(ctx context.Context) error {
	runner, err := run.Schedules(ctx, h.checked, h.engine, h.logger)
	if err != nil {
		return err
	}
	h.schedules = member.NewSchedules(runner, h.engine.Shared != nil)
	h.live.OnChange(func(_, _ *config.Config) { h.schedules.Set(h.live.Schedules()) })
	h.schedules.Set(h.live.Schedules())
	if h.engine.Shared != nil {
		h.jobs[":schedules"] = h.schedules.Publish
		return nil
	}
	h.background("the schedules", h.schedules.Run)
	return nil
}
