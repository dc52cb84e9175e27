package plugin

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/plugin/internal/folder"
	"github.com/berth-host/berth/host/wire"
)

// InstallName returns the name that a module is installed under: the one of
// its own manifest, or else the one that is wanted. fault.Invalid when it is no
// whole module, when the two differ, and when there is neither; the field is
// then name.
func InstallName(wasm []byte, want string) (string, error) {
	section, inside, err := abi.FindSection(wasm, abi.ManifestSection)
	if err != nil {
		return "", fault.New(fault.Invalid, "the module: %w", err)
	}
	var own string
	if inside {
		manifest, err := abi.ParseManifest(section)
		if err != nil {
			return "", fault.New(fault.Invalid, "the module: section %s: %w", abi.ManifestSection, err)
		}
		own = manifest.Name
	}
	switch {
	case own == "" && want == "":
		return "", fault.Field("name", "is required: the module has no manifest that names it")
	case own == "" && !abi.ValidName(want):
		return "", fault.Field("name", "must be 1 to 63 of a-z, 0-9 and -, and not begin with -")
	case own == "":
		return want, nil
	case want != "" && want != own:
		return "", fault.Field("name", "the module's manifest names it %s; leave the name out, or give that one", own)
	}
	return own, nil
}

// What is being done to a name.
const (
	beingInstalled   = "installed"
	beingUninstalled = "uninstalled"
)

// install is a module on its way to be a plugin.
type install struct {
	name   string
	sha256 string
	path   string
	there  bool // its file was there before

	// What arrived found, for whom it answered true.
	err     error
	foreign bool // the file at path is not ours any more
}

// Install makes a plugin of a module (see InstallName for its name), in the
// first of the directories, and waits until it has come to rest: active, or
// disabled, held or in need of approval, as the settings want it. When ctx ends
// before that, or the plugin is rejected, its file is removed again and nothing
// has changed. fault.Conflict when the name is taken by other contents; the
// same contents are not installed twice, but waited for.
func (m *Manager) Install(ctx context.Context, wasm []byte, wantName string) (wire.Plugin, error) {
	name, err := InstallName(wasm, wantName)
	if err != nil {
		return wire.Plugin{}, err
	}
	doing := "install " + name
	if int64(len(wasm)) > m.config.MaxSize {
		return wire.Plugin{}, fault.New(fault.Invalid, "%s: the module is %d bytes long: the limit is %d", doing, len(wasm), m.config.MaxSize)
	}
	sum := sha256.Sum256(wasm)
	i := &install{name: name, sha256: hex.EncodeToString(sum[:])}
	var refusal error
	if err := m.ask(ctx, doing, func(l *loop) { refusal = l.welcome(i) }); err != nil {
		return wire.Plugin{}, err
	}
	if refusal != nil {
		return wire.Plugin{}, refusal
	}
	defer m.changed(ctx, name)
	var placed folder.Placed
	if !i.there {
		if placed, err = folder.Put(i.path, wasm); err != nil {
			return wire.Plugin{}, misplaced(doing, err)
		}
	}
	ours := !i.there
	if err = m.look(ctx, doing); err == nil {
		err = m.when(ctx, doing, func(l *loop) bool { return l.arrived(i) })
		if err == nil {
			err = i.err
			ours = ours && !i.foreign
		}
	}
	switch {
	case err == nil:
		m.config.Logger.Info("a plugin was installed", "plugin", name, "path", i.path, "sha256", i.sha256)
		return m.Plugin(name)
	case !ours:
		return wire.Plugin{}, err
	}
	if back := m.takeBack(ctx, doing, i, placed); back != nil {
		err = fmt.Errorf("%w; and its file could not be removed again, remove it by hand: %w", err, back)
	}
	return wire.Plugin{}, err
}

// misplaced gives an error of the file system its code.
func misplaced(doing string, err error) error {
	switch {
	case errors.Is(err, fs.ErrExist):
		return fault.New(fault.Conflict, "%s: there is such a file already, and it is not replaced: %w", doing, err)
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		return fault.New(fault.Exhausted, "%s: %w", doing, err)
	}
	return fault.New(fault.Unavailable, "%s: %w", doing, err)
}

// welcome says where a module's file is to be, unless its name is taken.
func (l *loop) welcome(i *install) error {
	e := l.entries[i.name]
	switch {
	case l.changing[i.name] != "":
		return underWay(i.name, l.changing[i.name])
	case e == nil && len(l.dirs) == 0:
		return fault.New(fault.Conflict, "install %s: there is no directory for it: name one under plugin_directories", i.name)
	case e == nil:
		i.path = filepath.Join(l.dirs[0], i.name+".wasm")
	default:
		f := l.files[e.holder]
		if f == nil || f.name != i.name || !f.there() || f.sha256 != i.sha256 {
			return fault.New(fault.Conflict, "install %s: there is a plugin of that name with other contents, and upgrading it is not possible yet: uninstall it first", i.name)
		}
		i.path, i.there = f.path, true
	}
	l.changing[i.name] = beingInstalled
	return nil
}

func underWay(name, what string) error {
	return fault.New(fault.Conflict, "%s is just being %s; try again when that is done", name, what)
}

// arrived reports whether what became of a module is known, and notes it.
func (l *loop) arrived(i *install) bool {
	fail := func(code fault.Code, format string, args ...any) bool {
		i.err = fault.New(code, "install "+i.name+": "+format, args...)
		return true
	}
	rejected := func(code fault.Code, reason string) bool {
		return fail(code, "the module is rejected: %s", reason)
	}
	f, e := l.files[i.path], l.entries[i.name]
	switch {
	case f == nil || !f.there():
		i.foreign = true
		return fail(fault.Conflict, "its file %s is not there any more: somebody has removed it", i.path)
	case e != nil && e.holder == f.path && e.running != nil && e.running.sha256 == i.sha256 && f.name == i.name:
		return true
	case f.waiting != "" && f.retries > 1: // it is tried again for ever, which nobody waits for
		return fail(fault.Unavailable, "%s", f.waiting)
	case f.dirty || f.reading || f.waiting != "":
		return false
	case f.refusal != "":
		return rejected(fault.Invalid, f.refusal)
	case f.sha256 != i.sha256:
		i.foreign = true
		return fail(fault.Conflict, "its file %s holds something else by now", i.path)
	case f.name != i.name:
		return fail(fault.Conflict, "a manifest has come beside it that names it %s", f.name)
	case e == nil || e.job != nil:
		return false
	case e.holder != f.path:
		return fail(fault.Conflict, "the name belongs to %s", e.holder)
	}
	switch e.verdict {
	case refused:
		code := fault.Invalid
		if f.failed != nil && (f.failed.code == fault.Unavailable || f.failed.code == fault.Exhausted) {
			code = f.failed.code
		}
		return rejected(code, e.reason)
	case waiting: // tried again and again, as above
		if f.failed != nil {
			return rejected(f.failed.code, e.reason)
		}
	case off, held, ungranted:
		return true
	}
	return false
}

// takeBack undoes an installation: nothing of it is left when it returns nil,
// but for the drain of one that hangs.
func (m *Manager) takeBack(ctx context.Context, doing string, i *install, placed folder.Placed) error {
	if err := placed.Remove(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), m.config.DrainTimeout)
	defer cancel()
	var f *file
	if m.ask(ctx, doing, func(l *loop) {
		f = l.files[i.path]
		l.forget(i.path)
	}) == nil {
		_ = m.when(ctx, doing, func(l *loop) bool {
			e := l.entries[i.name]
			return (f == nil || !f.reading) && (e == nil || e.idle() || e.holder != i.path)
		})
	}
	return nil
}

// Uninstall drains the plugin, removes the files that go by its name, with
// their manifests, and returns when it is gone. When ctx ends before it has
// drained, or its file cannot be removed, it goes on as before.
// fault.NotFound for a name nobody has.
func (m *Manager) Uninstall(ctx context.Context, name string) error {
	doing := "uninstall " + name
	var files []*file // the loop's
	var paths []string
	var refusal error
	// Whoever is switching the plugin persists that before it goes, not after.
	select {
	case m.toggles <- struct{}{}:
	case <-ctx.Done():
		return fault.New(fault.Timeout, "%s: %w", doing, ctx.Err())
	}
	err := m.ask(ctx, doing, func(l *loop) { files, paths, refusal = l.part(name) })
	<-m.toggles
	if err != nil {
		return err
	}
	if refusal != nil {
		return refusal
	}
	defer m.changed(ctx, name)
	if err := m.when(ctx, doing, func(l *loop) bool { return l.parted(name, files) }); err != nil {
		return fmt.Errorf("nothing was removed: %w", err)
	}
	removed := 0
	for _, path := range paths {
		if err = folder.Remove(path); err != nil {
			break
		}
		removed++
		m.config.Logger.Info("a plugin was uninstalled", "plugin", name, "path", path)
	}
	// Closing in the meantime does not matter: the next start will not find it.
	_ = m.ask(context.WithoutCancel(ctx), doing, func(l *loop) { l.forget(paths[:removed]...) })
	if err != nil {
		return fault.New(fault.Unavailable, "%s: %w", doing, err)
	}
	return nil
}

// part ends the plugin, and returns the files that go by its name, the one it
// runs from last.
func (l *loop) part(name string) (files []*file, paths []string, refusal error) {
	if what := l.changing[name]; what != "" {
		return nil, nil, underWay(name, what)
	}
	e := l.entries[name]
	holder := ""
	for _, f := range l.inOrder() {
		switch {
		case f.title() != name:
			continue
		case f.state.Module.Kind() == "a directory":
			return nil, nil, fault.New(fault.Conflict, "uninstall %s: %s is a directory: remove it by hand", name, f.path)
		case e != nil && e.holder == f.path:
			holder = f.path
		default:
			paths = append(paths, f.path)
		}
		files = append(files, f)
	}
	if e == nil && len(files) == 0 {
		return nil, nil, notFound(name)
	}
	if holder != "" {
		paths = append(paths, holder)
	}
	l.changing[name] = beingUninstalled
	if e != nil {
		e.ending = true
		l.decide(name)
	}
	return files, paths, nil
}

// parted reports whether nothing of the plugin is at work any more.
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

// ending reports whether the file is about to be removed.
func (l *loop) ending(f *file) bool {
	e := l.entries[f.name]
	return e != nil && e.ending
}

// forget takes note that files have been removed. A look at the directories
// that is under way may have seen them, so it does not count.
func (l *loop) forget(paths ...string) {
	l.lookAgain()
	for _, path := range paths {
		if f := l.files[path]; f != nil {
			delete(l.files, path)
			l.decide(f.name)
		}
	}
}

// changed ends what welcome or part began, and returns when that can be seen.
func (m *Manager) changed(ctx context.Context, name string) {
	_ = m.when(context.WithoutCancel(ctx), "finish with "+name, func(l *loop) bool {
		delete(l.changing, name)
		if e := l.entries[name]; e != nil {
			e.ending = false
		}
		l.decide(name) // a file of the name may have come meanwhile
		return true
	})
}
