package ledgertest

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/berth-host/berth/host/cluster"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
)

// Memory is a ledger in memory. Its methods do what the transactions of a database do; Host
// returns what one host sees of it.
type Memory struct {
	mu       sync.Mutex
	members  map[string]spec.Beating
	units    map[string]spec.Unit
	commands []*command
	hosts    []*memoryHost
}

type command struct {
	spec.ClusterCommand
	at      time.Time // of Ask, then of Answer
	answer  []byte
	failure string
	done    bool
}

const keepCommands = 90 * time.Second

// NewMemory returns an empty ledger.
func NewMemory() *Memory {
	return &Memory{members: make(map[string]spec.Beating), units: make(map[string]spec.Unit)}
}

// Host returns the ledger as one host uses it.
func (m *Memory) Host() cluster.Ledger {
	h := &memoryHost{m, make(chan struct{}, 1)}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.hosts = append(m.hosts, h)
	return h
}

// Unit returns a unit as it is now.
func (m *Memory) Unit(name string) spec.Unit {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.units[name]
}

type memoryHost struct {
	*Memory
	wake chan struct{}
}

func (h *memoryHost) Wake() <-chan struct{} { return h.wake }

// begin locks the ledger for a transaction. end unlocks it and wakes the other hosts.
func (h *memoryHost) begin(ctx context.Context) (end func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, fault.New(fault.Unavailable, "the ledger: %w", err)
	}
	h.mu.Lock()
	return h.mu.Unlock, nil
}

func (h *memoryHost) wakeOthers() {
	for _, other := range h.hosts {
		if other != h {
			select {
			case other.wake <- struct{}{}:
			default:
			}
		}
	}
}

func (h *memoryHost) Beat(ctx context.Context, m spec.Beating) (spec.ClusterView, error) {
	end, err := h.begin(ctx)
	if err != nil {
		return spec.ClusterView{}, err
	}
	defer end()
	if old, known := h.members[m.ID]; !known || old.Beat < m.Beat {
		h.members[m.ID] = m
	}
	v := spec.ClusterView{Now: time.Now(), Revisions: map[string]uint64{}}
	v.Members = slices.SortedFunc(maps.Values(h.members), func(a, b spec.Beating) int { return cmp.Compare(a.ID, b.ID) })
	v.Units = slices.SortedFunc(maps.Values(h.units), func(a, b spec.Unit) int { return cmp.Compare(a.Name, b.Name) })
	return v, nil
}

func (h *memoryHost) Leave(ctx context.Context, id string) error {
	end, err := h.begin(ctx)
	if err != nil {
		return err
	}
	defer end()
	h.remove(id)
	return nil
}

// remove deletes a member and frees its units.
func (h *memoryHost) remove(id string) {
	delete(h.members, id)
	for name, u := range h.units {
		if u.Owner == id {
			u.Owner = ""
			h.units[name] = u
		}
	}
	h.wakeOthers()
}

func (h *memoryHost) Expire(ctx context.Context, dead []spec.Beating) error {
	end, err := h.begin(ctx)
	if err != nil {
		return err
	}
	defer end()
	for _, d := range dead {
		if m, known := h.members[d.ID]; known && m.Beat == d.Beat {
			h.remove(d.ID)
		}
	}
	return nil
}

func (h *memoryHost) Take(ctx context.Context, unit string, seen spec.Unit, owner string) (uint64, error) {
	end, err := h.begin(ctx)
	if err != nil {
		return 0, err
	}
	defer end()
	u := h.units[unit]
	_, member := h.members[owner]
	if !member || u.Owner != seen.Owner || u.Epoch != seen.Epoch || u.Owner != "" && u.Owner != owner {
		return 0, fault.New(fault.Conflict, "take %s: it has changed, or %s is no member", unit, owner)
	}
	h.units[unit] = spec.Unit{Name: unit, Owner: owner, Epoch: u.Epoch + 1}
	h.wakeOthers()
	return u.Epoch + 1, nil
}

func (h *memoryHost) Give(ctx context.Context, f spec.Fence) error {
	end, err := h.begin(ctx)
	if err != nil {
		return err
	}
	defer end()
	u := h.units[f.Unit]
	if u.Epoch != f.Epoch {
		return fault.New(fault.Conflict, "give %s: %w", f.Unit, spec.ErrFenced)
	}
	if u.Owner != "" {
		u.Owner = ""
		h.units[f.Unit] = u
		h.wakeOthers()
	}
	return nil
}

func (h *memoryHost) Ask(ctx context.Context, c spec.ClusterCommand) error {
	end, err := h.begin(ctx)
	if err != nil {
		return err
	}
	defer end()
	h.commands = slices.DeleteFunc(h.commands, func(c *command) bool { return time.Since(c.at) > keepCommands })
	if h.command(c.ID) == nil {
		c.Body = slices.Clone(c.Body)
		h.commands = append(h.commands, &command{ClusterCommand: c, at: time.Now()})
		h.wakeOthers()
	}
	return nil
}

func (h *memoryHost) command(id string) *command {
	for _, c := range h.commands {
		if c.ID == id {
			return c
		}
	}
	return nil
}

func (h *memoryHost) Asked(ctx context.Context, units []string) (list []spec.ClusterCommand, err error) {
	end, err := h.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	for _, c := range h.commands {
		if !c.done && slices.Contains(units, c.Unit) && time.Since(c.at) <= keepCommands {
			list = append(list, c.ClusterCommand)
		}
	}
	return list, nil
}

func (h *memoryHost) Answer(ctx context.Context, id string, body []byte, failure string) error {
	end, err := h.begin(ctx)
	if err != nil {
		return err
	}
	defer end()
	if c := h.command(id); c != nil && !c.done {
		c.answer, c.failure, c.done, c.at = slices.Clone(body), failure, true, time.Now()
		h.wakeOthers()
	}
	return nil
}

func (h *memoryHost) Answered(ctx context.Context, id string) (body []byte, failure string, done bool, err error) {
	end, err := h.begin(ctx)
	if err != nil {
		return nil, "", false, err
	}
	defer end()
	if c := h.command(id); c != nil && c.done {
		return slices.Clone(c.answer), c.failure, true, nil
	}
	return nil, "", false, nil
}
