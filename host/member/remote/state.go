package remote

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/berth-host/berth/host/cluster"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
)

// Kept is what the host keeps of a plugin beside its files; see install.State.
type Kept interface {
	// Forget forgets one unit.
	Forget(ctx context.Context, unit string) error
	Purge(ctx context.Context, plugin string) error
	// Has reports what is left of a plugin, with each unit that its handler has or had.
	Has(ctx context.Context, plugin string) (forgettable, purgeable bool, err error)
}

// State removes what is kept of a plugin once no host runs it. It is safe for concurrent use.
type State struct {
	way   Way
	kept  Kept
	units Units
	open  func(unit string) bool
}

// NewState returns the state of plugins on all hosts; open reports whether a unit is open here.
func NewState(way Way, kept Kept, units Units, open func(unit string) bool) *State {
	return &State{way, kept, units, open}
}

// The names of the commands.
const (
	forget     = "forget"
	purgeState = "purge-state"
)

// Methods are the commands that hosts carry out for each other.
func (s *State) Methods() map[string]cluster.Method {
	return map[string]cluster.Method{
		forget:     method(forget, s.forget),
		purgeState: method(purgeState, s.purge),
	}
}

func (s *State) forget(ctx context.Context, unit string, _ nothing) (nothing, error) {
	return nothing{}, s.closed(ctx, unit, s.kept.Forget)
}

// purge removes the state, which is the plugin's, once one of its units has ended.
func (s *State) purge(ctx context.Context, unit string, _ nothing) (nothing, error) {
	return nothing{}, s.closed(ctx, unit, func(ctx context.Context, unit string) error { return s.kept.Purge(ctx, spec.PluginOf(unit)) })
}

// closed waits until the unit is closed here: this host may not have followed yet.
func (s *State) closed(ctx context.Context, unit string, do func(context.Context, string) error) error {
	if err := await(ctx, func() bool { return !s.open(unit) }); err != nil {
		return err
	}
	return do(ctx, unit)
}

const (
	shownFor = 2 * time.Second  // what a host has lost is still shown here
	endsFor  = 30 * time.Second // that another host ends a plugin
)

// Elsewhere implements install.State. It waits for hosts that have lost the plugin a moment ago.
func (s *State) Elsewhere(ctx context.Context, plugin string) ([]string, error) {
	return s.hostsAfter(ctx, plugin, shownFor)
}

// hostsAfter returns the other live hosts that have a plugin, once there are none or after a time.
func (s *State) hostsAfter(ctx context.Context, plugin string, wait time.Duration) (hosts []string, err error) {
	if !s.way.Shared {
		return nil, nil
	}
	c := s.way.Joined()
	if c == nil {
		return nil, notJoined()
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for hosts = c.HostsWith(plugin); len(hosts) > 0; hosts = c.HostsWith(plugin) {
		select {
		case <-look.C:
		case <-ctx.Done():
			return hosts, nil
		}
	}
	return nil, nil
}

// ended returns fault.Conflict when another live host still has a plugin after a time.
func (s *State) ended(ctx context.Context, plugin string, wait time.Duration) error {
	hosts, err := s.hostsAfter(ctx, plugin, wait)
	if err == nil && len(hosts) > 0 {
		err = fault.New(fault.Conflict, "its position in the log and what it has stored remain while %s has it", strings.Join(hosts, ", "))
	}
	return err
}

// Forget implements install.State: it forgets all units that the plugin's handler has or had, once no
// other host has it.
func (s *State) Forget(ctx context.Context, plugin string) error {
	if !s.way.Shared {
		return s.kept.Forget(ctx, plugin)
	}
	if err := s.ended(ctx, plugin, endsFor); err != nil {
		return err
	}
	present, err := s.units.Units(ctx, plugin)
	if err != nil {
		return err
	}
	if _, err := forEach(present, func(unit string) (int, error) {
		_, err := call(ctx, s.way, unit, forget, nothing{}, s.forget)
		return 0, err
	}); err != nil {
		return err
	}
	for _, unit := range spec.EveryUnit(plugin) {
		if !slices.Contains(present, unit) { // no host runs it
			if err := s.kept.Forget(ctx, unit); err != nil {
				return err
			}
		}
	}
	return nil
}

// Purge implements install.State, after Forget. A unit that ends later than others may have written
// until then, so it is done for each.
func (s *State) Purge(ctx context.Context, plugin string) error {
	if !s.way.Shared {
		return s.kept.Purge(ctx, plugin)
	}
	if err := s.ended(ctx, plugin, 0); err != nil {
		return err
	}
	units, err := s.units.Units(ctx, plugin)
	if err != nil {
		return err
	}
	_, err = forEach(units, func(unit string) (int, error) {
		_, err := call(ctx, s.way, unit, purgeState, nothing{}, s.purge)
		return 0, err
	})
	return err
}

// Has implements install.State. It reports nothing of a plugin that a live host has, also a disabled
// one, and this one may lack: nothing of it is to be removed.
func (s *State) Has(ctx context.Context, plugin string) (forgettable, purgeable bool, err error) {
	if s.way.Shared {
		c := s.way.Joined()
		if c == nil {
			return false, false, notJoined()
		}
		if len(c.HostsWith(plugin)) > 0 {
			return false, false, nil
		}
	}
	return s.kept.Has(ctx, plugin)
}
