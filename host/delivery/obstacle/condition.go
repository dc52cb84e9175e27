package obstacle

import (
	"log/slog"
	"time"

	"github.com/berth-host/berth/host/wire"
)

// Condition is the reason why the events of an open handler wait.
type Condition struct {
	State  wire.PluginState // wire.Paused, wire.Stuck, wire.BreakerOpen, or "" when they do not wait
	Reason string
	Since  time.Time
}

// Report logs a condition that has changed.
func (c Condition) Report(logger *slog.Logger) {
	switch c.State {
	case wire.BreakerOpen:
		logger.Warn("breaker open; events wait", "reason", c.Reason)
	case wire.Paused:
		logger.Info("handler paused; events wait")
	case wire.Stuck:
		logger.Error("handler stuck; events wait", "reason", c.Reason)
	default:
		logger.Info("events no longer wait")
	}
}
