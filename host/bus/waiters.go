package bus

import "sync"

// waiter is somebody who waits. Its channel has room for one wake-up, so that
// waking never blocks and a wake-up is never lost.
type waiter struct {
	ch      chan struct{}
	waiting bool // in the list
}

// waiters wakes everybody who waits, without allocating. The order that makes
// it safe: a waiter joins, then looks again at what it waits for, then blocks;
// the other side changes that first, then wakes.
type waiters struct {
	mu   sync.Mutex
	list []*waiter
	free []*waiter // for waiters that are not kept by their owner
}

func newWaiter() *waiter { return &waiter{ch: make(chan struct{}, 1)} }

func (w *waiters) join(x *waiter) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !x.waiting {
		x.waiting = true
		w.list = append(w.list, x)
	}
}

// leave takes x out of the list and takes back a wake-up it did not use.
func (w *waiters) leave(x *waiter) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if x.waiting {
		x.waiting = false
		for i := range w.list {
			if w.list[i] == x {
				last := len(w.list) - 1
				w.list[i], w.list[last] = w.list[last], nil
				w.list = w.list[:last]
				break
			}
		}
	}
	select {
	case <-x.ch:
	default:
	}
}

func (w *waiters) wakeAll() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, x := range w.list {
		x.waiting = false
		select {
		case x.ch <- struct{}{}:
		default:
		}
	}
	clear(w.list)
	w.list = w.list[:0]
}

// take and give lend waiters to callers that come and go.
func (w *waiters) take() *waiter {
	w.mu.Lock()
	defer w.mu.Unlock()
	if n := len(w.free); n > 0 {
		x := w.free[n-1]
		w.free = w.free[:n-1]
		return x
	}
	return newWaiter()
}

func (w *waiters) give(x *waiter) {
	w.leave(x)
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.free) < 64 {
		w.free = append(w.free, x)
	}
}
