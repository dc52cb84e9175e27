package delivery

import (
	"fmt"
	"slices"

	"github.com/berth-host/berth/host/delivery/tasks"
	"github.com/berth-host/berth/host/event"
)

// Inconsistency compares the counters of a handler with its contents, and returns the
// first difference, or "". The leases are all of the handler's; none is in use.
func (s *Source) Inconsistency(leases ...*Lease) string {
	s.h.mu.Lock()
	defer s.h.mu.Unlock()
	c := &census{h: s.h, leases: leases, queued: make(map[*tasks.Task]string), next: make(map[*tasks.Task]bool)}
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
	queued map[*tasks.Task]string // where each task is that waits for no other
	next   map[*tasks.Task]bool   // the tasks that wait for another one

	committing                                            int
	open, delivering, behind, bytes, fed, fedBytes, lanes int
	multi, leased                                         int
	deferred                                              bool // a lease will notify the recorder
}

// tasks counts the open tasks.
func (c *census) tasks() string {
	seqs := make(map[uint64]bool)
	for t := range c.h.open.All {
		c.open++
		if t.Record.Event == nil || seqs[t.Record.Seq] {
			return fmt.Sprintf("task %d is open without an event, or twice", t.Record.Seq)
		}
		seqs[t.Record.Seq] = true
		size := len(t.Record.Event.Envelope())
		c.bytes += size
		if t.Fed {
			c.fed++
			c.fedBytes += size
		}
		if t.Phase == tasks.Delivering {
			c.delivering++
			c.queued[t] = "an instance"
		}
		if t.Phase == tasks.Committing {
			c.committing++
			c.queued[t] = "a write"
		}
		if wrong := c.lane(t); wrong != "" {
			return wrong
		}
	}
	return ""
}

func (c *census) lane(t *tasks.Task) string {
	switch {
	case t.Next != nil:
		c.behind++
		c.next[t.Next] = true
		if t.Next.Lane != t.Lane || c.h.open.Get(t.Next.Record.Seq) != t.Next {
			return fmt.Sprintf("the task behind %d is of another lane, or not open", t.Record.Seq)
		}
	case t.Lane != 0:
		c.lanes++
		if c.h.lanes.Last(t.Lane) != t {
			return fmt.Sprintf("task %d is the last of its lane, which has another one", t.Record.Seq)
		}
	}
	return ""
}

// queues checks that each open task is in one queue.
func (c *census) queues() string {
	ready := c.h.ready.Unshared()
	if c.h.fair != nil {
		ready = slices.Collect(c.h.fair.All)
	}
	if len(ready) != c.h.ready.Len() {
		return fmt.Sprintf("%d tasks are ready, and %d are counted", len(ready), c.h.ready.Len())
	}
	for where, list := range map[string][]*tasks.Task{"ready": ready, "retries": c.h.retries} {
		for _, t := range list {
			if c.queued[t] != "" || c.next[t] || c.h.open.Get(t.Record.Seq) != t {
				return fmt.Sprintf("task %d is in %s, and in %q; behind another: %v, open: %v",
					t.Record.Seq, where, c.queued[t], c.next[t], c.h.open.Get(t.Record.Seq) == t)
			}
			c.queued[t] = where
		}
	}
	for t := range c.h.open.All {
		if (t.Phase == tasks.Blocked) != c.next[t] {
			return fmt.Sprintf("task %d is blocked: %v, behind another: %v", t.Record.Seq, t.Phase == tasks.Blocked, c.next[t])
		}
	}
	if len(c.queued)+c.behind != c.open {
		return fmt.Sprintf("%d tasks are open, %d are in a queue, %d behind another", c.open, len(c.queued), c.behind)
	}
	return ""
}

// window checks the order of the window, and the users of all tasks.
func (c *census) window() string {
	users := make(map[*tasks.Task]uint8)
	for t := range c.h.open.All {
		users[t]++
	}
	last := uint64(0)
	for _, t := range c.h.window.All() {
		users[t]++
		if t.Record.Seq <= last {
			return fmt.Sprintf("task %d comes after %d in the window", t.Record.Seq, last)
		}
		last = t.Record.Seq
		if !t.Recorded && c.h.open.Get(t.Record.Seq) != t {
			return fmt.Sprintf("task %d is not recorded and not open", t.Record.Seq)
		}
	}
	for t, want := range users {
		if t.Users != want {
			return fmt.Sprintf("task %d has %d users, and counts %d", t.Record.Seq, want, t.Users)
		}
	}
	for _, t := range c.h.free {
		if users[t] > 0 || *t != (tasks.Task{}) {
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
			if has != (t != nil) || has && (t.Lease != &x.visible || int(t.Slot) != slot || t.Phase != tasks.Delivering) {
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
		{"open", h.open.N, c.open}, {"inFlight", h.inFlight, c.delivering}, {"behind", h.behind, c.behind}, {"lanes", h.lanes.Len(), c.lanes},
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
