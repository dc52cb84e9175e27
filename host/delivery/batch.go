package delivery

import (
	"github.com/berth-host/berth/host/delivery/notice"
	"github.com/berth-host/berth/host/delivery/outcomes"
	"github.com/berth-host/berth/host/delivery/recorder"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/spec"
)

// cursor returns the Seq up to which every outcome is recorded, and drops the tasks up
// to there from the window.
func (h *handler) cursor() uint64 {
	for h.window.Len() > 0 && h.window.Peek().Recorded {
		t := h.window.Pop()
		if t.IsOpen() {
			h.open.LeftWindow(t)
		}
		h.free.Drop(t)
	}
	c := h.readTo
	if h.window.Len() > 0 {
		c = h.window.Peek().Record.Seq - 1
	}
	if first := h.fair.First(); first != 0 {
		c = min(c, first-1)
	}
	if r := h.replay; r != nil && c >= r.To {
		return max(c, r.Resume) // the events between were final before the replay
	}
	return c
}

// cursorName is a handler's name among the cursors of the store.
func cursorName(handler string) string { return event.HandlerCursors(handler).Position }

// Collect implements recorder.Handler. The batch shares the memory of the successes
// until Written: what completes meanwhile goes into other memory.
func (h *handler) Collect(b *recorder.Batch, all bool) {
	h.mu.Lock()
	if h.gone || h.standby.Load() {
		h.mu.Unlock()
		return
	}
	b.Fences = append(b.Fences, spec.Fence{Unit: h.name, Epoch: h.hold.Epoch()})
	if c := h.cursor(); c > h.saved && (all || h.outcomes.Len() > 0) {
		h.saved = c
		b.Cursors = append(b.Cursors, event.Cursor{Name: cursorName(h.name), Seq: c})
	}
	h.dirty = false
	taken := h.collected.Take(&h.outcomes)
	h.mu.Unlock()
	// Outcomes do not change any more: attempts continue while they are copied.
	b.Successes, b.Deliveries = taken.AppendTo(b.Successes, b.Deliveries)
}

// Written implements recorder.Handler.
func (h *handler) Written(saved event.Saved, fenced []spec.Fence) {
	h.mu.Lock()
	if x := h.hold; x.Refused(fenced) {
		h.mu.Unlock()
		x.Lose()
		return
	}
	notices := h.written(saved)
	h.mu.Unlock()
	h.dispatcher.sinks.SendAll(notices, h.dispatcher.cfg.Log.Read)
}

func (h *handler) written(saved event.Saved) (notices []notice.Notice) {
	refusable, n, bytes := h.collected.Written()
	if n == 0 {
		return nil
	}
	blocked := h.unsavedBytes >= maxUnsavedBytes
	h.unsaved -= n
	h.unsavedBytes -= bytes
	if len(refusable) > 0 {
		notices = h.answered(refusable, outcomes.AnswersTo(h.name, saved))
		h.ended.Open()
	}
	h.wakeReader()
	if blocked || h.alone.Any() {
		h.signal() // instances may have waited for it
	}
	return notices
}

// published counts a success with children, which the store has published, or refused as this
// delivery.
func (s *Source) published(refused *event.Delivery) {
	s.unwritten--
	if refused == nil {
		s.counts.OK++
	} else {
		s.counts.Failure(refused.ErrorClass, true)
	}
}
