package plugin

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/plugin/internal/folder"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/wire"
)

func checkPin(p spec.Pin) error {
	if !abi.ValidName(p.Name) || !filepath.IsAbs(p.Path) && p.Refusal == "" {
		return fault.New(fault.Internal, "pin %q to %s: a valid name and an absolute path are required", p.Name, p.Path)
	}
	return nil
}

// pinKey is what stands for a pin where files have their path; no absolute path
// is equal to it.
func pinKey(name string) string { return "the installed plugin " + name }

// pin makes the name's pin this one. What it was before goes on until this one
// can take its place.
func (l *loop) pin(p spec.Pin) {
	key := pinKey(p.Name)
	f := l.files[key]
	if f == nil {
		f = &file{path: key, name: p.Name}
		l.add(f)
	}
	f.pin, f.failed = &p, nil
	f.refusal, f.waiting = "", ""
	f.dirty, f.retries = true, 0
}

// free says who else has the name, if anybody has.
func (l *loop) free(name string) error {
	if what := l.changing[name]; what != "" {
		return underWay(name, what)
	}
	e := l.entries[name]
	if e == nil || e.owner == pinKey(name) {
		return nil
	}
	if f := l.files[e.owner]; e.running != nil || f != nil && f.name == name && f.there() && !f.bad() {
		return fault.New(fault.Conflict, "the name %s belongs to the plugin in %s: uninstall that first, or remove its file", name, e.owner)
	}
	return nil
}

// inspectPin reads a pin's module and claims its name.
func (m *Manager) inspectPin(p spec.Pin) finding {
	f := m.judgePin(p)
	f.manifest.Name = p.Name
	// Refused ones are claimed as well: their events wait until the reason is repaired.
	f.claims = f.waiting == ""
	return f
}

func (m *Manager) judgePin(p spec.Pin) finding {
	if p.Refusal != "" {
		return finding{refusal: p.Refusal}
	}
	if err := abi.CheckName(p.Name); err != nil { // a host that did not reserve the name installed it
		return finding{refusal: err.Error() + "; uninstall it"}
	}
	c, err := folder.ReadAlone(p.Path, m.config.MaxSize)
	f := finding{state: c.State}
	var refusal folder.Refusal
	switch {
	case errors.Is(err, folder.ErrChanged):
		f.refusal = fmt.Sprintf("its stored file %s is missing: install it again", p.Path)
	case errors.As(err, &refusal):
		f.refusal = fmt.Sprintf("its stored file %s: %s: install it again", p.Path, refusal)
	case err != nil:
		f.waiting, f.retry = "its stored file cannot be read: "+err.Error(), true
	case c.SHA256 != p.SHA256:
		f.refusal = fmt.Sprintf("its stored file %s does not match the lock: it has the SHA-256 %s, and the lock says %s; it was changed or damaged: install it again", p.Path, c.SHA256, p.SHA256)
	default:
		f.manifest, f.refusal = pinnedManifest(p.Name, c.Wasm)
		if f.refusal == "" {
			f.sha256 = c.SHA256
		}
	}
	return f
}

func pinnedManifest(name string, wasm []byte) (m abi.Manifest, refusal string) {
	section, inside, err := abi.FindSection(wasm, abi.ManifestSection)
	if err == nil && inside {
		m, err = abi.ParseManifest(section)
	}
	switch {
	case err != nil:
		return abi.Manifest{}, err.Error()
	case m.Name != "" && m.Name != name:
		return abi.Manifest{}, fmt.Sprintf("its manifest names it %s, and the lock %s", m.Name, name)
	}
	m.Name = name
	return m, ""
}

// Free answers nil when a plugin may be installed under the name: nobody has
// it, or a pin does, or a file that is rejected anyway. fault.Conflict otherwise.
func (m *Manager) Free(ctx context.Context, name string) error {
	var refusal error
	if err := m.ask(ctx, "install "+name, func(l *loop) { refusal = l.free(name) }); err != nil {
		return err
	}
	return refusal
}

// Try loads the module and has it started and ended again, without an event and
// without a claim, as if it had these grants besides those of its settings.
// What runs is not touched. Its error says why it would not run.
func (m *Manager) Try(ctx context.Context, p spec.Pin, grants []spec.Grant) error {
	if err := checkPin(p); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, m.config.LoadTimeout)
	defer cancel()
	defer context.AfterFunc(m.work, cancel)()
	release, err := slot(ctx, m.slotsFor(p.Path))
	if err != nil {
		return fault.New(fault.Unavailable, "try %s: %w", p.Name, err)
	}
	f := m.judgePin(p)
	release()
	switch {
	case f.refusal != "":
		return fault.New(fault.Invalid, "%s", f.refusal)
	case f.waiting != "":
		return fault.New(fault.Unavailable, "%s", f.waiting)
	}
	var settings spec.Settings
	var wrong error
	if err := m.ask(ctx, "try "+p.Name, func(*loop) { settings, wrong = m.config.Settings(p.Name, f.manifest) }); err != nil {
		return err
	}
	if wrong != nil {
		return fault.New(fault.Invalid, "its settings: %w", wrong)
	}
	settings.Enabled, settings.Hold = true, false
	settings.Grants = slices.Concat(settings.Grants, grants)
	j := &job{target: target{sha256: f.sha256, manifest: f.manifest, settings: settings}, path: pinKey(p.Name), pin: &p}
	r := m.load(ctx, p.Name, j)
	switch {
	case r.stale:
		return fault.New(fault.Conflict, "its stored file %s was changed meanwhile", p.Path)
	case r.err != nil:
		return r.err
	}
	err = m.config.Runner.Probe(ctx, Spec{Name: p.Name, Module: r.loaded, Manifest: j.manifest, Settings: settings})
	closing, done := context.WithTimeout(context.WithoutCancel(ctx), m.config.DrainTimeout)
	defer done()
	if closed := r.loaded.Close(closing); closed != nil {
		m.config.Logger.Warn("close a module that was tried", "plugin", p.Name, "error", closed)
	}
	return err
}

// Pin makes this module the plugin of its name, in place of the pin that the
// name may have had, and waits until it has come to rest: active, or disabled,
// held or in need of approval, as the settings want it. The new version is ready
// before the former one is drained. When ctx ends before that, or the plugin is
// rejected, the former pin is back, its version having run all the time.
// fault.Conflict when a file of a watched directory has the name.
func (m *Manager) Pin(ctx context.Context, p spec.Pin) (wire.Plugin, error) {
	if err := checkPin(p); err != nil {
		return wire.Plugin{}, err
	}
	doing := "install " + p.Name
	var former *spec.Pin
	var refusal error
	if err := m.ask(ctx, doing, func(l *loop) {
		if refusal = l.free(p.Name); refusal != nil {
			return
		}
		if f := l.files[pinKey(p.Name)]; f != nil {
			former = f.pin
		}
		l.changing[p.Name] = beingInstalled
		l.pin(p)
	}); err != nil {
		return wire.Plugin{}, err
	}
	if refusal != nil {
		return wire.Plugin{}, refusal
	}
	defer m.changed(ctx, p.Name)
	var outcome error
	err := m.when(ctx, doing, func(l *loop) (there bool) {
		there, outcome = l.arrived(p)
		return there
	})
	if err == nil {
		err = outcome
	}
	if err == nil {
		return m.Plugin(p.Name)
	}
	m.pinBack(ctx, doing, p.Name, former)
	return wire.Plugin{}, err
}

// pinBack gives a name its former pin, nil for none, and waits until that is so.
func (m *Manager) pinBack(ctx context.Context, doing, name string, former *spec.Pin) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), m.config.DrainTimeout)
	defer cancel()
	if m.ask(ctx, doing, func(l *loop) {
		if former != nil {
			l.pin(*former)
			return
		}
		l.forget(pinKey(name))
	}) != nil {
		return
	}
	_ = m.when(ctx, doing, func(l *loop) bool {
		e, f := l.entries[name], l.files[pinKey(name)]
		if f == nil {
			return e == nil || e.idle() || e.owner != pinKey(name)
		}
		return !f.dirty && !f.reading && (e == nil || e.job == nil)
	})
}

// Unpin ends the plugin of a pin and forgets it. A file of a watched directory
// that has the same name takes its place. fault.NotFound when there is no such pin.
func (m *Manager) Unpin(ctx context.Context, name string) error {
	doing := "uninstall " + name
	var refusal error
	if err := m.ask(ctx, doing, func(l *loop) {
		switch {
		case l.changing[name] != "":
			refusal = underWay(name, l.changing[name])
		case l.files[pinKey(name)] == nil:
			refusal = notFound(name)
		default:
			l.changing[name] = beingUninstalled
		}
	}); err != nil {
		return err
	}
	if refusal != nil {
		return refusal
	}
	defer m.changed(ctx, name)
	m.pinBack(ctx, doing, name, nil)
	return nil
}

// arrived reports whether what became of a pin is known, and if it was refused
// the error that says so.
func (l *loop) arrived(p spec.Pin) (bool, error) {
	fail := func(code fault.Code, format string, args ...any) (bool, error) {
		return true, fault.New(code, "install "+p.Name+": "+format, args...)
	}
	f, e := l.files[pinKey(p.Name)], l.entries[p.Name]
	switch {
	case f == nil:
		return fail(fault.Conflict, "it was uninstalled meanwhile")
	case f.waiting != "" && f.retries > 1: // it is tried again for ever, which nobody waits for
		return fail(fault.Unavailable, "%s", f.waiting)
	case f.dirty || f.reading || f.waiting != "":
		return false, nil
	case f.refusal != "":
		return fail(fault.Invalid, "the module is rejected: %s", f.refusal)
	case e == nil || e.job != nil:
		return false, nil
	case e.owner != f.path:
		return fail(fault.Conflict, "the name belongs to %s", e.owner)
	case e.running != nil && e.running.sha256 == p.SHA256:
		return true, nil
	}
	switch e.verdict {
	case rejected:
		return fail(fault.Invalid, "the module is rejected: %s", e.reason)
	case incomplete: // it is tried again and again, which nobody waits for
		if f.failed != nil {
			return fail(f.failed.code, "the module cannot be started for now: %s", f.failed.reason)
		}
	case disabled, onHold, needsApproval:
		return true, nil
	}
	return false, nil
}
