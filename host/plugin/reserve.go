package plugin

import (
	"context"

	"github.com/berth-host/berth/host/fault"
)

// Changes of a name, of which there is one at a time. The loop's map changing holds them.
const (
	beingInstalled   = "installed"
	beingUninstalled = "uninstalled"
	beingChanged     = "changed" // by a decision of the operator
)

func underWay(name, change string) error {
	return fault.New(fault.Conflict, "%s is being %s; try again when that is done", name, change)
}

// reserve reserves a name for a change, if check, which the loop calls, allows it. It
// waits for a decision under way, and refuses while the name is being installed or
// uninstalled. The caller deletes the entry of changing.
func (m *Manager) reserve(ctx context.Context, doing, name, change string, check func(*loop) error) error {
	for {
		wait, refusal := false, error(nil)
		if err := m.ask(ctx, doing, func(l *loop) {
			switch now := l.changing[name]; now {
			case "":
				if refusal = check(l); refusal == nil {
					l.changing[name] = change
				}
			case beingChanged:
				wait = true
			default:
				refusal = underWay(name, now)
			}
		}); err != nil {
			return err
		}
		if !wait {
			return refusal
		}
		if err := m.when(ctx, doing, func(l *loop) bool { return l.changing[name] != beingChanged }); err != nil {
			return err
		}
	}
}
