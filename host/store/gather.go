package store

import (
	"runtime"
	"time"
)

// Bounds of one group: it is closed as soon as one is reached. One operation
// that is larger makes a group of its own.
const (
	maxQueued      = 1024 // operations that wait; more callers block
	maxGroupEvents = 512  // events and rows
	maxGroupBytes  = 8 << 20
	maxGroupAge    = time.Millisecond
)

const (
	// patience is how long a group waits for the next caller, when there were more
	// of them: small against a flush, long against the way back of a caller that
	// does nothing else.
	lingerStep = 20 * time.Microsecond
	// crowded is from how many callers on a group waits for those that have a
	// longer way back, such as a client's over HTTP. Few callers that come now and
	// then would only be slowed by it.
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

// runGroups writes what is queued, until the store is closed.
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

// expect notes how many callers there are: those of the group that was written,
// and those that came meanwhile. It forgets an eighth of them at a time, but all
// at once when a group has waited for a crowd that did not come.
func (s *Store) expect(callers int, took time.Duration) {
	if !s.expired {
		callers = max(callers, s.callers-s.callers/8-1)
	}
	s.callers, s.took = min(callers, maxGroupEvents), took
}

// gather takes what waits into one group. With one caller it closes at once, and with
// none, when all had given up.
// With several, those of the group before have just been woken and are likely to
// be back: it waits for as many, while they keep coming. Otherwise every other
// group would hold a few early ones only. For a crowd that takes longer, because
// it has other work in between, it waits once, until three quarters are there or
// for as long as the last group took to write: a group costs about the same for
// few events as for many, and the processors have that other work to do. The last
// quarter is work for them while the group is written.
func (s *Store) gather(ops []*op, first *op) []*op {
	events, bytes := 0, 0
	var opened, arrived time.Time // looked at only when nothing waits
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

// await returns true when n operations are queued, and false after most when
// they are not. Unlike Gosched it leaves the processor to others, which may have
// to be fetched from the other processors' queues or from the network.
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
		case <-s.gathered: // or a late one for an await before
		case <-timer.C:
			return len(s.ops) >= n
		case <-s.closing:
			return false
		}
	}
	return true
}

// nudge ends an await when what it waits for is queued. Callers do it, so that
// the writer need not be woken for each of them.
func (s *Store) notifyWriter() {
	if n := s.awaited.Load(); n == 0 || len(s.ops) < int(n) {
		return
	}
	select {
	case s.gathered <- struct{}{}:
	default:
	}
}
