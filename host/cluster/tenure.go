package cluster

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/berth-host/berth/host/spec"
)

// Tenure is the time in which this host owns a unit, from a take until the unit is given away
// or the lease is lost. All methods are safe for concurrent use.
type Tenure struct {
	fence spec.Fence
	clock func() time.Duration
	taken time.Duration // by the clock
	from  uint64        // the number of the first renewal that was sent after the take
	brief bool          // it may be given away soon after the take

	renewed atomic.Int64 // when the lease was renewed, by the clock; ended: math.MinInt64
	done    chan struct{}
	end     sync.Once
}

const ended = -1 << 63

// Fence returns the unit and the epoch of the tenure.
func (t *Tenure) Fence() spec.Fence { return t.fence }

// Valid reports whether an attempt may begin: the tenure has not ended and the lease was renewed
// within BeginFor. It reads the clock, so it is right also after the process was stopped.
func (t *Tenure) Valid() bool { return t.validAt(t.clock()) }

func (t *Tenure) validAt(now time.Duration) bool { return t.within(now, BeginFor) }

func (t *Tenure) within(now, limit time.Duration) bool {
	renewed := t.renewed.Load()
	return renewed != ended && now-time.Duration(renewed) < limit
}

// Done returns a channel that is closed at the end of the tenure: when the unit was given
// away or lost, or when the lease was not renewed for LeaseFor. Open attempts are to be cancelled.
func (t *Tenure) Done() <-chan struct{} { return t.done }

func (t *Tenure) finish() {
	t.end.Do(func() {
		t.renewed.Store(ended)
		close(t.done)
	})
}

// renew moves the lease, unless the tenure has ended.
func (t *Tenure) renew(at time.Duration) {
	for {
		old := t.renewed.Load()
		if old == ended || old >= int64(at) || t.renewed.CompareAndSwap(old, int64(at)) {
			return
		}
	}
}
