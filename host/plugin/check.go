package plugin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"

	"github.com/berth-host/berth/host/plugin/schema"
)

// settings resolves the settings for a target's manifest, with the decisions
// made since the configuration was read, and checks the config of one that may run.
func (l *loop) settings(e *entry, t target) (Settings, error) {
	s, err := l.m.config.Settings(e.name, t.manifest)
	if err != nil {
		return s, err
	}
	s = e.override.apply(s)
	if s.Enabled || s.Hold {
		err = conforms(e.name, t.schema, s)
	}
	return s, err
}

func conforms(name string, s *schema.Schema, settings Settings) error {
	if s == nil {
		return nil
	}
	if err := s.Check(configOf(settings)); err != nil {
		return fmt.Errorf("handlers.%s.config is not what the manifest's config_schema wants: %w", name, err)
	}
	return nil
}

func configOf(s Settings) []byte {
	if s.Config == nil {
		return []byte("{}")
	}
	return s.Config
}

// Misfit is a plugin whose config would not be what its manifest wants.
type Misfit struct {
	Name       string
	Violations []schema.Violation
	Err        error // the settings cannot be resolved at all; Violations is then nil
}

// Check answers which plugins would not take settings that are not in force
// yet, sorted by name, without changing anything. A plugin that does not run,
// and has no better settings now, is passed over: it is known to be in error,
// and its reason says so. Call it before Reload.
func (m *Manager) Check(ctx context.Context, settings SettingsFunc) ([]Misfit, error) {
	type known struct {
		name    string
		target  target
		running bool
		now     Settings
	}
	var plugins []known
	if err := m.ask(ctx, "check the plugins' settings", func(l *loop) {
		for _, e := range l.entries {
			add := func(t target, running bool) {
				now, err := m.config.Settings(e.name, t.manifest)
				if err == nil || running {
					plugins = append(plugins, known{e.name, t, running, now})
				}
			}
			f := l.files[e.holder]
			if e.running != nil {
				add(e.running.target, true)
			}
			if f != nil && f.name == e.name && f.sha256 != "" && (e.running == nil || !e.running.same(target{sha256: f.sha256, manifest: f.manifest})) {
				add(target{sha256: f.sha256, manifest: f.manifest, schema: f.schema}, false)
			}
		}
	}); err != nil {
		return nil, err
	}
	var misfits []Misfit
	for _, p := range plugins {
		s, err := settings(p.name, p.target.manifest)
		if err != nil {
			misfits = append(misfits, Misfit{Name: p.name, Err: err})
			continue
		}
		changed := s.Enabled != p.now.Enabled || s.Hold != p.now.Hold || !reflect.DeepEqual(configOf(s), configOf(p.now))
		if p.target.schema == nil || !s.Enabled && !s.Hold && !changed || !changed && !p.running {
			continue
		}
		err = p.target.schema.Check(configOf(s))
		var wrong *schema.Error
		switch {
		case err == nil:
		case errors.As(err, &wrong):
			misfits = append(misfits, Misfit{Name: p.name, Violations: wrong.Violations})
		default:
			misfits = append(misfits, Misfit{Name: p.name, Err: err})
		}
	}
	slices.SortStableFunc(misfits, func(a, b Misfit) int { return cmp.Compare(a.Name, b.Name) })
	// A running version and the file that waits to follow it may object to the same.
	return slices.CompactFunc(misfits, func(a, b Misfit) bool { return reflect.DeepEqual(a, b) }), nil
}
