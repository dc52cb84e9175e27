package store

import (
	"context"
	"sort"
	"sync"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
)

// recent holds the newest events of the log, the very values that were
// appended. Its slices are only ever appended to or replaced, so what read
// answers stays as it is.
type recent struct {
	maxEvents, maxBytes int // not changed after the start

	mu      sync.RWMutex
	low     uint64 // every event of the log above this Seq is in records
	records []event.Record
	bytes   int // of envelopes
}

func (r *recent) add(records []event.Record) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, rec := range records {
		r.bytes += len(rec.Event.Envelope())
	}
	// append moves to a new array when this one is full, and only what is still
	// in the window moves along: what fell out is freed then, at the latest.
	r.records = append(r.records, records...)
	drop := 0
	for drop < len(r.records) && (len(r.records)-drop > r.maxEvents || r.bytes > r.maxBytes) {
		r.low = r.records[drop].Seq
		r.bytes -= len(r.records[drop].Event.Envelope())
		drop++
	}
	r.records = r.records[drop:]
}

// trim drops what is below before.
func (r *recent) trim(before uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := r.index(before)
	for _, rec := range r.records[:n] {
		r.bytes -= len(rec.Event.Envelope())
		r.low = rec.Seq
	}
	r.records = r.records[n:]
}

// reset empties the window: the log ends at last, and what is in it was not seen.
func (r *recent) reset(last uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.low, r.records, r.bytes = last, nil, 0
}

// read answers up to limit events from Seq from on, and whether the window
// reaches back that far.
func (r *recent) read(from uint64, limit int) ([]event.Record, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if from <= r.low {
		return nil, false
	}
	i := r.index(from)
	j := min(len(r.records), i+limit)
	return r.records[i:j:j], true
}

// index returns the place of the first record at or above seq.
func (r *recent) index(seq uint64) int {
	return sort.Search(len(r.records), func(i int) bool { return r.records[i].Seq >= seq })
}

// signal wakes everybody who waits for something to change.
type signal struct {
	mu sync.Mutex
	ch chan struct{}
}

// wait returns a channel that the next broadcast closes.
func (s *signal) wait() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ch == nil {
		s.ch = make(chan struct{})
	}
	return s.ch
}

func (s *signal) broadcast() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ch != nil {
		close(s.ch)
		s.ch = nil
	}
}

// Last returns the highest Seq that is durable, also when that event has been
// trimmed; 0 when there never was one.
func (s *Store) Last() uint64 { return s.last.Load() }

// Wait returns nil as soon as Last is above after. Otherwise it ends with ctx,
// with an error that wraps the context's, or with Close, with fault.Unavailable.
func (s *Store) Wait(ctx context.Context, after uint64) error {
	for {
		grew := s.grew.wait()
		if s.closed() {
			return s.coded("wait for events", errClosed())
		}
		if s.last.Load() > after {
			return nil
		}
		select {
		case <-grew:
		case <-s.closing:
		case <-ctx.Done():
			return s.coded("wait for events", ctx.Err())
		}
	}
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
	if records, ok := s.recent.read(from, limit); ok {
		return records, nil
	}
	records, err := s.readLog(ctx, from, limit)
	return records, s.coded(doing, err)
}
