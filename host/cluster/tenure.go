package cluster

import (
	"context"
	"math"
	"sync/atomic"
	"time"

	"github.com/berth-host/berth/host/spec"
)

// Tenure is the time in which this host owns a unit, from a take until the unit is given away
// or the lease is lost. All methods are safe for concurrent use.
type Tenure struct {
	fence   spec.Fence
	clock   func() time.Duration
	movable time.Duration // from when on it may be given away for balance

	renewed atomic.Int64 // when the lease was renewed, by the clock, or ended
	ctx     context.Context
	end     context.CancelFunc

	commands commands
}

const ended = math.MinInt64

func newTenure(f spec.Fence, clock func() time.Duration, renewed time.Duration) *Tenure {
	t := &Tenure{fence: f, clock: clock}
	t.ctx, t.end = context.WithCancel(context.Background())
	t.renewed.Store(int64(renewed))
	return t
}

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
func (t *Tenure) Done() <-chan struct{} { return t.ctx.Done() }

func (t *Tenure) finish() {
	t.renewed.Store(ended)
	t.end()
}

// afterDone calls f once the tenure has ended, unless stop is called before.
func (t *Tenure) afterDone(f func()) (stop func() bool) { return context.AfterFunc(t.ctx, f) }

// renew moves the lease, unless the tenure has ended.
func (t *Tenure) renew(at time.Duration) {
	for {
		old := t.renewed.Load()
		if old == ended || old >= int64(at) || t.renewed.CompareAndSwap(old, int64(at)) {
			return
		}
	}
}
