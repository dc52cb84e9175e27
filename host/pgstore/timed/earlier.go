package timed

import (
	"context"
	"sync"
	"time"

	"github.com/berth-host/berth/host/event"
)

const (
	// watchEvery is the time between two looks at the events that other hosts have accepted.
	watchEvery = 100 * time.Millisecond
	// watchFor is how long the looks go on after a MoveDue: only the host that moves events looks.
	watchFor = 15 * time.Second
)

// earlier knows when MoveDue is needed again.
type earlier struct {
	mu     sync.Mutex
	next   int64     // when the next event is due as far as it is known, or none
	since  int64     // the first due time that was added since the last begin, or none
	called time.Time // MoveDue
	signal chan struct{}
}

func newEarlier() earlier { return earlier{next: none, since: none, signal: make(chan struct{}, 1)} }

// EarlierDue receives a signal when an event was stored that is due before the last next of
// MoveDue, by this host or, a moment later, by another one.
func (s *Schedule) EarlierDue() <-chan struct{} { return s.earlier.signal }

// Added is called with the receipts of events that this host has stored, after the commit.
func (s *Schedule) Added(receipts []event.Receipt) {
	for i := range receipts {
		if r := &receipts[i]; !r.Due.IsZero() && !r.Duplicate && r.Err == nil {
			s.earlier.add(r.Due.UnixNano())
		}
	}
}

// add notes an event that is due then.
func (e *earlier) add(due int64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.since = min(e.since, due)
	e.compare(due)
}

// look notes that an event was due then at some moment: it may have been moved since.
func (e *earlier) look(due int64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.compare(due)
}

// compare signals if an event is due before those known. The caller holds mu.
func (e *earlier) compare(due int64) {
	if due >= e.next {
		return
	}
	e.next = due
	select {
	case e.signal <- struct{}{}:
	default:
	}
}

// begin precedes the look of a MoveDue at the database.
func (e *earlier) begin() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.since, e.called = none, time.Now()
}

// end follows it: at is when the next event is due as the database has shown it. It returns an
// earlier time if such an event was added since begin.
func (e *earlier) end(at int64) int64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.next = min(at, e.since)
	return e.next
}

// watching reports whether this host moves events.
func (e *earlier) watching() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return !e.called.IsZero() && time.Since(e.called) < watchFor
}

// watch looks for events of other hosts until ctx ends. An error is MoveDue's to report.
func (s *Schedule) watch(ctx context.Context) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		if !s.earlier.watching() {
			continue
		}
		if at, err := s.next(ctx, "look for scheduled events"); err == nil {
			s.earlier.look(at)
		}
	}
}
