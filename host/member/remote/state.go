package remote

import (
	"context"

	"github.com/berth-host/berth/host/cluster"
)

// Kept is what the host keeps of a plugin beside its files; see install.State.
type Kept interface {
	Forget(ctx context.Context, plugin string) error
	Purge(ctx context.Context, plugin string) error
	Has(ctx context.Context, plugin string) (forgettable, purgeable bool, err error)
}

// State removes what is kept of a plugin once no host runs it. It is safe for concurrent use.
type State struct {
	way  Way
	kept Kept
	open func(handler string) bool
}

// NewState returns the state of plugins on all hosts; open reports whether a handler is open here.
func NewState(way Way, kept Kept, open func(handler string) bool) *State {
	return &State{way, kept, open}
}

// The names of the commands.
const (
	forget     = "forget"
	purgeState = "purge-state"
)

// Methods are the commands that hosts carry out for each other.
func (s *State) Methods() map[string]cluster.Method {
	return map[string]cluster.Method{
		forget:     method(forget, s.closed(s.kept.Forget)),
		purgeState: method(purgeState, s.closed(s.kept.Purge)),
	}
}

// closed waits until the handler is closed here: this host may not have followed yet.
func (s *State) closed(do func(context.Context, string) error) func(context.Context, string, nothing) (nothing, error) {
	return func(ctx context.Context, plugin string, _ nothing) (nothing, error) {
		if err := await(ctx, func() bool { return !s.open(plugin) }); err != nil {
			return nothing{}, err
		}
		return nothing{}, do(ctx, plugin)
	}
}

// Forget implements install.State.
func (s *State) Forget(ctx context.Context, plugin string) error {
	if !s.way.Shared {
		return s.kept.Forget(ctx, plugin)
	}
	_, err := call(ctx, s.way, plugin, forget, nothing{}, s.closed(s.kept.Forget))
	return err
}

// Purge implements install.State.
func (s *State) Purge(ctx context.Context, plugin string) error {
	if !s.way.Shared {
		return s.kept.Purge(ctx, plugin)
	}
	_, err := call(ctx, s.way, plugin, purgeState, nothing{}, s.closed(s.kept.Purge))
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
		if c.HasPlugin(plugin) {
			return false, false, nil
		}
	}
	return s.kept.Has(ctx, plugin)
}
