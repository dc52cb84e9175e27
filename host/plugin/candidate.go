package plugin

import (
	"context"
	"slices"
	"sync/atomic"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/wire"
)

// Candidate is a version on trial: loaded, and started up to its first wait for an
// event, under the name of a plugin that may have another version running. Promote it
// or Discard it. It is safe for concurrent use.
type Candidate struct {
	m        *Manager
	name     string
	target   target
	module   Module
	style    string
	prepared Prepared
	owned    atomic.Bool // by a job, or by Discard: the other has nothing to end
}

// Prepare loads the module and starts its first instance, without an event and without
// a claim, as if approved were granted besides what the settings grant. What runs is
// not affected. The error says why the plugin would not run.
func (m *Manager) Prepare(ctx context.Context, name string, a spec.Artifact, approved []abi.Capability) (*Candidate, error) {
	if err := abi.CheckName(name); err != nil {
		return nil, fault.New(fault.Invalid, "%w", err)
	}
	manifest, config, refusal := pinnedManifest(name, a)
	if refusal != "" {
		return nil, fault.New(fault.Invalid, "%s", refusal)
	}
	t := target{sha256: a.SHA256(), manifest: manifest, schema: config}
	var wrong error
	if err := m.ask(ctx, "prepare "+name, func(*loop) { t.settings, wrong = m.config.Settings(name, manifest) }); err != nil {
		return nil, err
	}
	if wrong != nil {
		return nil, fault.New(fault.Invalid, "its settings: %w", wrong)
	}
	if t.settings.Enabled || t.settings.Hold {
		if err := conforms(name, config, t.settings); err != nil {
			return nil, fault.New(fault.Invalid, "%w; correct the configuration first, or disable the plugin", err)
		}
	}
	t.settings.Enabled, t.settings.Hold = true, false
	t.settings.Grants = slices.Clone(t.settings.Grants)
	for _, c := range approved {
		t.settings.Grants = spec.AddGrant(t.settings.Grants, c)
	}
	ctx, cancel := context.WithTimeout(ctx, m.config.LoadTimeout)
	defer cancel()
	defer context.AfterFunc(m.work, cancel)()
	release, err := slot(ctx, m.slotsFor(int64(a.Size())))
	if err != nil {
		return nil, fault.New(fault.Unavailable, "wait for the modules before it: %w", err)
	}
	module, err := m.config.Loader.Load(ctx, name, a, t.settings.Limits.Memory)
	release()
	if err != nil {
		return nil, err
	}
	c := &Candidate{m: m, name: name, target: t, module: module, style: module.Style()}
	c.prepared, err = m.config.Runner.Prepare(ctx, Spec{Name: name, Module: module, SHA256: t.sha256, Manifest: manifest, Settings: t.settings})
	if err != nil {
		c.closeModule()
		return nil, err
	}
	return c, nil
}

// Promote makes the candidate, whose module is stored at path, the plugin of its name,
// in place of the pin that the name may have had, and waits as Pin does. If it is
// disabled, held or in need of approval, it is not run and the candidate is discarded.
func (c *Candidate) Promote(ctx context.Context, path string) (wire.Plugin, error) {
	defer c.Discard()
	return c.m.pin(ctx, spec.Pin{Name: c.name, Path: path, SHA256: c.target.sha256}, c)
}

// Discard ends the candidate, unless Promote made it the plugin of its name. It may be
// called more than once.
func (c *Candidate) Discard() {
	if c.take() {
		c.prepared.Discard()
		c.closeModule()
	}
}

// take makes the caller the owner of what the candidate holds, unless it has one.
func (c *Candidate) take() bool { return c.owned.CompareAndSwap(false, true) }

func (c *Candidate) closeModule() {
	ctx, cancel := context.WithTimeout(context.Background(), c.m.config.DrainTimeout)
	defer cancel()
	if err := c.module.Close(ctx); err != nil {
		c.m.config.Logger.Warn("close module", "plugin", c.name, "error", err)
	}
}

// loadedFor reports whether the target can be started from the candidate's module.
func (c *Candidate) loadedFor(t target) bool {
	return !t.vetOnly && c.target.same(t) && c.target.settings.Limits.Memory == t.settings.Limits.Memory
}
