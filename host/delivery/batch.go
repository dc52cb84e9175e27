package delivery

import (
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/spec"
)

// cursor returns the Seq up to which every outcome is recorded, and drops the tasks up
// to there from the window.
func (h *handler) cursor() uint64 {
	for h.window.len() > 0 && h.window.peek().recorded {
		h.drop(h.window.pop())
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

// batch is the contents of one write.
type batch struct {
	fences     []spec.Fence // of the collected handlers
	deliveries []event.Delivery
	cursors    []event.Cursor
	parts      []part
	parents    []parent
}

// part is the share of one handler in a batch.
type part struct {
	handler  *handler
	outcomes int // also skipped ones
	children int // bytes
}

// parent is a success with children, which counts for its source once it is written.
type parent struct {
	source  *Source
	handler string
	seq     uint64
}

// clear empties the batch and keeps its memory.
func (b *batch) clear() {
	clear(b.deliveries)
	clear(b.parts)
	clear(b.parents)
	b.fences, b.deliveries, b.cursors = b.fences[:0], b.deliveries[:0], b.cursors[:0]
	b.parts, b.parents = b.parts[:0], b.parents[:0]
}

// uncollected returns how many outcomes the recorder has not collected.
func (h *handler) uncollected() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.outcomes.list)
}

// collect moves the outcomes and the cursor into b. It omits a cursor that has not
// moved, and a cursor without outcomes unless all is true: that only saves reading events
// again that the handler does not take. If skip is true it omits the successes that the
// cursor covers. Only the recorder calls it, and holds its own lock: an outcome that is
// not in h.outcomes is in b.
func (h *handler) collect(b *batch, all, skip bool) {
	h.mu.Lock()
	if h.gone {
		h.mu.Unlock()
		return
	}
	b.fences = append(b.fences, spec.Fence{Unit: h.name})
	if c := h.cursor(); c > h.saved && (all || len(h.outcomes.list) > 0) {
		h.saved = c
		b.cursors = append(b.cursors, event.Cursor{Name: cursorName(h.name), Seq: c})
	}
	// Outcomes do not change any more: attempts continue while they are copied.
	collected, saved, before := h.outcomes, h.saved, h.skipped
	h.outcomes, h.spare = h.spare, outcomes{}
	h.mu.Unlock()
	p, skipped, skips := part{handler: h, outcomes: len(collected.list)}, before, 0
	results, copied := "", false
	for i := range collected.list {
		o := &collected.list[i]
		if skip && o.unstored && o.full == nil && o.seq <= saved {
			skipped.add(o.seq)
			skips++
			continue
		}
		if !copied {
			results, copied = string(collected.results), true
		}
		d := o.delivery(h.name, results[o.from:o.to])
		if len(d.Children) > 0 {
			p.children += childBytes(d.Children)
			b.parents = append(b.parents, parent{o.source, h.name, d.Seq})
		}
		b.deliveries = append(b.deliveries, d)
	}
	collected.clear()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.spare = collected
	if p.outcomes > 0 {
		h.skipped = skipped
		h.historySkipped += uint64(skips)
		b.cursors = skipped.save(b.cursors, before, h.name)
		b.parts = append(b.parts, p)
	}
}

// written notes that n outcomes are in the store, with so many bytes of children.
func (h *handler) written(n, children int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.unsaved -= n
	h.children -= children
	h.wakeReader()
	if children > 0 {
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
