package plugin

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/berth-host/berth/host/plugin/schema"
	"github.com/berth-host/berth/host/spec"
)

// settings resolves the settings for a target's manifest, and checks its config if the
// plugin may run.
func (l *loop) settings(e *entry, t target) (spec.Settings, error) {
	s, err := l.m.config.Settings(e.name, t.manifest)
	if err != nil {
		return s, err
	}
	if s.Enabled || s.Hold {
		err = conforms(e.name, t.schema, s)
	}
	return s, err
}

func conforms(name string, s *schema.Schema, settings spec.Settings) error {
	if s == nil {
		return nil
	}
	if err := s.Check(configOf(settings)); err != nil {
		return fmt.Errorf("handlers.%s.config is not what the manifest's config_schema wants: %w", name, err)
	}
	return nil
}

func configOf(s spec.Settings) []byte {
	if s.Config == nil {
		return []byte("{}")
	}
	return s.Config
}

// Misfit is a plugin whose config would violate its manifest's config_schema.
type Misfit struct {
	Name       string
	Violations []schema.Violation
	Err        error // why the settings cannot be resolved; Violations is then nil
}

// known is a plugin as Check checks it.
type known struct {
	name    string
	targets []target // the running version, then the new file
	running bool
	now     spec.Settings
}

// Check returns the plugins that would reject settings which are not in force yet, sorted
// by name. It changes nothing. A plugin that does not run and whose present settings are
// wrong too is skipped: its state shows the error. If a new file waits beside the running
// version, one of the two must accept the settings. Call it before Reload.
func (m *Manager) Check(ctx context.Context, settings SettingsFunc) ([]Misfit, error) {
	var plugins []known
	if err := m.ask(ctx, "check the plugins' settings", func(l *loop) {
		for _, e := range l.entries {
			k := known{name: e.name, running: e.running != nil}
			if k.running {
				k.targets = append(k.targets, e.running.target)
			}
			if f := l.files[e.owner]; f != nil && f.name == e.name && f.SHA256 != "" {
				t := target{sha256: f.SHA256, manifest: f.Manifest, schema: f.Schema}
				if !k.running || !e.running.same(t) {
					k.targets = append(k.targets, t)
				}
			}
			if len(k.targets) == 0 {
				continue
			}
			var err error
			if k.now, err = m.config.Settings(e.name, k.targets[0].manifest); err == nil || k.running {
				plugins = append(plugins, k)
			}
		}
	}); err != nil {
		return nil, err
	}
	var misfits []Misfit
	for _, k := range plugins {
		if misfit := k.check(settings); misfit != nil {
			misfits = append(misfits, *misfit)
		}
	}
	slices.SortFunc(misfits, func(a, b Misfit) int { return cmp.Compare(a.Name, b.Name) })
	return misfits, nil
}

// check returns why the first of the targets rejects the settings; nil if one of them
// accepts them.
func (k known) check(settings SettingsFunc) *Misfit {
	var first *Misfit
	for _, t := range k.targets {
		misfit := k.checkOne(t, settings)
		if misfit == nil {
			return nil
		}
		if first == nil {
			first = misfit
		}
	}
	return first
}

func (k known) checkOne(t target, settings SettingsFunc) *Misfit {
	s, err := settings(k.name, t.manifest)
	if err != nil {
		return &Misfit{Name: k.name, Err: err}
	}
	changed := s.Enabled != k.now.Enabled || s.Hold != k.now.Hold || !bytes.Equal(configOf(s), configOf(k.now))
	if t.schema == nil || !changed && (!k.running || !s.Enabled && !s.Hold) {
		return nil
	}
	err = t.schema.Check(configOf(s))
	var wrong *schema.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &wrong):
		return &Misfit{Name: k.name, Violations: wrong.Violations}
	}
	return &Misfit{Name: k.name, Err: err}
}
