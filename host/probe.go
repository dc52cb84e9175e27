package host

import (
	"context"
	"time"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/plugin"
	"github.com/berth-host/berth/host/sandbox"
)

// probeDrain bounds how long a plugin that was only tried may take to end.
const probeDrain = 5 * time.Second

// Probe implements plugin.Runner: an instance gets as far as waiting for an
// event, of which there is none, and is told to end.
func (r *runner) Probe(ctx context.Context, spec plugin.Spec) error {
	capabilities, err := r.capabilities(spec)
	if err != nil {
		return err
	}
	limits := spec.Settings.Limits
	limits.Concurrency = 1
	pool, err := spec.Module.(*sandbox.Module).NewPool(ctx, sandbox.PoolConfig{
		Name:         spec.Name,
		Source:       emptySource{},
		Limits:       limits,
		Settings:     string(spec.Settings.Config),
		Capabilities: capabilities,
		Logger:       r.logger,
	})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), probeDrain)
	defer cancel()
	// One that will not end has answered all the same; it is stopped.
	_ = pool.Drain(ctx)
	return nil
}

// emptySource is a sandbox.Source without any event.
type emptySource struct{}

// Hand implements sandbox.Source.
func (emptySource) Hand() sandbox.Hand { return emptyLease{} }

// TryNext implements sandbox.Source.
func (emptySource) TryNext() (a event.Attempt, ok bool) { return a, false }

// Demand implements sandbox.Source.
func (emptySource) Demand() <-chan struct{} { return nil }

// Done implements sandbox.Source.
func (emptySource) Done(event.Attempt, event.Outcome) {}

// emptyLease is a Hand that gets nothing.
type emptyLease struct{}

// Held implements sandbox.Hand.
func (emptyLease) Held() (event.Taken, bool) { return event.Taken{}, false }

// Next implements sandbox.Hand.
func (emptyLease) Next(stop, retire <-chan struct{}) (event.Taken, bool) {
	select {
	case <-stop:
	case <-retire:
	}
	return event.Taken{}, false
}

// Done implements sandbox.Hand.
func (emptyLease) Done(*event.Outcome) bool { return true }

// Rest implements sandbox.Hand.
func (emptyLease) Rest() {}

// Close implements sandbox.Hand.
func (emptyLease) Close() {}
