package plugin

import (
	"context"
	"fmt"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/plugin/folder"
	"github.com/berth-host/berth/host/plugin/grants"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/wire"
)

// decision is one change of a plugin by the operator.
type decision struct {
	doing string
	// prepare, unless nil, is called by the loop before persist. done means that nothing
	// needs to be written.
	prepare func(l *loop, e *entry) (done bool, err error)
	persist func(context.Context) error
	enabled bool // see stable
}

// SetEnabled persists the operator's decision, applies it and waits until the plugin is
// stable: active (or rejected, or waiting for approval) or, drained, disabled. If ctx
// ends during that wait the decision stands, and the result is the plugin's state then.
// Enabling also releases a held plugin and retries a rejected one. fault.NotFound if no
// plugin has the name; fault.Conflict for a file without a valid name, and while the
// plugin is being installed or uninstalled.
func (m *Manager) SetEnabled(ctx context.Context, name string, enabled bool) (wire.Plugin, error) {
	return m.decide(ctx, name, decision{doing: "enable or disable " + name, enabled: enabled,
		persist: func(ctx context.Context) error { return m.config.SetEnabled(ctx, name, enabled) }})
}

// SetPaused persists the operator's decision, applies it and waits until the plugin is
// stable. A paused plugin stays loaded and receives no events; they wait for it. Its
// errors are those of SetEnabled.
func (m *Manager) SetPaused(ctx context.Context, name string, paused bool) (wire.Plugin, error) {
	return m.decide(ctx, name, decision{doing: "pause or resume " + name, enabled: true,
		persist: func(ctx context.Context) error { return m.config.SetPaused(ctx, name, paused) }})
}

// Approve grants a plugin the capabilities that its manifest requests, all of them or
// those named, besides what is granted already, and waits until the plugin is stable.
// If a new file waits for approval while an older version runs, the new file's manifest
// counts. Nothing is written when all of it is granted already. A disabled or held
// plugin stays so.
//
// precondition, unless nil, gets the plugin as it is when the grants are computed, and
// refuses them by its error. The Manager's loop calls it: it must be quick. Without it
// in.SHA256 is not sufficient for a module with a sidecar, which the digest does not
// cover.
//
// Its errors are those of SetEnabled, fault.Invalid for a capability that is not
// requested, fault.Precondition if in.SHA256 is the digest of another module than the
// one to be approved or is not sufficient, and fault.Conflict while the plugin's file is
// not inspected.
func (m *Manager) Approve(ctx context.Context, name string, in wire.Approval, precondition func(wire.Plugin) error) (wire.Plugin, error) {
	var approved []spec.Grant
	return m.decide(ctx, name, decision{doing: "approve " + name, enabled: true,
		prepare: func(l *loop, e *entry) (done bool, err error) {
			if precondition != nil {
				if err := precondition(l.current(e)); err != nil {
					return false, err
				}
			}
			approved, done, err = l.approval(e, in, precondition != nil)
			return done, err
		},
		persist: func(ctx context.Context) error { return m.config.SetGrants(ctx, name, approved) },
	})
}

// decide carries a decision out: the name is reserved while it is persisted.
func (m *Manager) decide(ctx context.Context, name string, d decision) (wire.Plugin, error) {
	done := false
	err := m.reserve(ctx, d.doing, name, beingChanged, func(l *loop) (err error) {
		done, err = l.prepare(name, d)
		return err
	})
	if err != nil {
		return wire.Plugin{}, err
	}
	persisted := false
	defer func() {
		if !persisted { // it panicked
			_ = m.ask(context.WithoutCancel(ctx), d.doing, func(l *loop) { delete(l.changing, name) })
		}
	}()
	if !done {
		if err = d.persist(ctx); err != nil {
			err = fmt.Errorf("%s: %w", d.doing, err)
		}
	}
	persisted = true
	// A persisted decision is applied even if ctx has ended.
	if asked := m.ask(context.WithoutCancel(ctx), d.doing, func(l *loop) {
		delete(l.changing, name)
		if err == nil && !done && l.entries[name] != nil && !l.closing {
			l.reconsider(name)
		}
	}); err == nil {
		err = asked
	}
	if err != nil {
		return wire.Plugin{}, err
	}
	if !done {
		_ = m.when(ctx, d.doing, func(l *loop) bool { return l.stable(name, d.enabled) })
	}
	return m.Plugin(name)
}

// prepare checks that a decision can be made about the name, and prepares it.
func (l *loop) prepare(name string, d decision) (done bool, err error) {
	e := l.entries[name]
	if e == nil {
		p, err := l.m.Plugin(name)
		if err != nil {
			return false, err
		}
		return false, fault.New(fault.Conflict, "%s is %s: %s", name, p.State, p.Reason)
	}
	if d.prepare == nil {
		return false, nil
	}
	return d.prepare(l, e)
}

// approval returns a plugin's grants extended by what is approved. done means that they
// contain it already. shown means that the caller has checked the plugin as it is.
func (l *loop) approval(e *entry, in wire.Approval, shown bool) (extended []spec.Grant, done bool, err error) {
	doing := "approve " + e.name
	var t target
	sidecar := false
	switch f := l.fileOf(e); {
	case f != nil && f.SHA256 != "":
		t = target{sha256: f.SHA256, manifest: f.Manifest}
		sidecar = f.pin == nil && f.state.Sidecar != (folder.Stamp{})
	case e.running != nil:
		t = e.running.target
	default:
		return nil, false, fault.New(fault.Conflict, "%s: its manifest is not known yet; try again", doing)
	}
	if in.SHA256 != "" && in.SHA256 != t.sha256 {
		return nil, false, fault.New(fault.Precondition, "%s: its file has another sha256 now, %s; look at its capabilities first",
			doing, t.sha256)
	}
	if in.SHA256 != "" && sidecar && !shown {
		return nil, false, fault.New(fault.Precondition,
			"%s: sha256 does not cover the manifest, which is in a file beside the module; send its ETag as If-Match", doing)
	}
	s, err := l.m.config.Settings(e.name, t.manifest)
	if err != nil {
		return nil, false, fmt.Errorf("%s: %w", doing, err)
	}
	return grants.Extend(t.manifest.Capabilities, s.Grants, in.Capabilities)
}

// reconsider decides about a name anew, and retries what has failed.
func (l *loop) reconsider(name string) {
	for _, f := range l.files {
		if f.name == name {
			f.failed = nil
		}
	}
	if e := l.entries[name]; e.running != nil {
		e.running.failed = nil
	}
	l.decide(name)
}

// ConditionChanged makes the Manager read the Condition of every Running again, for List
// and OnChange. It does not block.
func (m *Manager) ConditionChanged() {
	select {
	case m.conditions <- struct{}{}:
	default: // a wake-up is pending, and covers all of them
	}
}
