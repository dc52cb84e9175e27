package delivery

import (
	"time"

	"github.com/berth-host/berth/host/wire"
)

// Condition says why a handler's events wait although it is at work.
type Condition struct {
	State  wire.PluginState // wire.Paused, wire.Stuck, wire.BreakerOpen, or "" when they do not
	Reason string
	Since  time.Time
}

// Condition returns how the handler is.
func (h *Handler) Condition() Condition {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.condition()
}

func (h *Handler) condition() Condition {
	switch {
	case h.policy.Paused:
		return Condition{wire.Paused, "paused by the operator; its events wait", h.pausedAt}
	case h.obstacle().where != "":
		o := h.obstacle()
		return Condition{wire.Stuck, o.reason, o.since}
	case h.breaker.open:
		return Condition{wire.BreakerOpen, h.breaker.reason, h.breaker.since}
	}
	return Condition{}
}

// mayBegin reports whether an attempt may begin now.
func (h *Handler) mayBegin() bool {
	switch {
	case h.held || h.policy.Paused || h.children >= maxChildBytes:
		return false
	case h.breaker.open:
		return h.breaker.probe == 0 && h.breaker.waits(time.Now()) == 0
	}
	return true
}

// Probe lets an open breaker try an event at once instead of after its cooldown:
// a new version is at work, or an operator wants to know.
func (h *Handler) Probe() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.breaker.hurry(time.Now())
	h.signal()
}

// tell says that the condition has changed. The caller holds no lock.
func (h *Handler) tell() {
	logger := h.dispatcher.cfg.Logger.With("plugin", h.name)
	switch c := h.Condition(); c.State {
	case wire.BreakerOpen:
		logger.Warn("the breaker is open: events wait", "reason", c.Reason)
	case wire.Paused:
		logger.Info("the handler is paused: events wait")
	case wire.Stuck:
		logger.Error("the handler is stuck: events wait", "reason", c.Reason)
	default:
		logger.Info("events no longer wait")
	}
	h.dispatcher.cfg.OnCondition(h.name)
}
