package run

import (
	"context"
	"reflect"

	"github.com/berth-host/berth/host/delivery"
	"github.com/berth-host/berth/host/delivery/joint"
	"github.com/berth-host/berth/host/plugin"
	"github.com/berth-host/berth/host/sandbox"
	"github.com/berth-host/berth/host/sandbox/lifetime"
	"github.com/berth-host/berth/host/shards"
	"github.com/berth-host/berth/host/spec"
)

// running is one version of a plugin at work.
type running struct {
	source eventSource
	units  []*delivery.Source // what source is of, in the order of the shards
	layout shards.Layout
	pool   *sandbox.Pool
	fair   spec.FairPolicy // in force; of Apply
	ended  func()          // called when it is drained
}

// eventSource is a delivery.Source, or a joint.Source of several.
type eventSource interface {
	Update(change func(*delivery.Policy))
	Probe()
	Stats() delivery.Stats
	Close(ctx context.Context) error
}

// Drain implements plugin.Running.
func (v *running) Drain(ctx context.Context) error {
	defer v.ended()
	err := v.pool.Drain(ctx)
	if e := v.source.Close(ctx); err == nil {
		err = e
	}
	return err
}

// Stats implements plugin.Running.
func (v *running) Stats() plugin.Stats {
	s := v.source.Stats()
	return plugin.Stats{Instances: v.pool.Instances(), Delivered: s.Delivered, Failed: s.Failed, Fuel: s.Fuel,
		Lag: s.Lag, Condition: plugin.Condition{State: s.Condition.State, Reason: s.Condition.Reason, Since: s.Condition.Since}}
}

// Apply implements plugin.Running.
func (v *running) Apply(s spec.Settings) {
	shared := reflect.DeepEqual(v.fair, s.Fair)
	v.source.Update(func(p *delivery.Policy) {
		p.Paused = s.Paused
		if !shared {
			p.Fair = sharing(s.Fair)
		}
	})
	v.fair = s.Fair
	v.pool.SetLogs(s.Logs)
}

// Instances get batches, uncommitted writes and the end of the ownership from the leases of the
// delivery.
type lease interface {
	sandbox.BatchLease
	sandbox.Uncommitted
	lifetime.Lease
}

var (
	_ lease = (*delivery.Lease)(nil)
	_ lease = (*joint.Lease)(nil)
)

// source adapts a delivery.Source to the sandbox.
type source struct{ *delivery.Source }

// Lease implements sandbox.Source.
func (s source) Lease() sandbox.Lease { return s.Source.Lease() }

// joined adapts a joint.Source to the sandbox.
type joined struct{ *joint.Source }

// Lease implements sandbox.Source.
func (s joined) Lease() sandbox.Lease { return s.Source.Lease() }
