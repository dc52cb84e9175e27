package plugin

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/plugin/folder"
	"github.com/berth-host/berth/host/plugin/schema"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/wire"
)

func checkPin(p spec.Pin) error {
	if !abi.ValidName(p.Name) || !filepath.IsAbs(p.Path) && p.Refusal == "" {
		return fault.New(fault.Internal, "pin %q to %s: a valid name and an absolute path are required", p.Name, p.Path)
	}
	return nil
}

// pinKey is the key of a pin among the paths of files. It is not an absolute path.
func pinKey(name string) string { return "the installed plugin " + name }

// pin sets the pin of a name, with the candidate for it, nil for none. The running version
// goes on until the new one replaces it.
func (l *loop) pin(p spec.Pin, c *Candidate) {
	key := pinKey(p.Name)
	f := l.files[key]
	if f == nil {
		f = &file{path: key, name: p.Name}
		l.add(f)
	}
	f.pin, f.candidate, f.failed = &p, c, nil
	f.Refusal, f.Incomplete = "", ""
	f.dirty, f.retries = true, 0
}

// free refuses a name that belongs to a file.
func (l *loop) free(name string) error {
	e := l.entries[name]
	if e == nil || e.owner == pinKey(name) {
		return nil
	}
	if f := l.files[e.owner]; e.running != nil || f != nil && f.name == name && f.there() && !f.bad() {
		return fault.New(fault.Conflict, "the name %s belongs to the plugin in %s: uninstall that first, or remove its file", name, e.owner)
	}
	return nil
}

// inspectPin inspects a pin's module, of which a candidate is known already.
func (m *Manager) inspectPin(p spec.Pin, c *Candidate) finding {
	f := finding{}
	if c != nil {
		f.SHA256, f.Manifest, f.Schema = c.target.sha256, c.target.manifest, c.target.schema
	} else {
		f = m.judgePin(p)
	}
	f.Manifest.Name = p.Name
	// A refused pin is claimed as well: its events wait until it is repaired.
	f.claims = f.Incomplete == ""
	return f
}

func (m *Manager) judgePin(p spec.Pin) finding {
	if p.Refusal != "" {
		return finding{Identity: folder.Identity{Refusal: p.Refusal}}
	}
	if err := abi.CheckName(p.Name); err != nil { // installed before the name was reserved
		return finding{Identity: folder.Identity{Refusal: err.Error() + "; uninstall it"}}
	}
	c, err := folder.ReadAlone(p.Path, m.config.MaxSize)
	f := finding{state: c.State}
	var refusal folder.Refusal
	switch {
	case errors.Is(err, folder.ErrChanged):
		f.Refusal = fmt.Sprintf("its stored file %s is missing: install it again", p.Path)
	case errors.As(err, &refusal):
		f.Refusal = fmt.Sprintf("its stored file %s: %s: install it again", p.Path, refusal)
	case err != nil:
		f.Incomplete, f.retry = "its stored file cannot be read: "+err.Error(), true
	case c.SHA256() != p.SHA256:
		f.Refusal = fmt.Sprintf("its stored file %s does not match the lock: it has the SHA-256 %s, and the lock says %s; it was "+
			"changed or damaged: install it again", p.Path, c.SHA256(), p.SHA256)
	default:
		f.Manifest, f.Schema, f.Refusal = pinnedManifest(p.Name, c.Artifact)
		if f.Refusal == "" {
			f.SHA256 = c.SHA256()
		}
	}
	return f
}

// pinnedManifest returns the manifest inside a module with the name filled in, and its
// compiled config_schema, nil for none.
func pinnedManifest(name string, a spec.Artifact) (m abi.Manifest, config *schema.Schema, refusal string) {
	m, _, err := a.Manifest()
	switch {
	case err != nil:
		return abi.Manifest{}, nil, err.Error()
	case m.Name != "" && m.Name != name:
		return abi.Manifest{}, nil, fmt.Sprintf("its manifest names it %s, and the lock %s", m.Name, name)
	}
	m.Name = name
	if m.ConfigSchema != nil {
		if config, err = schema.Compile(m.ConfigSchema); err != nil {
			return abi.Manifest{}, nil, fmt.Sprintf("its manifest's config_schema: %v", err)
		}
	}
	return m, config, ""
}

// Free returns nil if a plugin can be installed under the name: it is unused, or belongs
// to a pin or a rejected file. Otherwise fault.Conflict.
func (m *Manager) Free(ctx context.Context, name string) error {
	var refusal error
	if err := m.ask(ctx, "install "+name, func(l *loop) {
		if change := l.changing[name]; change == beingInstalled || change == beingUninstalled {
			refusal = underWay(name, change)
		} else {
			refusal = l.free(name)
		}
	}); err != nil {
		return err
	}
	return refusal
}

// Pin makes the module in a file the plugin of its name, in place of the pin that the
// name may have had, and waits until it is stable: active, or disabled, held or in need
// of approval, as the settings say. The new version is ready before the former one is
// drained. If ctx ends before that, or the plugin is rejected, the former pin is
// restored; its version runs throughout. fault.Conflict when a file of a watched
// directory has the name.
func (m *Manager) Pin(ctx context.Context, p spec.Pin) (wire.Plugin, error) {
	return m.pin(ctx, p, nil)
}

// pin is Pin of a candidate, nil for none.
func (m *Manager) pin(ctx context.Context, p spec.Pin, c *Candidate) (wire.Plugin, error) {
	if err := checkPin(p); err != nil {
		return wire.Plugin{}, err
	}
	doing := "install " + p.Name
	var former *spec.Pin
	if err := m.reserve(ctx, doing, p.Name, beingInstalled, func(l *loop) error {
		if err := l.free(p.Name); err != nil {
			return err
		}
		if f := l.files[pinKey(p.Name)]; f != nil {
			former = f.pin
		}
		l.pin(p, c)
		return nil
	}); err != nil {
		return wire.Plugin{}, err
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

// pinBack restores the former pin of a name, nil for none, and waits until it is stable.
func (m *Manager) pinBack(ctx context.Context, doing, name string, former *spec.Pin) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), m.config.DrainTimeout)
	defer cancel()
	if m.ask(ctx, doing, func(l *loop) {
		if former != nil {
			l.pin(*former, nil)
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

// Unpin stops the plugin of a pin and removes the pin. A file with the same name replaces
// it. fault.NotFound if there is no such pin.
func (m *Manager) Unpin(ctx context.Context, name string) error {
	doing := "uninstall " + name
	if err := m.reserve(ctx, doing, name, beingUninstalled, func(l *loop) error {
		if l.files[pinKey(name)] == nil {
			return notFound(name)
		}
		return nil
	}); err != nil {
		return err
	}
	defer m.changed(ctx, name)
	m.pinBack(ctx, doing, name, nil)
	return nil
}

// arrived reports whether a pin is stable, and the error if it is rejected.
func (l *loop) arrived(p spec.Pin) (bool, error) {
	fail := func(code fault.Code, format string, args ...any) (bool, error) {
		return true, fault.New(code, "install "+p.Name+": "+format, args...)
	}
	f, e := l.files[pinKey(p.Name)], l.entries[p.Name]
	switch {
	case f == nil:
		return fail(fault.Conflict, "it was uninstalled in the meantime")
	case f.Incomplete != "" && f.retries > 1: // it is retried without end; the caller does not wait
		return fail(fault.Unavailable, "%s", f.Incomplete)
	case f.dirty || f.reading || f.Incomplete != "":
		return false, nil
	case f.Refusal != "":
		return fail(fault.Invalid, "the module is rejected: %s", f.Refusal)
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
	case incomplete: // likewise
		if f.failed != nil {
			return fail(f.failed.code, "the module cannot be started for now: %s", f.failed.reason)
		}
	case disabled, onHold, needsApproval:
		return true, nil
	}
	return false, nil
}
