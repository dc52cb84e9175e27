package desk

import (
	"sync"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/sandbox"
)

// source gives a pool with one instance one attempt at a time. It is safe for concurrent
// use.
type source struct {
	mu      sync.Mutex
	pending *event.Attempt
	wake    chan struct{} // a token: an attempt is ready
	demand  chan struct{} // likewise, for a pool without an instance
	done    chan event.Outcome
}

func newSource() *source {
	return &source{wake: make(chan struct{}, 1), demand: make(chan struct{}, 1), done: make(chan event.Outcome, 1)}
}

// push makes an attempt ready.
func (s *source) push(a event.Attempt) {
	s.mu.Lock()
	s.pending = &a
	s.mu.Unlock()
	signal(s.wake)
	signal(s.demand)
}

func signal(tokens chan<- struct{}) {
	select {
	case tokens <- struct{}{}:
	default:
	}
}

// TryNext implements sandbox.Source.
func (s *source) TryNext() (event.Attempt, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pending == nil {
		return event.Attempt{}, false
	}
	a := *s.pending
	s.pending = nil
	return a, true
}

// Done implements sandbox.Source.
func (s *source) Done(_ event.Attempt, o event.Outcome) {
	o.Result = append([]byte(nil), o.Result...) // guest memory
	s.done <- o
}

// Demand implements sandbox.Source.
func (s *source) Demand() <-chan struct{} { return s.demand }

// Lease implements sandbox.Source.
func (s *source) Lease() sandbox.Lease { return lease{s} }

// lease is a Lease that buffers nothing.
type lease struct{ source *source }

// NextBuffered implements sandbox.Lease.
func (l lease) NextBuffered() (event.Taken, bool) { return event.Taken{}, false }

// Next implements sandbox.Lease.
func (l lease) Next(stop, retire <-chan struct{}) (event.Taken, bool) {
	for {
		select {
		case <-stop:
			return event.Taken{}, false
		default:
		}
		if a, ok := l.source.TryNext(); ok {
			return event.Taken{Attempt: a, Waited: true}, true
		}
		select {
		case <-stop:
		case <-retire:
			return event.Taken{}, false
		case <-l.source.wake:
		}
	}
}

// Done implements sandbox.Lease.
func (l lease) Done(o *event.Outcome) { l.source.Done(event.Attempt{}, *o) }

// Flush implements sandbox.Lease.
func (l lease) Flush() {}

// Close implements sandbox.Lease.
func (l lease) Close() {}
