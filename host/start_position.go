package host

import (
	"context"

	"github.com/berth-host/berth/host/bus"
)

// startOf returns the event after which a new handler starts, as handlers.<name>.start
// says.
func (h *Host) startOf(log bus.Log) func(ctx context.Context, handler string) (after uint64, err error) {
	return func(ctx context.Context, handler string) (uint64, error) {
		start := h.current.Load().Handlers[handler].Start
		if !start.Earliest && start.At.IsZero() {
			return log.Last(), nil
		}
		first, err := log.SeqAt(ctx, start.At) // the zero time precedes every event
		if err != nil {
			return 0, err
		}
		h.logger.Info("new handler starts in the past", "plugin", handler, "start", start.String(), "seq", first)
		return first - 1, nil
	}
}
