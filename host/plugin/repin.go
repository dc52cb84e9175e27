package plugin

import (
	"context"
	"slices"
	"strings"

	"github.com/berth-host/berth/host/spec"
)

// Repin sets the pins once the list of installed plugins can be read: it adds the missing
// ones, and replaces or removes those with a Refusal. The others are unchanged. It
// returns before the plugins are loaded.
func (m *Manager) Repin(ctx context.Context, pins []spec.Pin) error {
	for _, p := range pins {
		if err := checkPin(p); err != nil {
			return err
		}
	}
	return m.ask(ctx, "set the installed plugins", func(l *loop) {
		for _, p := range pins {
			if f := l.files[pinKey(p.Name)]; f == nil || f.pin.Refusal != "" {
				l.pin(p, nil)
			}
		}
		var gone []string
		for key, f := range l.files {
			listed := slices.ContainsFunc(pins, func(p spec.Pin) bool { return pinKey(p.Name) == key })
			if f.pin != nil && f.pin.Refusal != "" && !listed {
				gone = append(gone, key)
			}
		}
		if len(gone) > 0 {
			slices.SortFunc(gone, strings.Compare)
			l.forget(gone...)
		}
	})
}
