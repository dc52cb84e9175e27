package store

import (
	"context"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
)

// Last returns the highest Seq that is durable, also when that event has been
// trimmed; 0 when there never was one.
func (s *Store) Last() uint64 { return s.last() }

// Wait returns nil as soon as Last is above after. It returns an error that wraps
// the context's when ctx ends first, and fault.Unavailable when the store is closed.
func (s *Store) Wait(ctx context.Context, after uint64) error {
	const doing = "wait for events"
	if s.closed() {
		return s.coded(doing, errClosed())
	}
	err := s.window.Wait(ctx, after, s.closing)
	if err == nil && s.last() <= after {
		err = errClosed()
	}
	return s.coded(doing, err)
}

const maxRead = 4096 // records one Read answers at most

// Read returns the events from Seq from on, ascending, at most limit (at least
// 1; more than 4096 is read as 4096) of them. None means that the log ends
// before from. The caller must not write to the result: it can be shared. Where the
// log is damaged the error wraps *event.Unreadable, until it is skipped.
func (s *Store) Read(ctx context.Context, from uint64, limit int) ([]event.Record, error) {
	const doing = "read the log"
	if limit < 1 {
		return nil, fault.New(fault.Invalid, "%s: the limit is %d, but must be at least 1", doing, limit)
	}
	if err := ctx.Err(); err != nil {
		return nil, s.coded(doing, err)
	}
	if s.closed() {
		return nil, s.coded(doing, errClosed())
	}
	limit = min(limit, maxRead)
	if records, ok := s.window.Read(from, limit); ok {
		return records, nil
	}
	records, err := s.readLog(ctx, from, limit)
	return records, s.coded(doing, err)
}
