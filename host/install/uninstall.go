package install

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/wire"
)

// UninstallOptions say how much goes.
type UninstallOptions struct {
	Force bool // also when a route names the plugin
	Purge bool // what the plugin has stored as well
	// Agreed is as Request.Agreed.
	Precondition func(wire.Plugin) error
}

// Uninstall drains a plugin and removes it, with its settings, its place in the
// log and its outcomes. It needs no network. What an installed plugin has stored
// stays unless it is purged, and is then of no other publisher's use; what a
// dropped file's plugin has stored goes with it. After an error the plugin goes
// on as before, unless the error says that it is gone and what of it is not.
// fault.Conflict when a route names it, unless forced.
func (i *Installer) Uninstall(ctx context.Context, name string, o UninstallOptions) error {
	done, err := i.begin(ctx)
	if err != nil {
		return err
	}
	defer done()
	if err := i.checkPrecondition(name, o.Precondition); err != nil {
		return err
	}
	if routes := i.cfg.Settings.Routes(name); len(routes) > 0 && !o.Force {
		if _, err := i.cfg.Plugins.Plugin(name); err == nil {
			return fault.New(fault.Conflict, "uninstall %s: the route %s names it under handlers; take it out there, or force it", name, strings.Join(routes, ", "))
		}
	}
	lock, raw, err := i.readLock()
	_, installed := lock.Plugins[name]
	_, kept := lock.Kept[name]
	switch {
	case err != nil:
		// A dropped file has nothing to do with the lock.
		if slices.ContainsFunc(i.Pins(), func(p spec.Pin) bool { return p.Name == name }) {
			return err
		}
		return i.uninstallFile(ctx, name)
	case installed:
		return i.uninstallPin(ctx, name, lock, raw, o)
	case kept && o.Purge:
		err := i.uninstallFile(ctx, name) // a file of that name may have come since
		if err != nil && !fault.Is(err, fault.NotFound) {
			return err
		}
		if err := i.cfg.State.Purge(ctx, name); err != nil {
			return err
		}
		return i.writeLock(lock.without(name, false))
	}
	return i.uninstallFile(ctx, name)
}

func (i *Installer) writeLock(l Lock) error {
	after, err := i.cfg.Codec.Marshal(l)
	if err != nil {
		return fault.New(fault.Internal, "write the lock: %w", err)
	}
	err = i.step("purge lock", func() error { return i.store.write(LockFile, after) })
	if err == nil {
		i.keepLast(after)
	}
	return err
}

// uninstallFile is for a plugin of a watched directory.
func (i *Installer) uninstallFile(ctx context.Context, name string) error {
	if err := i.cfg.Plugins.Uninstall(ctx, name, nil); err != nil {
		return err
	}
	if !abi.ValidName(name) {
		return nil // a file that never was a plugin: nothing is kept for it
	}
	return gone(name, i.tidyName(context.WithoutCancel(ctx), name, true))
}

// uninstallPin is for an installed plugin. The order: the plugin is drained; the
// journal; the lock, which is the commit; and then, also after a crash, all the
// rest of it.
func (i *Installer) uninstallPin(ctx context.Context, name string, lock Lock, raw []byte, o UninstallOptions) error {
	after, err := i.cfg.Codec.Marshal(lock.without(name, !o.Purge))
	if err != nil {
		return fault.New(fault.Internal, "write the lock without %s: %w", name, err)
	}
	r := record{Op: opUninstall, Name: name, Before: text(raw), After: string(after), Purge: o.Purge}
	begun, committed := false, false
	commit := func() error {
		begun = true
		err := i.step("uninstall journal", func() error { return i.writeJournal(r) })
		if err == nil {
			err = i.step("uninstall lock", func() error { return i.store.write(LockFile, after) })
		}
		committed = err == nil
		return err
	}
	if err = i.cfg.Plugins.Uninstall(ctx, name, commit); !begun && fault.Is(err, fault.NotFound) {
		err = commit() // it is in the lock all the same
	}
	switch {
	case committed: // an error is about files of the same name, which stay
		return errors.Join(err, gone(name, i.tidy(context.WithoutCancel(ctx), r)))
	case !begun:
		return err
	}
	if back := i.undo(r); back != nil {
		err = fmt.Errorf("%w; and what was begun is not all undone, which is tried again at the next start: %w", err, back)
	}
	return fmt.Errorf("uninstall %s: %w", name, err)
}

// tidy is what is left to do once a plugin is out of the lock. Each part is done
// whatever becomes of the others, and the journal goes in any case.
func (i *Installer) tidy(ctx context.Context, r record) error {
	err := i.tidyName(ctx, r.Name, r.Purge)
	i.keepLast([]byte(r.After))
	i.sweep()
	return errors.Join(err, i.step("uninstall finish", func() error { return i.store.remove(journalFile) }))
}

func (i *Installer) tidyName(ctx context.Context, name string, purge bool) error {
	problems := []error{
		i.step("uninstall settings", func() error { return i.cfg.Settings.Remove(name) }),
		i.step("uninstall state", func() error { return i.cfg.State.Forget(ctx, name) }),
	}
	if purge {
		problems = append(problems, i.step("uninstall purge", func() error { return i.cfg.State.Purge(ctx, name) }))
	}
	return errors.Join(problems...)
}

// gone says what is left of a plugin that is uninstalled.
func gone(name string, left error) error {
	if left == nil {
		return nil
	}
	return fault.New(fault.CodeOf(left), "%s is uninstalled, but not everything of it is gone: %w", name, left)
}
