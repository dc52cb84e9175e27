package bus

import "sync"

// waiter is one goroutine that waits. Its channel buffers one wake-up, so that
// waking never blocks and no wake-up is lost.
type waiter struct {
	ch      chan struct{}
	waiting bool // in the list
}

// waiters wakes all waiting goroutines without allocating. A waiter joins, then
// checks its condition again, then blocks; the other side changes the condition
// first, then wakes.
type waiters struct {
	mu   sync.Mutex
	list []*waiter
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

// leave removes x from the list and discards a wake-up that x did not use.
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
