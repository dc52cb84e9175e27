package member

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"github.com/berth-host/berth/host/cluster"
	"github.com/berth-host/berth/host/delivery"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/wire"
)

// Handlers runs handlers; see delivery.Dispatcher.
type Handlers interface {
	Claim(ctx context.Context, handler string) error
	Own(ctx context.Context, handler string, t delivery.Tenure) error
	Disown(ctx context.Context, handler string) error
}

// Issues keeps the issues of the handlers that run here; see issues.Tracker.
type Issues interface {
	Own(ctx context.Context, f spec.Fence) error
	Release(ctx context.Context, handler string) error
}

// Units says which units run here; see run.Runner.
type Units interface {
	Runnable(plugin string) []string
	Admit(ctx context.Context, unit string) (until uint64, err error)
}

// WorkConfig configures a Work. All fields are required.
type WorkConfig struct {
	Handlers Handlers
	Issues   Issues
	Units    Units
	// Plugins returns the plugins of this host, and Installed the digest of the module that the
	// cluster has installed under a name; "" for none.
	Plugins   func() []wire.Plugin
	Installed func(name string) string
	Logger    *slog.Logger
}

// Work implements cluster.Worker: its units are the handlers. It is safe for concurrent use.
type Work struct{ cfg WorkConfig }

// NewWork returns a Work that runs nothing yet.
func NewWork(cfg WorkConfig) *Work { return &Work{cfg} }

// Units implements cluster.Worker: those of the plugins whose version here is the one that the
// cluster has installed.
func (w *Work) Units() (units []string) {
	for name := range w.Modules() {
		units = append(units, w.cfg.Units.Runnable(name)...)
	}
	slices.Sort(units)
	return units
}

// Modules returns the digests of the modules that can run here, by the plugin's name.
func (w *Work) Modules() map[string]string {
	modules := make(map[string]string)
	for _, p := range w.cfg.Plugins() {
		switch p.State {
		case wire.Active, wire.Standby, wire.Paused, wire.BreakerOpen, wire.Stuck:
			if want := w.cfg.Installed(p.Name); want == "" || want == p.SHA256 {
				modules[p.Name] = p.SHA256
			}
		}
	}
	return modules
}

// Inactive returns the names of the other plugins of this host, ascending.
func (w *Work) Inactive() (names []string) {
	modules := w.Modules()
	for _, p := range w.cfg.Plugins() {
		if modules[p.Name] == "" {
			names = append(names, p.Name)
		}
	}
	slices.Sort(names)
	return names
}

// Own implements cluster.Worker.
func (w *Work) Own(ctx context.Context, unit string, t *cluster.Tenure) error {
	until, err := w.cfg.Units.Admit(ctx, unit)
	if err != nil {
		return fmt.Errorf("start %s: %w", unit, err)
	}
	if err := w.cfg.Issues.Own(ctx, t.Fence()); err != nil {
		return fmt.Errorf("start %s: %w", unit, err)
	}
	if until == 0 { // its position may have been removed since it was opened; a former shard has one
		if err := w.cfg.Handlers.Claim(ctx, unit); err != nil {
			return errors.Join(fmt.Errorf("start %s: %w", unit, err), w.cfg.Issues.Release(ctx, unit))
		}
	}
	if err := w.cfg.Handlers.Own(ctx, unit, tenure{t, until}); err != nil {
		return errors.Join(fmt.Errorf("start %s: %w", unit, err), w.cfg.Issues.Release(ctx, unit))
	}
	w.cfg.Logger.Info("this host runs the handler now", spec.LogUnit(unit), "epoch", t.Fence().Epoch)
	return nil
}

// tenure is a delivery.Tenure with the Seq up to which the unit reads.
type tenure struct {
	*cluster.Tenure
	until uint64
}

// Until implements delivery.Tenure.
func (t tenure) Until() uint64 { return t.until }

// Disown implements cluster.Worker.
func (w *Work) Disown(ctx context.Context, unit string) error {
	if err := w.cfg.Handlers.Disown(ctx, unit); err != nil {
		return fmt.Errorf("stop %s: %w", unit, err)
	}
	if err := w.cfg.Issues.Release(ctx, unit); err != nil {
		w.cfg.Logger.Warn("latest failures of a handler are missing in its issues", spec.LogUnit(unit), "error", err)
	}
	w.cfg.Logger.Info("this host does not run the handler any more", spec.LogUnit(unit))
	return nil
}
