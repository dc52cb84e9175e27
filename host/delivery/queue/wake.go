package queue

import (
	"context"
	"sync"
)

// Signal puts a token into a channel, unless it has one.
func Signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Gate wakes all that wait. The zero value is ready. It is not safe for concurrent use.
type Gate struct{ c chan struct{} }

// Wait returns a channel that the next Open closes.
func (g *Gate) Wait() <-chan struct{} {
	if g.c == nil {
		g.c = make(chan struct{})
	}
	return g.c
}

// Open wakes those that wait.
func (g *Gate) Open() {
	if g.c != nil {
		close(g.c)
		g.c = nil
	}
}

// Await waits until ok returns true, which it calls under a lock, at first and after each token of
// wake. It returns false when ctx has ended.
func Await(ctx context.Context, mu sync.Locker, wake <-chan struct{}, ok func() bool) bool {
	for ctx.Err() == nil {
		mu.Lock()
		good := ok()
		mu.Unlock()
		if good {
			return true
		}
		select {
		case <-wake:
		case <-ctx.Done():
		}
	}
	return false
}
