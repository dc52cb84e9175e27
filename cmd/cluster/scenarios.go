package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/berth-host/berth/cmd/cluster/internal/check"
	"github.com/berth-host/berth/cmd/cluster/internal/fleet"
	"github.com/berth-host/berth/cmd/cluster/internal/proxy"
)

// leasePast is a time after which the lease of a host that is away has ended for certain, and
// its units were taken.
const leasePast = 6 * time.Second

// scenarios returns the failure tests.
func scenarios() []scenario {
	return []scenario{
		{name: "kill", do: eachHost(kill), expect: takeover},
		{name: "stop", do: eachHost(stop), expect: takeover, long: true},
		{name: "drain", do: eachHost(drain), expect: handover},
		{name: "cut", do: eachHost(cut(proxy.Drop)), expect: takeover, long: true},
		{name: "half-open", do: eachHost(cut(proxy.HalfOpen)), expect: takeover, long: true},
		{name: "refuse", do: eachHost(cut(proxy.Refuse)), expect: takeover, long: true},
		{name: "slow network", do: eachHost(slow), long: true},
		{name: "slow disk", do: slowDisk, long: true},
		{name: "full disk", root: true, prepare: smallDisk, do: fullDisk, long: true},
		{name: "full WAL disk", root: true, settings: []string{"min_wal_size = 32MB", "max_wal_size = 32MB"}, prepare: smallWALDisk,
			do: fullWALDisk, long: true},
		{name: "database", do: database, long: true},
		{name: "failover", do: failover, long: true},
		{name: "asynchronous", do: asynchronous, long: true},
		{name: "clocks", prepare: clocks, do: wrongClocks, expect: takeover, long: true},
		{name: "operations", install: true, do: operations},
		{name: "shards", layout: fleet.Layout{Shards: 5}, do: eachHost(kill), expect: takeover},
		{name: "shards drain", layout: fleet.Layout{Shards: 5}, do: eachHost(drain), expect: handover},
		{name: "reshard", layout: fleet.Layout{Shards: 2}, pause: 4 * publishWait, do: reshard},
	}
}

// takeover expects that other hosts took the handlers soon.
func takeover(r check.Report, b bounds) error {
	if r.Takeover <= 0 {
		return errors.New("no handler was taken over: the fault hit none")
	}
	if r.Takeover >= b.takeover {
		return fmt.Errorf("a takeover lasted %v, over %v", r.Takeover, b.takeover)
	}
	return nil
}

// handover expects that a host that is shut down gives its handlers away in time, and that
// nothing is done twice.
func handover(r check.Report, b bounds) error {
	switch {
	case r.Duplicates > 0:
		return fmt.Errorf("%d duplicates, although no host failed", r.Duplicates)
	case r.Gap >= b.gap:
		return fmt.Errorf("a handler began nothing for %v, over %v", r.Gap, b.gap)
	}
	return nil
}

// eachHost does something to one host after the other, with calm between.
func eachHost(do func(context.Context, *trial, *fleet.Host) error) func(context.Context, *trial) error {
	return func(ctx context.Context, t *trial) error {
		for round := range t.rounds {
			h := t.Hosts[round%len(t.Hosts)]
			if err := do(ctx, t, h); err != nil {
				return fmt.Errorf("round %d, %s: %w", round+1, h.Name, err)
			}
			if err := t.load.AwaitMore(ctx, t.calm); err != nil {
				return fmt.Errorf("round %d, after %s: %w", round+1, h.Name, err)
			}
		}
		return nil
	}
}

// wait waits for a time that the fault itself lasts.
func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func kill(ctx context.Context, _ *trial, h *fleet.Host) error {
	if err := h.Kill(); err != nil {
		return err
	}
	if err := wait(ctx, leasePast); err != nil {
		return err
	}
	return h.Start(ctx)
}

func stop(ctx context.Context, _ *trial, h *fleet.Host) error {
	if err := h.Stop(); err != nil {
		return err
	}
	if err := wait(ctx, leasePast); err != nil {
		return errors.Join(err, h.Continue())
	}
	if err := h.Continue(); err != nil {
		return err
	}
	return h.AwaitReady(ctx) // it joins again by itself
}

func drain(ctx context.Context, t *trial, h *fleet.Host) error {
	if err := h.Terminate(); err != nil {
		return err
	}
	if err := t.load.AwaitMore(ctx, t.calm); err != nil {
		return err
	}
	return h.Start(ctx)
}

// cut breaks the network between a host and the server in some way.
func cut(mode proxy.Mode) func(context.Context, *trial, *fleet.Host) error {
	return func(ctx context.Context, _ *trial, h *fleet.Host) error {
		h.Cut(mode)
		err := wait(ctx, leasePast)
		h.Heal()
		if err != nil {
			return err
		}
		return h.AwaitReady(ctx)
	}
}

// slow makes each answer of the server late for one host, by less than a lease lasts.
func slow(ctx context.Context, t *trial, h *fleet.Host) error {
	h.Proxy.Delay(40 * time.Millisecond)
	defer h.Proxy.Delay(0)
	return t.load.AwaitMore(ctx, t.calm)
}

// database kills the server with all its processes and starts it again.
func database(ctx context.Context, t *trial) error {
	for round := range t.rounds {
		if err := t.Server.Kill(); err != nil {
			return err
		}
		// Shorter and longer than a lease.
		if err := wait(ctx, time.Duration(round%2)*leasePast); err != nil {
			return err
		}
		if err := t.Server.Start(); err != nil {
			return err
		}
		if err := t.load.AwaitMore(ctx, t.calm); err != nil {
			return fmt.Errorf("round %d: %w", round+1, err)
		}
	}
	return nil
}

// failover kills the server that has a synchronous standby and promotes that, again and again.
func failover(ctx context.Context, t *trial) error {
	for round := range t.rounds {
		standby, err := t.Server.Standby()
		if err != nil {
			return fmt.Errorf("round %d: %w", round+1, err)
		}
		err = t.load.AwaitMore(ctx, t.calm)
		if err == nil {
			err = t.Server.Kill()
		}
		if err == nil {
			err = standby.Promote()
		}
		if err != nil {
			standby.Close()
			return fmt.Errorf("round %d: %w", round+1, err)
		}
		t.Replace(standby)
		if err := t.load.AwaitMore(ctx, t.calm); err != nil {
			return fmt.Errorf("round %d, after the promotion: %w", round+1, err)
		}
	}
	return nil
}
