package obstacle

import (
	"log/slog"
	"time"

	"github.com/berth-host/berth/host/wire"
)

// Condition is the reason why the events of an open handler wait.
type Condition struct {
	State  wire.PluginState // wire.Paused, wire.Stuck, wire.BreakerOpen, wire.Standby, or "" when they do not wait
	Reason string
	Since  time.Time
}

// Standby is the condition of a handler that another host runs, "" for none, since a time.
func Standby(owner string, since time.Time) Condition {
	c := Condition{State: wire.Standby, Reason: "no host runs it yet; its events wait", Since: since}
	if owner != "" {
		c.Reason = "the host " + owner + " runs it"
	}
	return c
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
	case wire.Standby:
		logger.Info("handler on standby", "reason", c.Reason)
	default:
		logger.Info("events no longer wait")
	}
}
