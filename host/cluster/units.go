package cluster

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
)

// expiring is the name under which the removal of dead members is busy.
const expiring = ""

// reconcile starts what brings the units of this host closer to the assignment: it is called
// after each renewal, with the view of it. What it starts renews the view at its end.
func (c *Cluster) reconcile(ctx context.Context) {
	units, now := c.units(), c.clock()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.noteOffered(now, units)
	if dead := c.sight.dead(c.self); len(dead) > 0 && c.begin(expiring) {
		c.stats.Expired += len(dead)
		c.start(ctx, expiring, func() bool { return c.expire(ctx, dead) })
	}
	c.stopEnded(ctx)

	owners := c.assignment()
	units = c.runnable(now, units)
	c.releaseSurplus(ctx, now, units, owners)
	c.visitOrphans(ctx, now, owners)
	for _, unit := range units {
		u, _ := c.unit(unit)
		free := u.Owner == "" || u.Owner == c.self
		if owners[unit] == c.self && free && c.tenures[unit] == nil && c.taking < maxTakes && c.begin(unit) {
			c.taking++
			c.start(ctx, unit, func() bool { return c.take(ctx, unit, u) })
		}
	}
	for _, u := range c.view.Units {
		if u.Owner == c.self && owners[u.Name] != c.self && c.tenures[u.Name] == nil && c.begin(u.Name) {
			c.start(ctx, u.Name, func() bool { return c.give(ctx, spec.Fence{Unit: u.Name, Epoch: u.Epoch}) })
		}
	}
}

// noteOffered notes since when this host can run each of these units without a gap.
func (c *Cluster) noteOffered(now time.Duration, units []string) {
	maps.DeleteFunc(c.offered, func(unit string, _ time.Duration) bool {
		_, can := slices.BinarySearch(units, unit)
		return !can
	})
	for _, unit := range units {
		if _, noted := c.offered[unit]; !noted {
			c.offered[unit] = now
		}
	}
}

// releaseSurplus gives units away: all of them when this host drains, those that it can no longer
// run, and for balance a few at a time.
func (c *Cluster) releaseSurplus(ctx context.Context, now time.Duration, runnable []string, owners map[string]string) {
	for unit, t := range c.tenures {
		_, can := slices.BinarySearch(runnable, unit)
		stop := c.draining || c.leaving || !can
		move := owners[unit] != "" && owners[unit] != c.self && now >= t.movable && len(c.rebalancing) < maxRebalancing
		if !stop && !move || !c.begin(unit) {
			continue
		}
		if !stop {
			c.rebalancing[unit] = now + c.cfg.Grace + rebalanceFor
		}
		c.start(ctx, unit, func() bool { return c.release(ctx, t) })
	}
}

// HostsWith returns the names of the other live hosts that have a plugin, active or not, ascending.
func (c *Cluster) HostsWith(plugin string) (hosts []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range c.view.Members {
		_, active := m.Modules[plugin]
		if m.ID != c.self && c.sight.alive(m.ID) && (active || slices.Contains(m.Inactive, plugin)) {
			hosts = append(hosts, m.Name)
		}
	}
	slices.Sort(hosts)
	return hosts
}

// assignment returns the owners that the units should have by the view.
func (c *Cluster) assignment() map[string]string {
	var hosts []spec.Member
	for _, m := range c.view.Members {
		draining := m.Draining
		if m.ID == c.self {
			draining = c.reluctant()
		}
		if !draining && c.sight.alive(m.ID) {
			hosts = append(hosts, m.Member)
		}
	}
	owners := make(map[string]string, len(c.view.Units))
	for _, u := range c.view.Units {
		owners[u.Name] = u.Owner
	}
	return assign(hosts, owners)
}

// reluctant reports whether this host takes no units.
func (c *Cluster) reluctant() bool { return c.draining || c.leaving || c.rival != nil }

// begin marks a unit as busy. It reports false when it is already.
func (c *Cluster) begin(unit string) bool {
	if c.busy[unit] {
		return false
	}
	c.busy[unit] = true
	return true
}

// start runs what the unit is busy with. After a failure the unit stays busy for a while, so
// that it is not tried again at once.
func (c *Cluster) start(ctx context.Context, unit string, run func() (ok bool)) {
	c.work.Go(func() {
		if !run() {
			select {
			case <-time.After(minRetry):
			case <-ctx.Done():
			}
		}
		c.mu.Lock()
		delete(c.busy, unit)
		c.mu.Unlock()
		if ctx.Err() == nil {
			c.Refresh()
		}
	})
}

func (c *Cluster) worker(unit string) Worker {
	if _, job := c.cfg.Jobs[unit]; job {
		return c.jobs
	}
	return c.cfg.Worker
}

func (c *Cluster) expire(ctx context.Context, dead []spec.Beating) bool {
	call, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	for _, m := range dead {
		c.log.Info("end the lease of a host that has not renewed it: its units become free", "member", m.ID)
	}
	if err := c.cfg.Ledger.Expire(call, dead); err != nil {
		if ctx.Err() == nil {
			c.log.Warn("end the lease of hosts: this is tried again", "error", err)
		}
		return false
	}
	return true
}

// acquire takes a unit and returns its tenure, or nil.
func (c *Cluster) acquire(ctx context.Context, unit string, seen spec.Unit) *Tenure {
	c.mu.Lock()
	renewed := c.renewed // the take is refused unless this host is a member then
	c.mu.Unlock()
	call, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	epoch, err := c.cfg.Ledger.Take(call, unit, seen, c.self)
	if err != nil {
		if !fault.Is(err, fault.Conflict) && ctx.Err() == nil {
			c.log.Warn("take a unit", "unit", unit, "error", err)
		}
		return nil
	}
	t := newTenure(spec.Fence{Unit: unit, Epoch: epoch}, c.clock, renewed)
	now := c.clock()
	c.mu.Lock()
	defer c.mu.Unlock()
	// Hosts that start together, or that learn of new shards one after the other, share the units at once.
	if since, offered := c.offered[unit]; offered && now-since >= joinFor {
		t.movable = now + c.cfg.Hold
	}
	c.stats.Takes++
	c.tenures[unit] = t
	return t
}

// take takes a unit and starts it.
func (c *Cluster) take(ctx context.Context, unit string, seen spec.Unit) bool {
	t := c.acquire(ctx, unit, seen)
	defer c.taken()
	if t == nil {
		return true
	}
	own, cancel := untilDone(spec.WithFence(ctx, t.fence), t)
	defer cancel()
	err := c.worker(unit).Own(own, unit, t)
	switch {
	case err == nil:
		c.mu.Lock()
		delete(c.failed, unit)
		c.mu.Unlock()
		c.log.Debug("this host runs a unit", "unit", unit, "epoch", t.fence.Epoch)
		return true
	case own.Err() == nil && fault.Is(err, fault.Conflict):
		c.log.Debug("a unit does not run here now: it is given back", "unit", unit, "reason", err)
		c.mu.Lock()
		c.failed[unit] = failure{until: c.clock() + minRetry}
		c.mu.Unlock()
	case own.Err() == nil:
		c.log.Error("start a unit: it is given back, and tried again later", "unit", unit, "error", err)
		now := c.clock()
		c.mu.Lock()
		wait := min(max(2*c.failed[unit].wait, minRetry), maxRetry)
		c.failed[unit] = failure{now + wait, wait}
		c.mu.Unlock()
	}
	c.forget(t)
	return c.give(ctx, t.fence)
}

func (c *Cluster) taken() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.taking--
}

// untilDone returns a context that ends with the tenure.
func untilDone(ctx context.Context, t *Tenure) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	stop := t.afterDone(cancel)
	return ctx, func() { stop(); cancel() }
}

// release stops a unit, waiting for its attempts, and gives it away.
func (c *Cluster) release(ctx context.Context, t *Tenure) bool {
	if !c.stop(ctx, t) {
		return false
	}
	c.forget(t)
	return c.give(ctx, t.fence)
}

// stop stops a unit and reports whether nothing of it runs any more. It waits for its commands and
// attempts for as long as Config.Grace and the tenure last, then they are cancelled.
func (c *Cluster) stop(ctx context.Context, t *Tenure) bool {
	grace, cancel := context.WithTimeout(ctx, c.cfg.Grace)
	defer cancel()
	open, stop := untilDone(grace, t)
	defer stop()
	t.commands.close(open)
	if err := c.worker(t.fence.Unit).Disown(open, t.fence.Unit); err != nil {
		c.log.Error("stop a unit: this is tried again", "unit", t.fence.Unit, "error", err)
		return false
	}
	return true
}

// stopEnded stops the units whose tenure has ended.
func (c *Cluster) stopEnded(ctx context.Context) {
	for unit, t := range c.tenures {
		if t.renewed.Load() == ended && c.begin(unit) {
			c.start(ctx, unit, func() bool {
				if !c.stop(ctx, t) {
					return false
				}
				c.forget(t)
				return true
			})
		}
	}
}

// lose ends a tenure that this host did not give up.
func (c *Cluster) lose(t *Tenure, why string) {
	if t.renewed.Load() == ended {
		return
	}
	t.finish()
	c.stats.Losses++
	c.log.Warn("this host has lost a unit: "+why, "unit", t.fence.Unit, "epoch", t.fence.Epoch)
}

// forget ends a tenure whose unit is stopped.
func (c *Cluster) forget(t *Tenure) {
	t.finish()
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.tenures, t.fence.Unit)
}

// give frees a unit of this host that does not run.
func (c *Cluster) give(ctx context.Context, f spec.Fence) bool {
	call, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	err := c.cfg.Ledger.Give(call, f)
	if err != nil && !errors.Is(err, spec.ErrFenced) && ctx.Err() == nil {
		c.log.Warn("give a unit away: this is tried again", "unit", f.Unit, "error", err)
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stats.Gives++
	return true
}
