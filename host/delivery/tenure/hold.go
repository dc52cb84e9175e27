package tenure

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/berth-host/berth/host/fault"
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
	// Until returns the Seq up to which the handler reads, the same in each call; 0: no bound. It
	// is at least the cursor, the highest Seq with an outcome, and the Seq at which a replay
	// resumes. The handler waits there.
	Until() uint64
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

// Until returns the Seq up to which the handler reads; 0: no bound.
func (x *Hold) Until() uint64 {
	if x == nil {
		return 0
	}
	return x.tenure.Until()
}

// Bound returns a Seq, or Until if it is beyond that.
func (x *Hold) Bound(seq uint64) uint64 {
	if until := x.Until(); until != 0 {
		return min(seq, until)
	}
	return seq
}

// Beyond returns an error for an action on an event that the handler does not read, because its
// shards are being changed: fault.Conflict. It is nil for others.
func (x *Hold) Beyond(seq uint64) error {
	if x.Bound(seq) == seq {
		return nil
	}
	return fault.New(fault.Conflict, "the shards of %s are being changed, and event %d is for the new ones: try again later", spec.PluginOf(x.fence.Unit), seq)
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
