package sandbox

import (
	"context"
	"sync"
	"time"
)

// guard stops an instance whose time is up. The instance's goroutine says when
// a span of guest work begins and ends; the timer's goroutine only looks.
//
// The timer is left running between spans and looks again when it fires, so
// that a span costs two uncontended locks and no timer operation.
type guard struct {
	cancel context.CancelFunc // stops the guest

	mu       sync.Mutex
	timer    *time.Timer // nil until the first begin
	fires    time.Time   // when the timer looks next; zero when it does not run
	running  bool
	deadline time.Time
	expired  bool
}

// begin starts a span of guest work that must end by deadline.
func (g *guard) begin(deadline time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.running, g.deadline = true, deadline
	if !g.fires.IsZero() && !deadline.Before(g.fires) {
		return
	}
	g.fires = deadline
	left := time.Until(deadline)
	if g.timer == nil {
		g.timer = time.AfterFunc(left, g.fire)
	} else {
		g.timer.Reset(left)
	}
}

// end finishes the span. After it, the guest is not stopped for that span.
func (g *guard) end() {
	g.mu.Lock()
	g.running = false
	g.mu.Unlock()
}

func (g *guard) fire() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.fires = time.Time{}
	if !g.running {
		return
	}
	if left := time.Until(g.deadline); left > 0 {
		g.fires = g.deadline
		g.timer.Reset(left)
		return
	}
	g.expired = true
	g.cancel()
}

// timedOut reports whether the guard stopped the guest.
func (g *guard) timedOut() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.expired
}

// close releases the timer.
func (g *guard) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.running = false
	if g.timer != nil {
		g.timer.Stop()
	}
}
