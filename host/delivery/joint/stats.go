package joint

import (
	"fmt"

	"github.com/berth-host/berth/host/delivery"
	"github.com/berth-host/berth/host/wire"
)

// Stats returns the sums of the present values of the shards that run here. The events of the log
// that are not read are counted by each shard, which takes its part of them: Lag has the mean.
// Condition is the worst one of the shards that run here, wire.Standby only if none does.
func (s *Source) Stats() (sum delivery.Stats) {
	unread, worst := uint64(0), -1
	for i, one := range s.shards {
		st := one.Stats()
		sum.Delivered += st.Delivered
		sum.Failed += st.Failed
		sum.Fuel += st.Fuel
		sum.Open += st.Open
		unread += st.Lag - st.Open
		if r := rank(st.Condition); r > worst {
			if worst, sum.Condition = r, st.Condition; st.Condition.State == wire.Stuck || st.Condition.State == wire.BreakerOpen {
				sum.Condition.Reason = fmt.Sprintf("shard %d: %s", i, sum.Condition.Reason)
			}
		}
	}
	n := uint64(len(s.shards))
	sum.Lag = sum.Open + (unread+n-1)/n
	return sum
}

// rank is higher for a condition that counts more.
func rank(c delivery.Condition) int {
	switch c.State {
	case wire.Standby:
		return 0
	case wire.BreakerOpen:
		return 2
	case wire.Stuck:
		return 3
	case wire.Paused:
		return 4 // of all shards
	}
	return 1
}
