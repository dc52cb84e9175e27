package plugin

import (
	"context"
	"fmt"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/plugin/folder"
)

// Uninstall drains the plugin, removes the files of its name with their sidecars and its
// pin, and returns when all is removed. commit, unless nil, is called after the drain and
// before the removal: it makes the next start begin without the pin. If ctx ends before
// the drain, commit fails or a file cannot be removed, the plugin runs as before.
// fault.NotFound if no plugin has the name.
func (m *Manager) Uninstall(ctx context.Context, name string, commit func() error) error {
	doing := "uninstall " + name
	var files []*file // for the loop only
	var paths []string
	err := m.reserve(ctx, doing, name, beingUninstalled, func(l *loop) (err error) {
		files, paths, err = l.part(name)
		return err
	})
	if err != nil {
		return err
	}
	defer m.changed(ctx, name)
	if err := m.when(ctx, doing, func(l *loop) bool { return l.parted(name, files) }); err != nil {
		return fmt.Errorf("nothing was removed: %w", err)
	}
	if commit != nil {
		if err := commit(); err != nil {
			return err
		}
	}
	removed := 0
	for _, path := range paths {
		logger := m.config.Logger.With("plugin", name)
		if path != pinKey(name) {
			if err = folder.Remove(path); err != nil {
				break
			}
			logger = logger.With("path", path)
		}
		removed++
		logger.Info("plugin uninstalled")
	}
	// If the Manager is closed by now, the next start does not find the files.
	_ = m.ask(context.WithoutCancel(ctx), doing, func(l *loop) { l.forget(paths[:removed]...) })
	if err != nil {
		return fault.New(fault.Unavailable, "%s: %w", doing, err)
	}
	return nil
}

// part stops the plugin, and returns the files of its name: a pin first, and the file it
// runs from last.
func (l *loop) part(name string) (files []*file, paths []string, refusal error) {
	e := l.entries[name]
	owner := ""
	for _, f := range l.inOrder() {
		switch {
		case f.title() != name:
			continue
		case f.pin == nil && f.state.Module.Kind() == "a directory":
			return nil, nil, fault.New(fault.Conflict, "uninstall %s: %s is a directory: remove it by hand", name, f.path)
		case e != nil && e.owner == f.path && f.pin == nil:
			owner = f.path
		default:
			paths = append(paths, f.path)
		}
		files = append(files, f)
	}
	if e == nil && len(files) == 0 {
		return nil, nil, notFound(name)
	}
	if owner != "" {
		paths = append(paths, owner)
	}
	if e != nil {
		e.ending = true
		l.decide(name)
	}
	return files, paths, nil
}

// parted reports whether the plugin has stopped and none of its files is being inspected.
func (l *loop) parted(name string, files []*file) bool {
	for _, f := range files {
		if f.reading {
			return false
		}
	}
	e := l.entries[name]
	return e == nil || e.idle()
}

func (e *entry) idle() bool { return e.running == nil && len(e.leaving) == 0 && e.jobs == 0 }

// ending reports whether the file is being uninstalled.
func (l *loop) ending(f *file) bool {
	e := l.entries[f.name]
	return e != nil && e.ending
}

// forget drops files that were removed. A scan under way may have found them, so it is
// repeated.
func (l *loop) forget(paths ...string) {
	l.rescan()
	for _, path := range paths {
		if f := l.files[path]; f != nil {
			l.drop(path)
			l.decide(f.name)
		}
	}
}

// changed ends a reservation by Pin or Uninstall, and returns when List shows the result.
func (m *Manager) changed(ctx context.Context, name string) {
	_ = m.when(context.WithoutCancel(ctx), "finish with "+name, func(l *loop) bool {
		delete(l.changing, name)
		if e := l.entries[name]; e != nil {
			e.ending = false
		}
		if f := l.files[pinKey(name)]; f != nil {
			f.candidate = nil
		}
		l.decide(name) // a file of the name may have appeared in the meantime
		return true
	})
}
