package delivery

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/berth-host/berth/host/event"
)

// The parts of a handler that read the log.
const (
	partReader = iota // also a replay that is being started
	partFeeder
	parts
)

// obstacle is what keeps a part of a handler from reading the log. The part retries.
type obstacle struct {
	failures int    // in a row
	at       string // for a person, such as "event 41"; "" while it may be temporary
	reason   string
	since    time.Time
}

// pause waits before a part reads the log again after an error. Two failures in a row, or
// an event that cannot be read, make the handler stuck until the part succeeds. It returns
// false when ctx has ended.
func (h *handler) pause(ctx context.Context, part int, err error) bool {
	h.obstructed(part, err)
	select {
	case <-time.After(readRetry):
		return true
	case <-ctx.Done():
		return false
	}
}

func (h *handler) obstructed(part int, err error) {
	var bad *event.Unreadable
	at := ""
	h.mu.Lock()
	before := h.condition()
	o := &h.stuck[part]
	o.failures++
	switch {
	case errors.As(err, &bad):
		at = bad.Events()
	case o.failures > 1 && part == partReader:
		at = fmt.Sprintf("event %d", h.readTo+1)
	case o.failures > 1:
		at = "its redriven events"
	}
	if at != "" {
		if o.at == "" {
			o.since = time.Now()
		}
		o.at, o.reason = at, fmt.Sprintf("stuck at %s: %v", at, err)
	}
	h.troubled.Store(true)
	changed := h.condition() != before
	h.mu.Unlock()
	if changed {
		h.dispatcher.cfg.Logger.Error("handler stuck; retrying", "plugin", h.name, "at", at, "error", err)
		h.dispatcher.cfg.OnCondition(h.name)
	}
}

// recovered notes that a part has read the log.
func (h *handler) recovered(part int) {
	if !h.troubled.Load() {
		return
	}
	h.mu.Lock()
	before := h.condition()
	h.stuck[part] = obstacle{}
	h.troubled.Store(h.stuck != [parts]obstacle{})
	changed := h.condition() != before
	h.mu.Unlock()
	if changed {
		h.reportCondition()
	}
}

// obstacle returns the first one with a position.
func (h *handler) obstacle() obstacle {
	for _, o := range h.stuck {
		if o.at != "" {
			return o
		}
	}
	return obstacle{}
}

// Stuck returns a handler that cannot read on in the log, the first by name, and where it
// is stuck, such as "event 41"; "" when none is.
func (d *Dispatcher) Stuck() (handler, at string) {
	d.mu.Lock()
	open := maps.Clone(d.handlers)
	d.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(open)) {
		h := open[name]
		h.mu.Lock()
		at := h.obstacle().at
		h.mu.Unlock()
		if at != "" {
			return name, at
		}
	}
	return "", ""
}
