package desk

import (
	"context"
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
	between uint64      // fuel that the guest used after its event
	asked   chan uint64 // gets between when the guest asks for the next event, or its instance ends
}

func newSource() *source {
	return &source{wake: make(chan struct{}, 1), demand: make(chan struct{}, 1), done: make(chan event.Outcome, 1),
		asked: make(chan uint64, 1)}
}

// usedBetween is called with the fuel that the guest used after its event.
func (s *source) usedBetween(fuel uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.between = fuel
}

// outcome waits for the outcome of the attempt, with all fuel that the guest has used until
// it asks for the next event: work after finish counts too.
func (s *source) outcome(ctx context.Context) (o event.Outcome, err error) {
	select {
	case o = <-s.done:
	case <-ctx.Done():
		return o, ctx.Err()
	}
	select {
	case fuel := <-s.asked:
		o.Fuel += fuel
		return o, nil
	case <-ctx.Done():
		return o, ctx.Err()
	}
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

// resolve ends the wait of outcome.
func (s *source) resolve() {
	s.mu.Lock()
	fuel := s.between
	s.between = 0
	s.mu.Unlock()
	s.asked <- fuel
}

// Done implements sandbox.Source, for an attempt that no instance could take.
func (s *source) Done(_ event.Attempt, o event.Outcome) {
	s.complete(o)
	s.resolve()
}

// complete passes an outcome on.
func (s *source) complete(o event.Outcome) {
	o.Result = append([]byte(nil), o.Result...) // guest memory
	s.done <- o
}

// Demand implements sandbox.Source.
func (s *source) Demand() <-chan struct{} { return s.demand }

// Lease implements sandbox.Source.
func (s *source) Lease() sandbox.Lease { return &lease{source: s} }

// lease is a Lease that buffers nothing.
type lease struct {
	source   *source
	finished bool // an attempt, after which the guest has not asked for another
}

// NextBuffered implements sandbox.Lease.
func (l *lease) NextBuffered() (event.Taken, bool) { return event.Taken{}, false }

// TraceParent implements sandbox.Lease.
func (l *lease) TraceParent() string { return "" }

// Next implements sandbox.Lease.
func (l *lease) Next(stop, retire <-chan struct{}) (event.Taken, bool) {
	l.resolve()
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
func (l *lease) Done(o *event.Outcome) {
	l.finished = true
	l.source.complete(*o)
}

// Flush implements sandbox.Lease.
func (l *lease) Flush() {}

// Close implements sandbox.Lease.
func (l *lease) Close() { l.resolve() }

// resolve ends the wait for the outcome of a finished attempt.
func (l *lease) resolve() {
	if l.finished {
		l.finished = false
		l.source.resolve()
	}
}
