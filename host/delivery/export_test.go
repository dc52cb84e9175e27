package delivery

import (
	"context"
	"fmt"
)

// Wrong compares what a handler counts with what it has, and answers the first
// difference, or "". The hands are all of the handler's, of which none is in use now.
func (h *Handler) Wrong(hands ...*Hand) string {
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
	place := func(t *task, where string) string {
		if seen[t] != "" || next[t] || h.open.get(t.record.Seq) != t {
			return fmt.Sprintf("task %d is with %s, and with %q; behind another: %v, open: %v",
				t.record.Seq, where, seen[t], next[t], h.open.get(t.record.Seq) == t)
		}
		seen[t] = where
		return ""
	}
	for _, t := range h.ready.tasks[h.ready.head:] {
		if wrong := place(t, "the ready ones"); wrong != "" {
			return wrong
		}
	}
	for _, t := range h.retries {
		if wrong := place(t, "the retries"); wrong != "" {
			return wrong
		}
	}
	if len(seen)+n.behind != n.open {
		return fmt.Sprintf("%d tasks are open, and %d have a place, %d behind another", n.open, len(seen)+n.behind, n.behind)
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
		if !t.settled && h.open.get(t.record.Seq) != t {
			return fmt.Sprintf("task %d is not settled and not open", t.record.Seq)
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
	several, held := 0, 0
	for i, x := range hands {
		if x.several {
			several++
		}
		for place, t := range x.tasks {
			is := place >= x.in && place < x.n
			if is != (t != nil) || is && (t.hand != x || int(t.place) != place || !t.delivering) {
				return fmt.Sprintf("hand %d, with %d dealt, %d begun, %d handed in: task %+v at %d", i, x.n, x.at, x.in, t, place)
			}
			if is {
				held++
			}
		}
		if x.in > x.at || x.at > x.n || int(x.begun.Load()) != x.at || !x.several && x.n > x.at {
			return fmt.Sprintf("hand %d has %d dealt, %d begun, %d handed in; several: %v", i, x.n, x.at, x.in, x.several)
		}
	}
	for _, c := range []struct {
		what      string
		got, want int
	}{
		{"open", h.open.n, n.open}, {"inFlight", h.inFlight, n.delivering}, {"behind", h.behind, n.behind}, {"lanes", h.lanes.n, n.lanes},
		{"bytes", h.bytes, n.bytes}, {"fedOpen", h.fedOpen, n.fed}, {"fedBytes", h.fedBytes, n.fedBytes},
		{"hands", h.hands, len(hands)}, {"several", h.several, several}, {"in hands", n.delivering, held},
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
		return fmt.Sprintf("%d outcomes with %d bytes of children are not written, and %d with %d not fetched", h.unsaved, h.children, len(h.outcomes.list), children)
	}
	return ""
}

// Idle reports whether the store has all that the handler knows, and the handler
// all that is redriven.
func (h *Handler) Idle(ctx context.Context, fail func(...any)) bool {
	if err := h.dispatcher.recorder.flush(ctx, nil); err != nil {
		fail(err)
	}
	rows, err := h.dispatcher.cfg.Store.Redriven(ctx, h.name, 0, 1)
	if err != nil {
		fail(err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(rows) > 0 || h.open.n > 0 || len(h.outcomes.list) > 0 {
		return false
	}
	if h.redriven != 0 {
		return false // the feeder has yet to find that there is none
	}
	if h.unsaved != 0 || h.children != 0 {
		fail(fmt.Sprintf("%d outcomes with %d bytes of children are counted, and all are written", h.unsaved, h.children))
	}
	return true
}
