package delivery

import (
	"context"
	"fmt"
)

// Inconsistency compares the counters of a handler with its contents, and returns the
// first difference, or "". The leases are all of the handler's; none is in use.
func (s *Source) Inconsistency(leases ...*Lease) string {
	h := s.h
	h.mu.Lock()
	defer h.mu.Unlock()
	var n struct{ open, delivering, behind, bytes, fed, fedBytes, lanes int }
	seen := make(map[*task]string)
	seqs := make(map[uint64]bool)
	next := make(map[*task]bool)
	for t := range h.open.all {
		n.open++
		if t.record.Event == nil || seqs[t.record.Seq] {
			return fmt.Sprintf("task %d is open without an event, or twice", t.record.Seq)
		}
		seqs[t.record.Seq] = true
		size := len(t.record.Event.Envelope())
		n.bytes += size
		if t.fed {
			n.fed++
			n.fedBytes += size
		}
		if t.delivering {
			n.delivering++
			seen[t] = "an instance"
		}
		switch {
		case t.next != nil:
			n.behind++
			next[t.next] = true
			if t.next.lane != t.lane || h.open.get(t.next.record.Seq) != t.next {
				return fmt.Sprintf("task %d has one behind it that is of another lane, or not open", t.record.Seq)
			}
		case t.lane != 0:
			n.lanes++
			if h.lanes.get(t.lane) != t {
				return fmt.Sprintf("task %d is the last of its lane, and the lane does not know it", t.record.Seq)
			}
		}
	}
	visit := func(t *task, where string) string {
		if seen[t] != "" || next[t] || h.open.get(t.record.Seq) != t {
			return fmt.Sprintf("task %d is with %s, and with %q; behind another: %v, open: %v",
				t.record.Seq, where, seen[t], next[t], h.open.get(t.record.Seq) == t)
		}
		seen[t] = where
		return ""
	}
	for _, t := range h.ready.tasks[h.ready.head:] {
		if wrong := visit(t, "ready"); wrong != "" {
			return wrong
		}
	}
	for _, t := range h.retries {
		if wrong := visit(t, "retries"); wrong != "" {
			return wrong
		}
	}
	if len(seen)+n.behind != n.open {
		return fmt.Sprintf("%d tasks are open, and %d have a position, %d behind another", n.open, len(seen)+n.behind, n.behind)
	}
	users := make(map[*task]uint8)
	for t := range h.open.all {
		users[t]++
	}
	last := uint64(0)
	for _, t := range h.window.tasks[h.window.head:] {
		users[t]++
		if t.record.Seq <= last {
			return fmt.Sprintf("task %d comes after %d in the window", t.record.Seq, last)
		}
		last = t.record.Seq
		if !t.recorded && h.open.get(t.record.Seq) != t {
			return fmt.Sprintf("task %d is not recorded and not open", t.record.Seq)
		}
	}
	for t, want := range users {
		if t.users != want {
			return fmt.Sprintf("task %d has %d users, and counts %d", t.record.Seq, want, t.users)
		}
	}
	for _, t := range h.free {
		if users[t] > 0 || *t != (task{}) {
			return fmt.Sprintf("a task that is free is not: %+v", *t)
		}
	}
	multi, inLeases := 0, 0
	for i, x := range leases {
		if x.counted {
			multi++
		}
		for slot, t := range x.tasks {
			is := slot >= x.recorded && slot < x.acquired
			if is != (t != nil) || is && (t.lease != x || int(t.slot) != slot || !t.delivering) {
				return fmt.Sprintf("lease %d, with %d acquired, %d started, %d recorded: task %+v in slot %d", i, x.acquired, x.started, x.recorded, t, slot)
			}
			if is {
				inLeases++
			}
		}
		if x.recorded > x.started || x.started > x.acquired || int(x.visible.Load()) != x.started || !x.counted && x.acquired > x.started {
			return fmt.Sprintf("lease %d has %d acquired, %d started, %d recorded; counted: %v", i, x.acquired, x.started, x.recorded, x.counted)
		}
	}
	for _, c := range []struct {
		what      string
		got, want int
	}{
		{"open", h.open.n, n.open}, {"inFlight", h.inFlight, n.delivering}, {"behind", h.behind, n.behind}, {"lanes", h.lanes.n, n.lanes},
		{"bytes", h.bytes, n.bytes}, {"fedOpen", h.fedOpen, n.fed}, {"fedBytes", h.fedBytes, n.fedBytes},
		{"leases", h.leases, len(leases)}, {"multiLeases", h.multiLeases, multi}, {"in leases", n.delivering, inLeases},
	} {
		if c.got != c.want {
			return fmt.Sprintf("%s is %d, want %d", c.what, c.got, c.want)
		}
	}
	children := 0
	for _, o := range h.outcomes.list {
		if o.full != nil {
			children += childBytes(o.full.Children)
		}
	}
	if h.unsaved < len(h.outcomes.list) || h.children < children || len(h.outcomes.list) == 0 && h.unsaved == 0 && h.children != 0 {
		return fmt.Sprintf("%d outcomes with %d bytes of children are not written, and %d with %d not collected", h.unsaved, h.children, len(h.outcomes.list), children)
	}
	return ""
}

// Idle reports whether all outcomes are stored, and all redriven events final.
func (s *Source) Idle(ctx context.Context, fail func(...any)) bool {
	h := s.h
	if err := h.dispatcher.recorder.Flush(ctx, nil); err != nil {
		fail(err)
	}
	redriven, err := h.dispatcher.cfg.Store.Redriven(ctx, h.name, 0, 1)
	if err != nil {
		fail(err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(redriven) > 0 || h.open.n > 0 || len(h.outcomes.list) > 0 {
		return false
	}
	if h.redriven != 0 {
		return false // the feeder has yet to find that none is left
	}
	if h.unsaved != 0 || h.children != 0 {
		fail(fmt.Sprintf("%d outcomes with %d bytes of children are counted although all are written", h.unsaved, h.children))
	}
	return true
}

// Recorded reports whether the lease has recorded all completed attempts.
func (x *Lease) Recorded() bool { return x.recorded == x.started }

// Closing reports whether a handler has begun to close.
func (d *Dispatcher) Closing(handler string) bool {
	h := d.handler(handler)
	return h != nil && h.life.Err() != nil
}

// Condition returns the present condition.
func (s *Source) Condition() Condition { return s.Stats().Condition }
