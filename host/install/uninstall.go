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

// UninstallOptions are the options of Uninstall.
type UninstallOptions struct {
	Force bool // even if a route names the plugin
	Purge bool // delete the plugin's stored data
	// Agreed is as Request.Agreed.
	Precondition func(wire.Plugin) error
	// Remains, unless nil, is called with the names of the other live hosts that have a plugin of this
	// name as a file: only what is on this host was removed.
	Remains func(hosts []string)
}

// Uninstall drains a plugin and removes it, with its settings, cursor and outcomes. It
// needs no network. The stored data of an installed plugin is kept for its publisher
// unless Purge is set; that of a dropped file's plugin is deleted. While another live host
// has the plugin, its file here is all that goes: see UninstallOptions.Remains. After an error the
// plugin runs as before, unless the error names what is left of the uninstalled plugin: then
// it can be repeated.
// fault.Conflict if a route names the plugin, unless Force is set.
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
			return fault.New(fault.Conflict, "uninstall %s: the route %s names it under handlers; take it out there, or force it", name,
				strings.Join(routes, ", "))
		}
	}
	lock, raw, err := i.readLock()
	_, installed := lock.Plugins[name]
	_, kept := lock.Kept[name]
	switch {
	case err != nil:
		// A dropped file does not depend on the lock.
		if slices.ContainsFunc(i.Pins(), func(p spec.Pin) bool { return p.Name == name }) {
			return err
		}
		return i.uninstallFile(ctx, name, o)
	case installed:
		return i.uninstallPin(ctx, name, lock, raw, o)
	case kept && o.Purge:
		err := i.cfg.Plugins.Uninstall(ctx, name, nil) // a file of that name may have appeared since
		if err != nil && !fault.Is(err, fault.NotFound) {
			return err
		}
		if remains, err := i.remains(ctx, name, o); remains || err != nil {
			return err
		}
		if err := i.tidyName(ctx, name, true); err != nil {
			return err
		}
		return i.writeLock(ctx, lock.without(name, false))
	}
	if err = i.uninstallFile(ctx, name, o); fault.Is(err, fault.NotFound) && abi.ValidName(name) {
		return i.uninstallLeftovers(ctx, name, o.Purge, err)
	}
	return err
}

// uninstallLeftovers removes what an uninstallation that failed has left of a plugin, and returns
// missing if it has left nothing.
func (i *Installer) uninstallLeftovers(ctx context.Context, name string, purge bool, missing error) error {
	forgettable, purgeable, err := i.cfg.State.Has(ctx, name)
	switch {
	case err != nil:
		return fmt.Errorf("uninstall %s: %w", name, err)
	case !forgettable && !(purge && purgeable):
		return missing
	}
	return leftovers(name, purge, i.tidyName(context.WithoutCancel(ctx), name, purge))
}

func (i *Installer) writeLock(ctx context.Context, l Lock) error {
	after, err := i.cfg.Codec.Marshal(l)
	if err != nil {
		return fault.New(fault.Internal, "write the lock: %w", err)
	}
	if err := i.share(ctx, "", after); err != nil {
		return err
	}
	err = i.step("purge lock", func() error { return i.store.write(LockFile, after) })
	if err == nil {
		i.keepLast(after)
	}
	return err
}

// remains reports whether another live host has the plugin, and so needs what is kept of it.
func (i *Installer) remains(ctx context.Context, name string, o UninstallOptions) (bool, error) {
	hosts, err := i.cfg.State.Elsewhere(context.WithoutCancel(ctx), name)
	if err != nil {
		return false, leftovers(name, true, err)
	}
	if len(hosts) > 0 && o.Remains != nil {
		o.Remains(hosts)
	}
	return len(hosts) > 0, nil
}

// uninstallFile uninstalls a plugin in a watched directory.
func (i *Installer) uninstallFile(ctx context.Context, name string, o UninstallOptions) error {
	if err := i.cfg.Plugins.Uninstall(ctx, name, nil); err != nil {
		return err
	}
	if !abi.ValidName(name) {
		return nil // the file never was a plugin, and has no state
	}
	if remains, err := i.remains(ctx, name, o); remains || err != nil {
		return err
	}
	return leftovers(name, true, i.tidyName(context.WithoutCancel(ctx), name, true))
}

// uninstallPin uninstalls an installed plugin, in this order: the drain; the journal; the
// lock, which is the commit; and then, also after a crash, everything else.
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
			err = i.share(ctx, "", after)
		}
		if err == nil {
			err = i.step("uninstall lock", func() error { return i.store.write(LockFile, after) })
		}
		committed = err == nil
		return err
	}
	if err = i.cfg.Plugins.Uninstall(ctx, name, commit); !begun && fault.Is(err, fault.NotFound) {
		err = commit() // it is in the lock nevertheless
	}
	switch {
	case committed: // an error concerns files of the same name, which stay
		return errors.Join(err, leftovers(name, r.Purge, i.tidy(context.WithoutCancel(ctx), r)))
	case !begun:
		return err
	}
	return fmt.Errorf("uninstall %s: %w", name, i.undoAfter(ctx, err, r))
}

// tidy deletes the state of a plugin that is not in the lock any more. It tries every part
// even if another fails, and removes the journal in any case.
func (i *Installer) tidy(ctx context.Context, r record) error {
	delete(i.pinned, r.Name)
	err := i.tidyName(ctx, r.Name, r.Purge)
	if lock, _, e := i.readLock(); e == nil {
		i.dropModules(ctx, lock)
	}
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

// leftovers returns the error that names what is left of an uninstalled plugin, and how to remove
// it once its cause has ended.
func leftovers(name string, purge bool, left error) error {
	if left == nil {
		return nil
	}
	again := ""
	if purge {
		again = " --purge"
	}
	return fault.New(fault.CodeOf(left), "%s is uninstalled, but parts of it are left: %w; repeat it then: berth plugin uninstall %s%s --yes",
		name, left, name, again)
}
