package delivery

import (
	"context"

	"github.com/berth-host/berth/host/delivery/measure"
	"github.com/berth-host/berth/host/delivery/obstacle"
	"github.com/berth-host/berth/host/delivery/queue"
	"github.com/berth-host/berth/host/delivery/tasks"
	"github.com/berth-host/berth/host/event"
)

// Source is where one version of a handler gets its attempts. The sources of a handler
// share its queue, and each counts its own attempts. A Source is safe for concurrent
// use. The caller closes it after the pool that takes from it is drained.
type Source struct {
	h      *handler
	module string // the SHA-256 of the version's module
	closed bool   // under Dispatcher.mu
	bell   *queue.Bell

	// Under handler.mu. A success with children or effects is counted when the store has
	// them, every other attempt when it is completed.
	fuel      uint64 // also of cancelled attempts
	unwritten int    // successes with children or effects that are not counted yet
	counts    measure.Counts
}

// Stats counts the attempts of a source, and describes the queue of its handler.
type Stats = obstacle.Stats

// Stats returns the present values in constant time.
func (s *Source) Stats() Stats {
	last := s.h.dispatcher.cfg.Log.Last()
	s.h.mu.Lock()
	defer s.h.mu.Unlock()
	f := s.h.figures(last)
	return Stats{Delivered: s.counts.OK, Failed: s.counts.Failed(), Fuel: s.fuel,
		Open: f.Open, Lag: f.Lag, Condition: s.h.condition()}
}

// Update changes the handler's policy: the filter and the order key for events that are
// not read yet, the rest at once. It holds a lock while it calls change.
func (s *Source) Update(change func(*Policy)) { s.h.update(change) }

// Probe lets an open breaker try an event now instead of after its cooldown, for
// example because a new version runs.
func (s *Source) Probe() { s.h.Probe() }

// Demand yields a token when an attempt is ready and no instance waits in Lease.Next.
func (s *Source) Demand() <-chan struct{} { return s.h.demand }

// Unit returns the name of the handler, that of a shard of several.
func (s *Source) Unit() string { return s.h.name }

// Standby reports whether another host runs the handler, or none.
func (s *Source) Standby() bool { return s.h.standby.Load() }

// Ring has the handler ring a bell, until Close, whenever an attempt may start. It is called at
// most once, before the source is used.
func (s *Source) Ring(b *queue.Bell) {
	s.h.mu.Lock()
	defer s.h.mu.Unlock()
	s.bell, s.h.bells = b, append(s.h.bells, b)
	s.h.signal()
}

// MayStart reports whether an attempt is ready and may start now.
func (s *Source) MayStart() bool {
	s.h.mu.Lock()
	defer s.h.mu.Unlock()
	return s.h.startable()
}

// TryNext starts an attempt without a lease, for an outcome that is known already. It
// returns false when none may start.
func (s *Source) TryNext() (event.Attempt, bool) {
	h := s.h
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.startable() {
		return event.Attempt{}, false
	}
	var list [1]*tasks.Task
	h.pop(list[:])
	h.startAttempts(list[:])
	return list[0].Attempt(), true
}

// Done completes an attempt of TryNext.
func (s *Source) Done(a event.Attempt, o event.Outcome) {
	h := s.h
	h.mu.Lock()
	t := h.open.Get(a.Seq)
	if t == nil || t.Phase != tasks.Delivering || t.Lease != nil {
		h.mu.Unlock()
		return
	}
	completed := h.complete(t, &o, s, h.trace(a))
	h.mu.Unlock()
	completed.Send(&h.dispatcher.sinks)
}

// Close ends the use of the handler by this source, and waits until its successes with
// children are counted or ctx ends. The last one to close also closes
// the handler: it stops reading and waits until the outcomes are written, ctx ends, or a
// full disk refuses them (fault.Exhausted). Outcomes that are not written then are
// delivered again when the handler is opened next.
func (s *Source) Close(ctx context.Context) error {
	h, d := s.h, s.h.dispatcher
	d.mu.Lock()
	if s.closed {
		d.mu.Unlock()
		return nil
	}
	s.closed = true
	h.sources--
	last := h.sources == 0
	if last {
		h.endLife()
	}
	d.mu.Unlock()
	h.mu.Lock()
	h.bells = h.bells.Without(s.bell)
	h.mu.Unlock()
	if !last {
		h.Probe() // the last probe may have been by an instance of this version
		s.awaitCounts(ctx)
		d.measured.End(h.name, s)
		return nil
	}
	err := h.close(ctx)
	d.measured.End(h.name, s)
	return err
}

// awaitCounts waits until every success of the source is counted, ctx ends or the
// handler is closed.
func (s *Source) awaitCounts(ctx context.Context) {
	h := s.h
	for {
		h.mu.Lock()
		unwritten, counted := s.unwritten, h.ended.Wait()
		h.mu.Unlock()
		if unwritten == 0 {
			return
		}
		select {
		case <-counted:
		case <-h.removed:
			return
		case <-ctx.Done():
			return
		}
	}
}
