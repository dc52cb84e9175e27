package run

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/bus"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/install"
	"github.com/berth-host/berth/host/issues"
	"github.com/berth-host/berth/host/plugin"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/wire"
)

// Installed runs installed plugins in the plugin manager, which starts after the
// installs have been recovered.
type Installed struct {
	Manager func() *plugin.Manager
	State   bus.State
	Shared  bool // other hosts have the same State
	Logger  *slog.Logger
}

// Free implements install.Plugins.
func (p Installed) Free(ctx context.Context, name string) error {
	return p.Manager().Free(ctx, name)
}

// Prepare implements install.Plugins.
func (p Installed) Prepare(ctx context.Context, name string, module spec.Artifact, approved []abi.Capability) (
	install.Candidate, error) {
	c, err := p.Manager().Prepare(ctx, name, module, approved)
	if err != nil {
		return nil, err
	}
	return candidate{c, p, name}, nil
}

// candidate is a version on trial in the plugin manager.
type candidate struct {
	*plugin.Candidate
	plugins Installed
	name    string
}

// Promote implements install.Candidate.
func (c candidate) Promote(ctx context.Context, path string) (wire.Plugin, error) {
	return c.plugins.start(ctx, c.name, func() (wire.Plugin, error) { return c.Candidate.Promote(ctx, path) })
}

// Pin implements install.Plugins.
func (p Installed) Pin(ctx context.Context, pin spec.Pin) (wire.Plugin, error) {
	return p.start(ctx, pin.Name, func() (wire.Plugin, error) { return p.Manager().Pin(ctx, pin) })
}

// start starts a plugin. When that fails and no plugin has the name, it deletes the
// position in the log that the start has given to the handler, so that a later plugin of
// the name starts at its own time. With other hosts it leaves the position: one of them may run
// the plugin that this one refuses.
func (p Installed) start(ctx context.Context, name string, start func() (wire.Plugin, error)) (wire.Plugin, error) {
	if p.Shared {
		return start()
	}
	backlog, err := p.State.LoadBacklog(ctx, name)
	if err != nil {
		return wire.Plugin{}, fmt.Errorf("install %s: %w", name, err)
	}
	started, err := start()
	if err == nil || backlog.Found {
		return started, err
	}
	if _, missing := p.Manager().Plugin(name); missing != nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
		defer cancel()
		if e := p.State.ForgetHandler(ctx, name); e != nil {
			p.Logger.Warn("position in the log not deleted after a failed install", "plugin", name, "error", e)
		}
	}
	return started, err
}

// Unpin implements install.Plugins.
func (p Installed) Unpin(ctx context.Context, name string) error {
	return p.Manager().Unpin(ctx, name)
}

// Uninstall implements install.Plugins.
func (p Installed) Uninstall(ctx context.Context, name string, commit func() error) error {
	return p.Manager().Uninstall(ctx, name, commit)
}

// Plugin implements install.Plugins.
func (p Installed) Plugin(name string) (wire.Plugin, error) { return p.Manager().Plugin(name) }

// cleanupTimeout bounds the clean-up of a removed handler.
const cleanupTimeout = 30 * time.Second

// HandlerState is the state of handlers in the engine, for installs.
type HandlerState struct {
	State  bus.State
	Issues *issues.Tracker
}

// Forget implements install.State.
func (s HandlerState) Forget(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, cleanupTimeout)
	defer cancel()
	if f, taken := spec.FenceOf(ctx); taken { // hosts share the issues: those of a unit are its owner's
		if err := s.Issues.Own(ctx, f); err != nil {
			return err
		}
		defer s.Issues.Release(ctx, name) //nolint:errcheck // nothing of it is left to be stored
	}
	if err := s.Issues.Forget(ctx, name); err != nil {
		return fmt.Errorf("its issues, its position in the log and its outcomes remain: %w", err)
	}
	if err := s.State.ForgetHandler(ctx, name); err != nil {
		return fmt.Errorf("its position in the log and its outcomes remain: %w", err)
	}
	return nil
}

// Purge implements install.State.
func (s HandlerState) Purge(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, cleanupTimeout)
	defer cancel()
	if err := s.State.KVClear(ctx, name); err != nil {
		return fmt.Errorf("its key-value state remains: %w", err)
	}
	return nil
}

// Has implements install.State. A handler whose position is gone has no outcomes and issues either.
func (s HandlerState) Has(ctx context.Context, name string) (forgettable, purgeable bool, err error) {
	cursors, err := s.State.Cursors(ctx)
	if err != nil {
		return false, false, err
	}
	forgettable = len(event.Positions(cursors)[name]) > 0
	used, _, err := s.State.KVUsage(ctx, name)
	return forgettable, used > 0, err
}
