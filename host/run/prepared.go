package run

import (
	"context"
	"errors"
	"time"

	"github.com/berth-host/berth/host/delivery"
	"github.com/berth-host/berth/host/delivery/joint"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/plugin"
	"github.com/berth-host/berth/host/sandbox"
	"github.com/berth-host/berth/host/shards"
	"github.com/berth-host/berth/host/spec"
)

// discardTimeout bounds the drain of a version that was not promoted.
const discardTimeout = 5 * time.Second

// prepared is a version whose pool has no source of events yet.
type prepared struct {
	runner  *Runner
	name    string
	module  string // SHA-256, hex
	version string // of its manifest
	policy  delivery.Policy
	layout  shards.Layout
	fair    spec.FairPolicy // that policy was made from
	pool    *sandbox.Pool
}

// Promote implements plugin.Prepared.
func (v *prepared) Promote(ctx context.Context) (plugin.Running, error) {
	units, err := v.open(ctx)
	if err != nil {
		return nil, err
	}
	r := &running{units: units, layout: v.layout, pool: v.pool, fair: v.fair}
	if len(units) == 1 {
		r.source = units[0]
		v.pool.Attach(source{units[0]})
	} else {
		all := joint.New(units)
		r.source = all
		v.pool.Attach(joined{all})
	}
	for shard, src := range units {
		policy := v.policyOf(shard)
		src.Update(func(p *delivery.Policy) {
			policy.Paused = p.Paused // Apply may have changed it during the start
			*p = policy
		})
	}
	r.source.Probe() // the new version may succeed where the former one failed
	v.runner.Versions.Activated(ctx, v.name, v.module, v.version)
	r.ended = func() { v.runner.live.remove(v.name, r) }
	v.runner.live.add(v.name, r)
	return r, nil
}

// open opens the units, in order.
func (v *prepared) open(ctx context.Context) (units []*delivery.Source, err error) {
	for shard, unit := range v.layout.Units(v.name) {
		src, err := v.runner.Dispatcher.Open(ctx, unit, v.module, v.policyOf(shard))
		if err != nil {
			return nil, errors.Join(err, closeAll(ctx, units))
		}
		units = append(units, src)
	}
	return units, nil
}

// closeAll closes units that no pool is attached to.
func closeAll(ctx context.Context, units []*delivery.Source) error {
	var errs []error
	for _, src := range units {
		errs = append(errs, src.Close(context.WithoutCancel(ctx)))
	}
	return errors.Join(errs...)
}

// policyOf returns the policy of a shard.
func (v *prepared) policyOf(shard int) delivery.Policy {
	policy := v.policy
	if v.layout.Shards > 1 {
		policy.Mine = func(rec event.Record) bool { return shardOf(v.layout, v.policy.Key, rec) == shard }
	}
	return policy
}

// Discard implements plugin.Prepared.
func (v *prepared) Discard() {
	ctx, cancel := context.WithTimeout(context.Background(), discardTimeout)
	defer cancel()
	_ = v.pool.Drain(ctx) // an instance that does not end in time is stopped
}
