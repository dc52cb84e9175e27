package store

import (
	"runtime"
	"time"
)

// Bounds of one group: it is closed as soon as one is reached. A larger operation
// forms a group of its own.
const (
	maxQueued      = 1024 // waiting operations; further callers block
	maxGroupEvents = 512  // events and rows
	maxGroupBytes  = 8 << 20
	maxGroupAge    = time.Millisecond
)

const (
	// lingerStep is how long a group waits for the next caller when the groups before
	// had more: short compared with a flush, long enough for a caller that does nothing
	// between two writes.
	lingerStep = 20 * time.Microsecond
	// batchThreshold is the number of callers from which on a group also waits for
	// callers that take longer between two writes, such as clients over HTTP. It would
	// only delay fewer, occasional callers.
	batchThreshold = 8
)

// runWriter is the writer goroutine. Close ends it.
func (s *Store) runWriter() {
	s.runGroups()
	close(s.stopped)
	for { // after stopped is closed; see submit
		o := s.carried
		s.carried = nil
		if o == nil {
			select {
			case o = <-s.ops:
			default:
				return
			}
		}
		if o.state.CompareAndSwap(queued, taken) {
			o.err = errClosed()
			close(o.done)
		}
	}
}

// runGroups writes the queued operations until the store is closed.
func (s *Store) runGroups() {
	var ops []*op
	for {
		select {
		case <-s.closing:
			return
		default:
		}
		first := s.carried
		s.carried = nil
		if first == nil {
			select {
			case <-s.closing:
				return
			case first = <-s.ops:
			}
		}
		ops = s.gather(ops[:0], first)
		if len(ops) > 0 {
			s.writeGroup(ops)
		}
		clear(ops)
	}
}

// expect updates the number of callers: those of the group that was written, and those
// that came meanwhile. The number decays by an eighth per group, and at once when a
// group has waited in vain.
func (s *Store) expect(callers int, took time.Duration) {
	if !s.expired {
		callers = max(callers, s.callers-s.callers/8-1)
	}
	s.callers, s.took = min(callers, maxGroupEvents), took
}

// gather takes the waiting operations into one group. With one caller it closes the
// group at once. With several, the callers of the group before have just been woken
// and are likely to write again: gather waits for as many, while they keep coming.
// Otherwise every other group would have a few early operations only.
//
// From batchThreshold callers on it lingers once for those that have other work
// between two writes, until three quarters of them are there, or for as long as the
// last group took to write: a group costs about the same for few events as for many,
// and the processors are busy with that other work. The last quarter does its work
// while the group is written.
func (s *Store) gather(ops []*op, first *op) []*op {
	events, bytes := 0, 0
	var opened, arrived time.Time // set only when no operation waits
	waited := false
	s.expired = false
	o := first
	for range maxQueued {
		if events > 0 && (o.alone || events+o.events > maxGroupEvents || bytes+o.bytes > maxGroupBytes) {
			s.carried = o
			return ops
		}
		if o.alone {
			if o.state.CompareAndSwap(queued, taken) {
				ops = append(ops, o)
			}
			return ops
		}
		if o.state.CompareAndSwap(queued, taken) {
			ops, events, bytes = append(ops, o), events+o.events, bytes+o.bytes
		}
		if events >= maxGroupEvents {
			return ops
		}
		for arrived, o = (time.Time{}), nil; o == nil; {
			select {
			case o = <-s.ops:
				continue
			default:
			}
			if waited || len(ops) == 0 || len(ops) >= s.callers {
				return ops
			}
			now := time.Now()
			if opened.IsZero() {
				opened = now
			}
			if arrived.IsZero() {
				arrived = now
			}
			switch {
			case now.Sub(opened) > maxGroupAge:
				return ops
			case now.Sub(arrived) <= lingerStep:
				runtime.Gosched()
			case s.callers < batchThreshold:
				return ops
			default:
				waited = true
				s.expired = !s.await(s.callers*3/4-len(ops), min(s.took, maxGroupAge-now.Sub(opened)))
			}
		}
	}
	s.carried = o
	return ops
}

// await returns true when n operations are queued, and false after limit when they are
// not. Unlike Gosched it leaves the processor to others, which may be in other
// processors' queues or wait for the network.
func (s *Store) await(n int, limit time.Duration) bool {
	if limit <= 0 {
		return false
	}
	s.awaited.Store(int64(n))
	defer s.awaited.Store(0)
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for len(s.ops) < n {
		select {
		case <-s.gathered: // possibly a late one, of an await before
		case <-timer.C:
			return len(s.ops) >= n
		case <-s.closing:
			return false
		}
	}
	return true
}

// notifyWriter ends an await when its operations are queued. Callers check that, so
// that they do not wake the writer one by one.
func (s *Store) notifyWriter() {
	if n := s.awaited.Load(); n == 0 || len(s.ops) < int(n) {
		return
	}
	select {
	case s.gathered <- struct{}{}:
	default:
	}
}
