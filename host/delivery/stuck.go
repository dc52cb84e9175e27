package delivery

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/berth-host/berth/host/event"
)

// The parts of a handler that read the log.
const (
	reading = iota // the reader, and a replay that is being started
	feeding        // the feeder
	parts
)

// obstacle is what a part of a handler cannot get past; it tries on.
type obstacle struct {
	failures int    // in a row
	where    string // for a person, such as "event 41"; "" while it may pass by itself
	reason   string
	since    time.Time
}

// pause waits before a part reads the log again after an error. One that fails
// twice, and an event that cannot be read, make the handler stuck until it gets on.
func (h *Handler) pause(ctx context.Context, part int, err error) bool {
	h.obstructed(part, err)
	select {
	case <-time.After(readRetry):
		return true
	case <-ctx.Done():
		return false
	}
}

func (h *Handler) obstructed(part int, err error) {
	var bad *event.Unreadable
	where := ""
	h.mu.Lock()
	before := h.condition()
	o := &h.stuck[part]
	o.failures++
	switch {
	case errors.As(err, &bad):
		where = bad.Events()
	case o.failures > 1 && part == reading:
		where = fmt.Sprintf("event %d", h.readTo+1)
	case o.failures > 1:
		where = "its redriven events"
	}
	if where != "" {
		if o.where == "" {
			o.since = time.Now()
		}
		o.where, o.reason = where, fmt.Sprintf("stuck at %s: %v", where, err)
	}
	h.troubled.Store(true)
	changed := h.condition() != before
	h.mu.Unlock()
	if changed {
		h.dispatcher.cfg.Logger.Error("the handler is stuck; it tries on", "plugin", h.name, "at", where, "error", err)
		h.dispatcher.cfg.OnCondition(h.name)
	}
}

// recovered says that a part has read the log.
func (h *Handler) recovered(part int) {
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
		h.tell()
	}
}

// Stuck returns what the handler cannot get past, such as "event 41", and why; ""
// when it can.
func (h *Handler) Stuck() (where, reason string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	o := h.obstacle()
	return o.where, o.reason
}

// obstacle is the first that is there.
func (h *Handler) obstacle() obstacle {
	for _, o := range h.stuck {
		if o.where != "" {
			return o
		}
	}
	return obstacle{}
}

// restoreUnread takes up the deliveries that load could not, as far as their
// events can be read or were skipped.
func (h *Handler) restoreUnread(ctx context.Context) error {
	for len(h.unread) > 0 {
		t, err := h.restored(ctx, h.unread[0])
		if err != nil {
			return err
		}
		h.unread = h.unread[1:]
		h.mu.Lock()
		h.laterOpen--
		if t != nil {
			h.admit(t)
		}
		h.mu.Unlock()
	}
	return nil
}
