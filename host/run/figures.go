package run

import (
	"context"

	"github.com/berth-host/berth/host/telemetry/figures"
)

// Figures fills in what the queue, the instances and the attempts of a handler know.
func (r *Runner) Figures(ctx context.Context, h *figures.Handler) error {
	f, err := r.Dispatcher.Figures(ctx, h.Plugin)
	h.Open = f.Open
	return err
}
