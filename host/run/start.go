package run

import (
	"context"
	"log/slog"
	"time"

	"github.com/berth-host/berth/host/config"
	"github.com/berth-host/berth/host/spec"
)

// StartLog is the part of an engine that StartPosition reads.
type StartLog interface {
	Last() uint64
	SeqAt(ctx context.Context, t time.Time) (uint64, error)
}

// StartPosition returns the function that returns the event after which a new handler
// starts, as handlers.<name>.start says. start reads the configuration in force.
func StartPosition(log StartLog, start func(handler string) config.Start, logger *slog.Logger) func(context.Context, string) (
	after uint64, err error) {
	return func(ctx context.Context, handler string) (uint64, error) {
		s := start(spec.PluginOf(handler))
		if !s.Earliest && s.At.IsZero() {
			return log.Last(), nil
		}
		first, err := log.SeqAt(ctx, s.At) // the zero time precedes every event
		if err != nil {
			return 0, err
		}
		logger.Info("new handler starts in the past", "plugin", handler, "start", s.String(), "seq", first)
		return first - 1, nil
	}
}
