package delivery

import (
	"time"

	"github.com/berth-host/berth/host/delivery/obstacle"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/wire"
)

// Condition is the reason why the events of an open handler wait.
type Condition = obstacle.Condition

func (h *handler) condition() Condition {
	switch o := h.obstacles.First(); {
	case h.policy.Paused:
		return Condition{State: wire.Paused, Reason: "paused by the operator; its events wait", Since: h.pausedAt}
	case h.standby.Load():
		return obstacle.Standby(h.dispatcher.cfg.Owner(h.name), h.standbySince)
	case o.At != "":
		return Condition{State: wire.Stuck, Reason: o.Reason, Since: o.Since}
	case h.breaker.Open():
		since, reason := h.breaker.Reason()
		return Condition{State: wire.BreakerOpen, Reason: reason, Since: since}
	}
	return Condition{}
}

// changes calls a function with the handler locked, and reports whether the condition is another
// one then.
func (h *handler) changes(change func()) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	before := h.condition()
	change()
	return h.condition() != before
}

// mayStart reports whether an attempt may start now.
func (h *handler) mayStart() bool {
	if h.suspended || h.policy.Paused || h.unsavedBytes >= maxUnsavedBytes {
		return false
	}
	if h.hold != nil && !h.hold.MayStart(h) {
		return false
	}
	if h.alone.Any() && !h.alone.MayStart(h.inFlight, h.committing) {
		return false
	}
	return !h.breaker.Open() || h.breaker.MayStart(time.Now())
}

// startable reports whether an attempt is ready and may start now.
func (h *handler) startable() bool { return h.ready.Len() > 0 && h.mayStart() }

// Probe is Source.Probe.
func (h *handler) Probe() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.breaker.ProbeNow(time.Now())
	h.signal()
}

// reportCondition logs a changed condition and calls OnCondition. The caller holds no
// lock.
func (h *handler) reportCondition() {
	h.mu.Lock()
	c := h.condition()
	h.mu.Unlock()
	c.Report(h.dispatcher.cfg.Logger.With(spec.LogUnit(h.name)))
	h.dispatcher.cfg.OnCondition(h.name)
}
