package tenure

import "sync"

// registry has the holds of a host by handler. The zero value is empty. It is safe for concurrent
// use.
type registry struct {
	mu       sync.Mutex
	holds    map[string]*Hold
	closed   bool
	watching sync.WaitGroup
}

// put adds the hold of a handler that has none, and calls lost once, in a goroutine, when it is
// lost before end. It returns false after close.
func (r *registry) put(handler string, x *Hold, lost func()) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return false
	}
	if r.holds == nil {
		r.holds = make(map[string]*Hold)
	}
	r.holds[handler] = x
	r.watching.Go(func() {
		select {
		case <-x.tenure.Done():
			x.Lose()
		case <-x.attempt.Done():
		}
		if x.Lost() {
			lost()
		}
	})
	return true
}

// get returns the hold of a handler, nil for none.
func (r *registry) get(handler string) *Hold {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.holds[handler]
}

// end removes a hold, if the handler has it, and ends its contexts.
func (r *registry) end(handler string, x *Hold) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.holds[handler] == x {
		delete(r.holds, handler)
	}
	x.leave()
	x.cancel()
}

// close ends all holds, and waits until no call of lost runs.
func (r *registry) close() {
	r.mu.Lock()
	r.closed = true
	for handler, x := range r.holds {
		delete(r.holds, handler)
		x.leave()
		x.cancel()
	}
	r.mu.Unlock()
	r.watching.Wait()
}
