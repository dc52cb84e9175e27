package plugin

import (
	"context"
	"slices"
	"strings"

	"github.com/berth-host/berth/host/spec"
)

// Repin takes in what is installed once that is known, where it was not before: a
// pin that was refused, or that there was none of, becomes the one of the list, and
// one that was refused and is not in the list goes. All others stay as they are. It
// returns when that is decided; the plugins are then loaded as by Start.
func (m *Manager) Repin(ctx context.Context, pins []spec.Pin) error {
	for _, p := range pins {
		if err := checkPin(p); err != nil {
			return err
		}
	}
	return m.ask(ctx, "take in the installed plugins", func(l *loop) {
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
