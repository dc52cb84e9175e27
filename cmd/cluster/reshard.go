package main

import (
	"context"
	"fmt"
	"time"

	"github.com/berth-host/berth/cmd/cluster/internal/fleet"
)

// layouts are how the handlers are divided, one after the other. The order of a handler without
// shards does not change: that takes effect at once.
var layouts = []fleet.Layout{{Shards: 5}, {Shards: 5, OrderBy: fleet.ByGroup}, {Shards: 1}, {Shards: 3}, {Shards: 4, OrderBy: fleet.ByGroup}, {Shards: 2}}

// reshard changes how the handlers are divided, again and again, and kills a host meanwhile, each
// time a little later.
func reshard(ctx context.Context, t *trial) error {
	changes := max(len(layouts)/2, t.rounds)
	var longest time.Duration
	for n := range changes {
		l := layouts[n%len(layouts)]
		began := time.Now()
		if err := t.SetLayout(l); err != nil {
			return err
		}
		if n%2 == 0 {
			h := t.Hosts[n/2%len(t.Hosts)]
			if err := wait(ctx, time.Duration(n)*300*time.Millisecond%(3*time.Second)); err != nil {
				return err
			}
			if err := h.Kill(); err != nil {
				return err
			}
			if err := h.Start(ctx); err != nil {
				return err
			}
		}
		if err := t.awaitLayout(ctx, l); err != nil {
			return fmt.Errorf("change %d, to %+v: %w", n+1, l, err)
		}
		longest = max(longest, time.Since(began))
		if err := t.load.AwaitMore(ctx, t.calm); err != nil {
			return fmt.Errorf("change %d, to %+v: %w", n+1, l, err)
		}
	}
	t.note("%d changes; the longest took %.1f s, and in each second one a host was killed", changes, longest.Seconds())
	return nil
}

// awaitLayout returns when every recording handler is divided so, by what the database has.
func (t *trial) awaitLayout(ctx context.Context, l fleet.Layout) error {
	orderBy := "" // of no meaning with one shard
	if l.Shards > 1 {
		orderBy = l.Key()
	}
	return fleet.Until(ctx, answerLimit, func(ctx context.Context) error {
		n, err := t.Server.Count(ctx, `SELECT count(*) FROM berth.shared, LATERAL (SELECT convert_from(body, 'UTF8')::jsonb) AS generation (g)
			WHERE kind = 'shards' AND body IS NOT NULL AND coalesce(g ->> 'stage', '') = '' AND (g -> 'layout' ->> 'shards')::int = $1
			AND coalesce(g -> 'layout' ->> 'order_by', '') = $2`, l.Shards, orderBy)
		if err == nil && n != len(t.Handlers()) {
			err = fmt.Errorf("%d of %d handlers are divided so", n, len(t.Handlers()))
		}
		return err
	})
}
