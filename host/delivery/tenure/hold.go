package tenure

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/berth-host/berth/host/spec"
)

// retryAfter is how long after a refusal of MayStart the handler asks again.
const retryAfter = 100 * time.Millisecond

// Tenure is the time in which this host owns a handler. It is safe for concurrent use.
type Tenure interface {
	// Fence returns the handler and the epoch in which this host owns it.
	Fence() spec.Fence
	// Valid reports whether an attempt may begin now. It is quick.
	Valid() bool
	// Done is closed when open attempts have to be cancelled: another host may own the handler.
	Done() <-chan struct{}
}

// Bounded is a Tenure of a handler that reads up to a Seq only; see delivery.Policy.Until, which
// it sets each time the handler begins to run.
type Bounded interface {
	Tenure
	Until() uint64 // 0: no bound
}

// Hold is a Tenure in use. A nil Hold is that of the only host: everything may start, in
// epoch 0. It is safe for concurrent use.
type Hold struct {
	tenure  Tenure
	fence   spec.Fence
	attempt context.Context // of the attempts
	cancel  context.CancelFunc
	leaving context.Context // ends when the handler is to be given up
	leave   context.CancelFunc
	lost    atomic.Bool // nothing that is written is stored
	asks    atomic.Bool // a timer of MayStart runs
}

// Waiter is a handler whose attempts may not begin.
type Waiter interface{ Recheck() }

// New returns a Hold of a tenure.
func New(t Tenure) *Hold {
	x := &Hold{tenure: t, fence: t.Fence()}
	x.attempt, x.cancel = context.WithCancel(spec.WithFence(context.Background(), x.fence))
	x.leaving, x.leave = context.WithCancel(context.Background())
	return x
}

// Valid reports whether an attempt may begin now.
func (x *Hold) Valid() bool { return x == nil || !x.lost.Load() && x.tenure.Valid() }

// MayStart is Valid; when no attempt may begin, it has the handler ask again a moment later, once
// for any number of calls until then.
func (x *Hold) MayStart(h Waiter) bool {
	if x.Valid() {
		return true
	}
	if x.leaving.Err() == nil && !x.asks.Swap(true) {
		time.AfterFunc(retryAfter, func() {
			x.asks.Store(false)
			h.Recheck()
		})
	}
	return false
}

// Fence returns the fence of the writes.
func (x *Hold) Fence() spec.Fence { return x.fence }

// Leave notes that the handler is to be given up.
func (x *Hold) Leave() { x.leave() }

// Context returns the context of the attempts: with the fence, and with an end when they have
// to be cancelled. It is nil for the only host.
func (x *Hold) Context() context.Context {
	if x == nil {
		return nil
	}
	return x.attempt
}

// Leaving ends when the handler is to be given up; never for the only host.
func (x *Hold) Leaving() context.Context {
	if x == nil {
		return context.Background()
	}
	return x.leaving
}

// Until returns the bound of a Bounded tenure, and that of the policy for others.
func (x *Hold) Until(policy uint64) uint64 {
	if x != nil {
		if b, bounded := x.tenure.(Bounded); bounded {
			return b.Until()
		}
	}
	return policy
}

// Epoch returns the epoch of the fence; 0 for the only host.
func (x *Hold) Epoch() uint64 {
	if x == nil {
		return 0
	}
	return x.fence.Epoch
}

// Refused reports whether one of these fences, which are of past epochs, is that of the hold.
func (x *Hold) Refused(fences []spec.Fence) bool {
	for _, f := range fences {
		if x != nil && f == x.fence {
			return true
		}
	}
	return false
}

// Lose has the attempts cancelled and the handler given up: nothing that it writes is stored any
// more.
func (x *Hold) Lose() {
	if x == nil {
		return
	}
	x.lost.Store(true)
	x.leave()
	x.cancel()
}

// Lost reports whether Lose was called.
func (x *Hold) Lost() bool { return x.lost.Load() }
