package run

import (
	"context"
	"time"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/plugin"
	"github.com/berth-host/berth/host/sandbox"
)

// probeDrain bounds the drain of a plugin that was started as a probe.
const probeDrain = 5 * time.Second

// Probe implements plugin.Runner: it starts an instance until that waits for an event,
// and drains it.
func (r *Runner) Probe(ctx context.Context, version plugin.Spec) error {
	capabilities, err := r.capabilities(version)
	if err != nil {
		return err
	}
	limits := version.Settings.Limits
	limits.Concurrency = 1
	pool, err := version.Module.(*sandbox.Module).NewPool(ctx, sandbox.PoolConfig{
		Name:         version.Name,
		Source:       emptySource{},
		Limits:       limits,
		Settings:     string(version.Settings.Config),
		Capabilities: capabilities,
		Logger:       r.Logger,
	})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), probeDrain)
	defer cancel()
	_ = pool.Drain(ctx) // the start has succeeded; an instance that does not end is stopped
	return nil
}

// emptySource is a sandbox.Source without events.
type emptySource struct{}

// Lease implements sandbox.Source.
func (emptySource) Lease() sandbox.Lease { return emptyLease{} }

// TryNext implements sandbox.Source.
func (emptySource) TryNext() (a event.Attempt, ok bool) { return a, false }

// Demand implements sandbox.Source.
func (emptySource) Demand() <-chan struct{} { return nil }

// Done implements sandbox.Source.
func (emptySource) Done(event.Attempt, event.Outcome) {}

// emptyLease is a Lease without attempts.
type emptyLease struct{}

// NextBuffered implements sandbox.Lease.
func (emptyLease) NextBuffered() (event.Taken, bool) { return event.Taken{}, false }

// Next implements sandbox.Lease.
func (emptyLease) Next(stop, retire <-chan struct{}) (event.Taken, bool) {
	select {
	case <-stop:
	case <-retire:
	}
	return event.Taken{}, false
}

// Done implements sandbox.Lease.
func (emptyLease) Done(*event.Outcome) {}

// Flush implements sandbox.Lease.
func (emptyLease) Flush() {}

// Close implements sandbox.Lease.
func (emptyLease) Close() {}
