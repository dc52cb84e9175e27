package delivery

import (
	"context"
	"fmt"
)

// The bounds of a lease.
const (
	MaxLease    = maxLease
	MaxDeferred = maxDeferred
)

// Idle reports whether all outcomes are stored, and all redriven events final.
func (s *Source) Idle(ctx context.Context, fail func(...any)) bool {
	h := s.h
	s.AwaitWritten(ctx, fail)
	redriven, err := h.dispatcher.cfg.Store.Redriven(ctx, h.name, 0, 1)
	if err != nil {
		fail(err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(redriven) > 0 || h.open.N > 0 || h.outcomes.Len() > 0 {
		return false
	}
	if h.redriven != 0 {
		return false // the feeder has yet to find that none is left
	}
	if h.unsaved != 0 || h.unsavedBytes != 0 {
		fail(fmt.Sprintf("%d outcomes with %d bytes are counted although all are written", h.unsaved, h.unsavedBytes))
	}
	return true
}

// AwaitWritten waits until all present outcomes are written and counted.
func (s *Source) AwaitWritten(ctx context.Context, fail func(...any)) {
	if err := s.h.dispatcher.recorder.Flush(ctx, nil); err != nil {
		fail(err)
	}
}

// Recorded reports whether the lease has recorded all completed attempts.
func (x *Lease) Recorded() bool { return x.recorded == x.started }

// Closing reports whether a handler has begun to close.
func (d *Dispatcher) Closing(handler string) bool {
	h := d.handlers.Get(handler)
	return h != nil && h.life.Err() != nil
}

// ReadsKept reports whether kept events are being read again.
func (s *Source) ReadsKept() bool {
	s.h.mu.Lock()
	defer s.h.mu.Unlock()
	return s.h.readsKept
}

// Condition returns the present condition.
func (s *Source) Condition() Condition { return s.Stats().Condition }

// Unnotified reports whether the handler has outcomes of which the recorder is not
// notified.
func (s *Source) Unnotified() bool {
	s.h.mu.Lock()
	defer s.h.mu.Unlock()
	return s.h.outcomes.Len() > 0 && !s.h.dirty
}

// Kept returns the number of events of which only the Seqs are in memory.
func (s *Source) Kept() int {
	s.h.mu.Lock()
	defer s.h.mu.Unlock()
	return s.h.fair.Live()
}

// ReaderFull reports whether the reader waits for capacity.
func (s *Source) ReaderFull() bool {
	s.h.mu.Lock()
	defer s.h.mu.Unlock()
	return s.h.readerFull
}

// Suspended reports whether no attempt starts because the position is being changed.
func (s *Source) Suspended() bool {
	s.h.mu.Lock()
	defer s.h.mu.Unlock()
	return s.h.suspended
}
