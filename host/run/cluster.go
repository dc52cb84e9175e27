package run

import (
	"github.com/berth-host/berth/host/cluster"
	"github.com/berth-host/berth/host/telemetry/figures"
)

// ClusterFigures returns the function that returns the figures of this host as a member of its
// cluster; nil while joined returns nil.
func ClusterFigures(joined func() *cluster.Cluster) func() *figures.Cluster {
	return func() *figures.Cluster {
		c := joined()
		if c == nil {
			return nil
		}
		s := c.Stats()
		return &figures.Cluster{Members: s.Members, Units: s.Owned, Waiting: s.Waiting, Renewals: uint64(s.Beats), Failed: uint64(s.BeatFailures),
			Takes: uint64(s.Takes), Gives: uint64(s.Gives), Losses: uint64(s.Losses), Ended: uint64(s.Expired),
			LeaseAge: s.LeaseAge, ClockOffset: s.ClockOffset}
	}
}
