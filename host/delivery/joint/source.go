package joint

import (
	"context"
	"errors"
	"sync"

	"github.com/berth-host/berth/host/delivery"
	"github.com/berth-host/berth/host/delivery/queue"
	"github.com/berth-host/berth/host/event"
)

// Source is where one version of a plugin gets the attempts of all shards. It is safe for
// concurrent use. The caller closes it after the pool that takes from it is drained.
type Source struct {
	shards []*delivery.Source
	bell   *queue.Bell

	mu    sync.Mutex
	taken map[uint64]*delivery.Source // of TryNext, by Seq
	next  int                         // the shard that TryNext asks first
}

// New returns a Source of shards, at least one, in the order of their numbers. It closes them.
func New(shards []*delivery.Source) *Source {
	s := &Source{shards: shards, bell: queue.NewBell(), taken: make(map[uint64]*delivery.Source)}
	for _, one := range shards {
		one.Ring(s.bell)
	}
	return s
}

// Lease returns a Lease. The caller closes it.
func (s *Source) Lease() *Lease {
	return &Lease{source: s, leases: make([]*delivery.Lease, len(s.shards))}
}

// Demand yields a token when an attempt is ready and no instance waits.
func (s *Source) Demand() <-chan struct{} { return s.bell.Demand() }

// TryNext starts an attempt without a lease; see delivery.Source.
func (s *Source) TryNext() (event.Attempt, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for range s.shards {
		one := s.shards[s.next]
		s.next = (s.next + 1) % len(s.shards)
		if a, ok := one.TryNext(); ok {
			s.taken[a.Seq] = one
			return a, true
		}
	}
	return event.Attempt{}, false
}

// Done completes an attempt of TryNext.
func (s *Source) Done(a event.Attempt, o event.Outcome) {
	s.mu.Lock()
	one := s.taken[a.Seq]
	delete(s.taken, a.Seq)
	s.mu.Unlock()
	if one != nil {
		one.Done(a, o)
	}
}

// Update changes the policies of all shards alike; see delivery.Source.
func (s *Source) Update(change func(*delivery.Policy)) {
	s.UpdateEach(func(_ int, p *delivery.Policy) { change(p) })
}

// UpdateEach changes the policy of each shard, by its number.
func (s *Source) UpdateEach(change func(shard int, p *delivery.Policy)) {
	for i, one := range s.shards {
		one.Update(func(p *delivery.Policy) { change(i, p) })
	}
}

// Probe lets the open breakers of all shards try an event now.
func (s *Source) Probe() {
	for _, one := range s.shards {
		one.Probe()
	}
}

// Close closes the sources of all shards; see delivery.Source.
func (s *Source) Close(ctx context.Context) error {
	errs := make([]error, len(s.shards))
	var closing sync.WaitGroup
	for i, one := range s.shards {
		closing.Go(func() { errs[i] = one.Close(ctx) })
	}
	closing.Wait()
	return errors.Join(errs...)
}

// mayStart reports whether a shard other than one has an attempt that may start now; -1: any.
func (s *Source) mayStart(except int) bool {
	for i, one := range s.shards {
		if i != except && !one.Standby() && one.MayStart() {
			return true
		}
	}
	return false
}

// passOn wakes another instance if a shard has attempts that may start now.
func (s *Source) passOn() {
	if s.mayStart(-1) {
		s.bell.Ring()
	}
}
