package delivery

import (
	"fmt"
	"slices"

	"github.com/berth-host/berth/host/event"
)

// Inconsistency compares the counters of a handler with its contents, and returns the
// first difference, or "". The leases are all of the handler's; none is in use.
func (s *Source) Inconsistency(leases ...*Lease) string {
	s.h.mu.Lock()
	defer s.h.mu.Unlock()
	c := &census{h: s.h, leases: leases, queued: make(map[*task]string), next: make(map[*task]bool)}
	for _, check := range []func() string{c.tasks, c.queues, c.window, c.inLeases, c.counters, c.outcomes} {
		if wrong := check(); wrong != "" {
			return wrong
		}
	}
	return ""
}

// census counts the contents of a handler. Each of its methods returns the first
// difference from what the handler counts, or "".
type census struct {
	h      *handler
	leases []*Lease
	queued map[*task]string // where each task is that waits for no other
	next   map[*task]bool   // the tasks that wait for another one

	committing                                            int
	open, delivering, behind, bytes, fed, fedBytes, lanes int
	multi, leased                                         int
	deferred                                              bool // a lease will notify the recorder
}

// tasks counts the open tasks.
func (c *census) tasks() string {
	seqs := make(map[uint64]bool)
	for t := range c.h.open.all {
		c.open++
		if t.record.Event == nil || seqs[t.record.Seq] {
			return fmt.Sprintf("task %d is open without an event, or twice", t.record.Seq)
		}
		seqs[t.record.Seq] = true
		size := len(t.record.Event.Envelope())
		c.bytes += size
		if t.fed {
			c.fed++
			c.fedBytes += size
		}
		if t.delivering {
			c.delivering++
			c.queued[t] = "an instance"
		}
		if t.committing {
			c.committing++
			c.queued[t] = "a write"
		}
		if wrong := c.lane(t); wrong != "" {
			return wrong
		}
	}
	return ""
}

func (c *census) lane(t *task) string {
	switch {
	case t.next != nil:
		c.behind++
		c.next[t.next] = true
		if t.next.lane != t.lane || c.h.open.get(t.next.record.Seq) != t.next {
			return fmt.Sprintf("the task behind %d is of another lane, or not open", t.record.Seq)
		}
	case t.lane != 0:
		c.lanes++
		if c.h.lanes.Last(t.lane) != t {
			return fmt.Sprintf("task %d is the last of its lane, which has another one", t.record.Seq)
		}
	}
	return ""
}

// queues checks that each open task is in one queue.
func (c *census) queues() string {
	ready := c.h.ready.fifo.All()
	if c.h.fair != nil {
		ready = slices.Collect(c.h.fair.All)
	}
	if len(ready) != c.h.ready.Len() {
		return fmt.Sprintf("%d tasks are ready, and %d are counted", len(ready), c.h.ready.Len())
	}
	for where, list := range map[string][]*task{"ready": ready, "retries": c.h.retries} {
		for _, t := range list {
			if c.queued[t] != "" || c.next[t] || c.h.open.get(t.record.Seq) != t {
				return fmt.Sprintf("task %d is in %s, and in %q; behind another: %v, open: %v",
					t.record.Seq, where, c.queued[t], c.next[t], c.h.open.get(t.record.Seq) == t)
			}
			c.queued[t] = where
		}
	}
	for t := range c.h.open.all {
		if t.blocked != c.next[t] {
			return fmt.Sprintf("task %d is blocked: %v, behind another: %v", t.record.Seq, t.blocked, c.next[t])
		}
	}
	if len(c.queued)+c.behind != c.open {
		return fmt.Sprintf("%d tasks are open, %d are in a queue, %d behind another", c.open, len(c.queued), c.behind)
	}
	return ""
}

// window checks the order of the window, and the users of all tasks.
func (c *census) window() string {
	users := make(map[*task]uint8)
	for t := range c.h.open.all {
		users[t]++
	}
	last := uint64(0)
	for _, t := range c.h.window.All() {
		users[t]++
		if t.record.Seq <= last {
			return fmt.Sprintf("task %d comes after %d in the window", t.record.Seq, last)
		}
		last = t.record.Seq
		if !t.recorded && c.h.open.get(t.record.Seq) != t {
			return fmt.Sprintf("task %d is not recorded and not open", t.record.Seq)
		}
	}
	for t, want := range users {
		if t.users != want {
			return fmt.Sprintf("task %d has %d users, and counts %d", t.record.Seq, want, t.users)
		}
	}
	for _, t := range c.h.free {
		if users[t] > 0 || *t != (task{}) {
			return fmt.Sprintf("a free task is used: %+v", *t)
		}
	}
	return ""
}

// inLeases checks the leases.
func (c *census) inLeases() string {
	for i, x := range c.leases {
		if x.counted {
			c.multi++
		}
		c.deferred = c.deferred || x.deferred
		c.leased += len(x.batch.tasks)
		for slot, t := range x.tasks {
			has := slot >= x.recorded && slot < x.acquired
			if has != (t != nil) || has && (t.lease != x || int(t.slot) != slot || !t.delivering) {
				return fmt.Sprintf("lease %d, with %d acquired, %d started, %d recorded: task %+v in slot %d",
					i, x.acquired, x.started, x.recorded, t, slot)
			}
			if has {
				c.leased++
			}
		}
		if x.recorded > x.started || x.started > x.acquired || int(x.visible.Load()) != x.started || !x.counted && x.acquired > x.started {
			return fmt.Sprintf("lease %d has %d acquired, %d started, %d recorded; counted: %v", i, x.acquired, x.started, x.recorded, x.counted)
		}
	}
	return ""
}

func (c *census) counters() string {
	h := c.h
	for _, n := range []struct {
		what      string
		got, want int
	}{
		{"open", h.open.n, c.open}, {"inFlight", h.inFlight, c.delivering}, {"behind", h.behind, c.behind}, {"lanes", h.lanes.Len(), c.lanes},
		{"bytes", h.bytes, c.bytes}, {"fedOpen", h.fedOpen, c.fed}, {"fedBytes", h.fedBytes, c.fedBytes},
		{"leases", h.leases, len(c.leases)}, {"multiLeases", h.multiLeases, c.multi}, {"in leases", c.delivering, c.leased}, {"committing", h.committing, c.committing},
	} {
		if n.got != n.want {
			return fmt.Sprintf("%s is %d, want %d", n.what, n.got, n.want)
		}
	}
	return ""
}

// outcomes checks the unwritten outcomes.
func (c *census) outcomes() string {
	h, n, bytes, seqs := c.h, 0, 0, make(map[uint64]bool)
	successes, full := h.outcomes.AppendTo(nil, nil)
	var last *event.Effects
	for _, s := range successes {
		n += len(s.List)
		bytes += len(s.Results)
		for _, of := range s.List {
			if seqs[of.Seq] {
				return fmt.Sprintf("%d has two successes that are not written", of.Seq)
			}
			seqs[of.Seq] = true
		}
	}
	for _, o := range full {
		n++
		bytes += len(o.Result)
		for _, child := range o.Children {
			bytes += len(child.Envelope())
		}
		if o.Effects != last {
			last = o.Effects
			bytes += last.Size()
		}
		if seqs[o.Seq] {
			return fmt.Sprintf("%d has an outcome in both forms", o.Seq)
		}
	}
	if h.outcomes.Len() != n || h.outcomes.Bytes() != bytes {
		return fmt.Sprintf("%d outcomes of %d bytes are not collected, and %d of %d are counted", n, bytes, h.outcomes.Len(), h.outcomes.Bytes())
	}
	if n > 0 && !h.dirty && !c.deferred {
		return fmt.Sprintf("the recorder is not notified of %d outcomes, and no lease will notify it", n)
	}
	if h.unsaved < n || h.unsavedBytes < bytes || n == 0 && h.unsaved == 0 && h.unsavedBytes != 0 {
		return fmt.Sprintf("%d outcomes of %d bytes are not written, and %d of %d not collected", h.unsaved, h.unsavedBytes, n, bytes)
	}
	return ""
}
