package delivery

import (
	"time"

	"github.com/berth-host/berth/host/wire"
)

// Condition is the reason why the events of an open handler wait.
type Condition struct {
	State  wire.PluginState // wire.Paused, wire.Stuck, wire.BreakerOpen, or "" when they do not wait
	Reason string
	Since  time.Time
}

func (h *handler) condition() Condition {
	switch o := h.obstacles.First(); {
	case h.policy.Paused:
		return Condition{wire.Paused, "paused by the operator; its events wait", h.pausedAt}
	case o.At != "":
		return Condition{wire.Stuck, o.Reason, o.Since}
	case h.breaker.Open():
		since, reason := h.breaker.Reason()
		return Condition{wire.BreakerOpen, reason, since}
	}
	return Condition{}
}

// mayStart reports whether an attempt may start now.
func (h *handler) mayStart() bool {
	if h.suspended || h.policy.Paused || h.unsavedBytes >= maxUnsavedBytes {
		return false
	}
	if h.alone.Any() && !h.alone.MayStart(h.inFlight, h.committing) {
		return false
	}
	return !h.breaker.Open() || h.breaker.MayStart(time.Now())
}

// probe is Source.Probe.
func (h *handler) probe() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.breaker.ProbeNow(time.Now())
	h.signal()
}

// reportCondition logs a changed condition and calls OnCondition. The caller holds no
// lock.
func (h *handler) reportCondition() {
	logger := h.dispatcher.cfg.Logger.With("plugin", h.name)
	h.mu.Lock()
	c := h.condition()
	h.mu.Unlock()
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
	h.dispatcher.cfg.OnCondition(h.name)
}
