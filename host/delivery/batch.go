package delivery

import (
	"slices"

	"github.com/berth-host/berth/host/delivery/recorder"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/spec"
)

// cursor returns the Seq up to which every outcome is recorded, and drops the tasks up
// to there from the window.
func (h *handler) cursor() uint64 {
	for h.window.len() > 0 && h.window.peek().recorded {
		t := h.window.pop()
		if t.isOpen() {
			h.open.leftWindow(t)
		}
		h.drop(t)
	}
	c := h.readTo
	if h.window.len() > 0 {
		c = h.window.peek().record.Seq - 1
	}
	if r := h.replay; r != nil && c >= r.To {
		return max(c, r.Resume) // the events between were final before the replay
	}
	return c
}

// cursorName is a handler's name among the cursors of the store.
func cursorName(handler string) string {
	name, _, _ := event.HandlerCursors(handler)
	return name
}

// collected describes the outcomes of a handler that are being written.
type collected struct {
	outcomes int // also skipped ones
	children int // bytes
	parents  []parent
}

// parent is a success with children, which counts for its source once it is written.
type parent struct {
	source *Source
	seq    uint64
}

// Uncollected implements recorder.Handler.
func (h *handler) Uncollected() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.outcomes.list)
}

// Collect implements recorder.Handler.
func (h *handler) Collect(b *recorder.Batch, all, skip bool) {
	h.mu.Lock()
	if h.gone {
		h.mu.Unlock()
		return
	}
	b.Fences = append(b.Fences, spec.Fence{Unit: h.name})
	if c := h.cursor(); c > h.saved && (all || len(h.outcomes.list) > 0) {
		h.saved = c
		b.Cursors = append(b.Cursors, event.Cursor{Name: cursorName(h.name), Seq: c})
	}
	// Outcomes do not change any more: attempts continue while they are copied.
	taken, saved, before := h.outcomes, h.saved, h.skipped
	h.outcomes, h.spare = h.spare, outcomes{}
	h.mu.Unlock()
	skipped, skips, children := before, 0, 0
	var parents []parent
	results, copied := "", false
	for i := range taken.list {
		o := &taken.list[i]
		if skip && o.unstored && o.full == nil && o.seq <= saved {
			skipped.add(o.seq)
			skips++
			continue
		}
		if !copied {
			results, copied = string(taken.results), true
		}
		d := o.delivery(h.name, results[o.from:o.to])
		if len(d.Children) > 0 {
			children += childBytes(d.Children)
			parents = append(parents, parent{o.source, d.Seq})
		}
		b.Deliveries = append(b.Deliveries, d)
	}
	n := len(taken.list)
	taken.clear()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.spare = taken
	h.collected.outcomes += n // a handler that was marked dirty twice is collected twice
	h.collected.children += children
	h.collected.parents = append(h.collected.parents, parents...)
	if n > 0 {
		h.skipped = skipped
		h.historySkipped += uint64(skips)
		b.Cursors = skipped.save(b.Cursors, before, h.name)
	}
}

// Written implements recorder.Handler.
func (h *handler) Written(refused []event.Delivery) {
	h.mu.Lock()
	defer h.mu.Unlock()
	c := h.collected
	h.collected = collected{}
	if c.outcomes == 0 {
		return
	}
	for _, p := range c.parents {
		p.source.unwritten--
		if slices.ContainsFunc(refused, func(d event.Delivery) bool { return d.Handler == h.name && d.Seq == p.seq }) {
			p.source.failed++
		} else {
			p.source.delivered++
		}
	}
	if len(c.parents) > 0 && h.countedMore != nil {
		close(h.countedMore)
		h.countedMore = nil
	}
	h.unsaved -= c.outcomes
	h.children -= c.children
	h.wakeReader()
	if c.children > 0 {
		h.signal() // instances may have waited for it
	}
}

// childBytes returns the size of the children of a delivery.
func childBytes(children []*event.Event) (n int) {
	for _, child := range children {
		n += len(child.Envelope())
	}
	return n
}
