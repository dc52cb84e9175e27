package run

import (
	"context"
	"time"

	"github.com/berth-host/berth/host/delivery"
	"github.com/berth-host/berth/host/plugin"
	"github.com/berth-host/berth/host/sandbox"
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
	fair    spec.FairPolicy // that policy was made from
	pool    *sandbox.Pool
}

// Promote implements plugin.Prepared.
func (v *prepared) Promote(ctx context.Context) (plugin.Running, error) {
	src, err := v.runner.Dispatcher.Open(ctx, v.name, v.module, v.policy)
	if err != nil {
		return nil, err
	}
	v.pool.Attach(source{src})
	src.Update(func(p *delivery.Policy) {
		v.policy.Paused = p.Paused // Apply may have changed it during the start
		*p = v.policy
	})
	src.Probe() // the new version may succeed where the former one failed
	v.runner.Versions.Activated(ctx, v.name, v.module, v.version)
	r := &running{source: src, pool: v.pool, fair: v.fair}
	r.ended = func() { v.runner.live.remove(v.name, r) }
	v.runner.live.add(v.name, r)
	return r, nil
}

// Discard implements plugin.Prepared.
func (v *prepared) Discard() {
	ctx, cancel := context.WithTimeout(context.Background(), discardTimeout)
	defer cancel()
	_ = v.pool.Drain(ctx) // an instance that does not end in time is stopped
}
