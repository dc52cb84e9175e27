package desk

import (
	"context"
	"sync"
	"time"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/sandbox"
)

// source gives a pool with one instance one attempt at a time. It is safe for concurrent
// use.
type source struct {
	mu      sync.Mutex
	pending []event.Attempt // for one call of the handler
	wake    chan struct{}   // a token: an attempt is ready
	demand  chan struct{}   // likewise, for a pool without an instance
	done    chan event.Outcome
	between uint64      // fuel that the guest used after its event
	asked   chan uint64 // gets between when the guest asks for the next event, or its instance ends
}

func newSource() *source {
	return &source{wake: make(chan struct{}, 1), demand: make(chan struct{}, 1), done: make(chan event.Outcome, abi.MaxBatchEvents),
		asked: make(chan uint64, 1)}
}

// usedBetween is called with the fuel that the guest used after its event.
func (s *source) usedBetween(fuel uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.between = fuel
}

// outcomes waits for the outcomes of so many attempts. The first has all fuel that the guest
// has used until it asks for the next event besides: work after finish counts too.
func (s *source) outcomes(ctx context.Context, n int) (list []event.Outcome, err error) {
	for range n {
		select {
		case o := <-s.done:
			list = append(list, o)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	select {
	case fuel := <-s.asked:
		list[0].Fuel += fuel
		return list, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// push makes attempts ready.
func (s *source) push(list []event.Attempt) {
	s.mu.Lock()
	s.pending = list
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
	list := s.take(1)
	if list == nil {
		return event.Attempt{}, false
	}
	return list[0], true
}

// take takes ready attempts, at most so many; nil for none.
func (s *source) take(limit int) (list []event.Attempt) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := min(limit, len(s.pending))
	if n == 0 {
		return nil
	}
	list, s.pending = s.pending[:n], s.pending[n:]
	return list
}

// resolve ends the wait of outcome.
func (s *source) resolve() {
	s.mu.Lock()
	fuel := s.between
	s.between = 0
	s.mu.Unlock()
	s.asked <- fuel
}

// Done implements sandbox.Source, for an attempt that no instance could take. The others of
// its batch fail with it.
func (s *source) Done(_ event.Attempt, o event.Outcome) {
	s.complete(o)
	for range s.take(abi.MaxBatchEvents) {
		s.complete(o)
	}
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
	list, ok := l.NextBatch(1, 0, stop, retire)
	if !ok {
		return event.Taken{}, false
	}
	return event.Taken{Attempt: list[0], Waited: true}, true
}

// NextBatch implements sandbox.BatchLease.
func (l *lease) NextBatch(limit int, _ time.Duration, stop, retire <-chan struct{}) ([]event.Attempt, bool) {
	l.resolve()
	for {
		select {
		case <-stop:
			return nil, false
		default:
		}
		if list := l.source.take(limit); list != nil {
			return list, true
		}
		select {
		case <-stop:
		case <-retire:
			return nil, false
		case <-l.source.wake:
		}
	}
}

// DoneBatch implements sandbox.BatchLease.
func (l *lease) DoneBatch(list []event.Outcome) {
	l.finished = true
	for _, o := range list {
		l.source.complete(o)
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
