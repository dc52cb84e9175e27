package delivery

import (
	"context"
	"time"

	"github.com/berth-host/berth/host/delivery/obstacle"
	"github.com/berth-host/berth/host/spec"
)

// Pause implements reading.Handler.
func (h *handler) Pause(ctx context.Context, err error) bool {
	return h.pause(ctx, obstacle.Reader, err)
}

// Recovered implements reading.Handler.
func (h *handler) Recovered() { h.recovered(obstacle.Reader) }

// pause waits before a part reads the log again after an error. Two failures in a row, or
// an event that cannot be read, make the handler stuck until the part succeeds. It returns
// false when ctx has ended.
func (h *handler) pause(ctx context.Context, part obstacle.Part, err error) bool {
	h.obstructed(part, err)
	select {
	case <-time.After(readRetry):
		return true
	case <-ctx.Done():
		return false
	}
}

func (h *handler) obstructed(part obstacle.Part, err error) {
	at := ""
	if h.changes(func() {
		at = h.obstacles.Failed(part, err, h.readTo, time.Now())
		h.troubled.Store(true)
	}) {
		h.dispatcher.cfg.Logger.Error("handler stuck; retrying", spec.LogUnit(h.name), "at", at, "error", err)
		h.dispatcher.cfg.OnCondition(h.name)
	}
}

// recovered notes that a part has read the log.
func (h *handler) recovered(part obstacle.Part) {
	if h.troubled.Load() && h.changes(func() { h.troubled.Store(h.obstacles.Recovered(part)) }) {
		h.reportCondition()
	}
}

// Stuck implements actions.Handler.
func (h *handler) Stuck() (name, at string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.name, h.obstacles.First().At
}
