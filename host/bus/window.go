package bus

import (
	"context"
	"math"
	"sync"
	"sync/atomic"

	"github.com/berth-host/berth/host/event"
)

// WindowConfig sets up a Window. The zero value of every field is its default.
type WindowConfig struct {
	Events int // events kept; default 8192
	Bytes  int // bytes of envelopes kept; default 64 MiB
}

// Window holds the newest events of one log in memory, for subscriptions and for the
// log's own reads. The engine adds events once they are stored as it guarantees and
// before Append returns; adding them wakes all waiters. The window has every event of
// the log with low < Seq <= high that was not trimmed before it was added. Safe for
// concurrent use; only one goroutine at a time may change it.
type Window struct {
	waiting waiters // for high to grow
	pages   pages   // older events, for subscriptions behind the window

	high atomic.Uint64 // written under mu

	mu       sync.RWMutex
	low      uint64
	slots    []event.Record // a circle
	start, n int            // the slot of the oldest event, and the number of events
	bytes    int            // of envelopes
	maxBytes int
}

// NewWindow returns the empty window of an empty log.
func NewWindow(cfg WindowConfig) *Window {
	if cfg.Events <= 0 {
		cfg.Events = 8192
	}
	if cfg.Bytes <= 0 {
		cfg.Bytes = 64 << 20
	}
	return &Window{slots: make([]event.Record, cfg.Events), maxBytes: cfg.Bytes}
}

// Add appends events above the window's end and evicts the oldest ones. An event
// that is larger than the whole window empties it: readers find it in the log.
func (w *Window) Add(records []event.Record) {
	w.mu.Lock()
	last := w.high.Load()
	for _, rec := range records {
		size := len(rec.Event.Envelope())
		for w.n > 0 && (w.n == len(w.slots) || w.bytes+size > w.maxBytes) {
			w.evict()
		}
		last = rec.Seq
		if size > w.maxBytes {
			w.low = rec.Seq
			continue
		}
		w.slots[w.slot(w.n)] = rec
		w.n++
		w.bytes += size
	}
	w.high.Store(last) // once: Last must not fall within a batch
	w.mu.Unlock()
	w.waiting.wakeAll()
}

// Trim removes the events below before.
func (w *Window) Trim(before uint64) {
	w.pages.trim(before)
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.n > 0 && w.slots[w.start].Seq < before {
		w.evict()
	}
	if w.n == 0 && before > 0 {
		w.low = max(w.low, min(before-1, w.high.Load()))
	}
}

// Reset empties the window of a log that ends at last and may have events up to
// there that were not added.
func (w *Window) Reset(last uint64) {
	w.mu.Lock()
	for w.n > 0 {
		w.evict()
	}
	w.low = last
	w.high.Store(last)
	w.mu.Unlock()
	w.pages.trim(math.MaxUint64)
	w.waiting.wakeAll()
}

// evict removes the oldest event. The caller holds mu.
func (w *Window) evict() {
	oldest := &w.slots[w.start]
	w.low = oldest.Seq
	w.bytes -= len(oldest.Event.Envelope())
	*oldest = event.Record{}
	w.start, w.n = w.slot(1), w.n-1
}

// Last returns the Seq of the log's newest event, trimmed or not; 0 for none.
func (w *Window) Last() uint64 { return w.high.Load() }

// Read returns at most limit events from Seq from on, and whether the window
// reaches back that far. The result is the caller's.
func (w *Window) Read(from uint64, limit int) (records []event.Record, ok bool) {
	w.mu.RLock()
	defer w.mu.RUnlock()
	if from <= w.low {
		return nil, false
	}
	if n := min(limit, w.n-w.index(from)); n > 0 {
		records = make([]event.Record, n)
		w.copyTo(records, from)
	}
	return records, true
}

// Wait returns nil once Last is above after, or when closed is closed. It returns
// the context's error when ctx ends first.
func (w *Window) Wait(ctx context.Context, after uint64, closed <-chan struct{}) error {
	x := newWaiter()
	defer w.waiting.leave(x)
	for {
		w.waiting.join(x) // before looking, or the wake-up could be missed
		if w.Last() > after {
			return nil
		}
		select {
		case <-x.ch:
		case <-closed:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// next copies events from Seq from on to buf. When there are none it reports that
// from is behind the window, or else adds x to the waiters for the next event.
func (w *Window) next(buf []event.Record, from uint64, x *waiter) (n int, behind bool) {
	w.mu.RLock()
	defer w.mu.RUnlock()
	if from <= w.low {
		return 0, true
	}
	if n = w.copyTo(buf, from); n == 0 {
		w.waiting.join(x) // under the lock: Add wakes after it has changed the window
	}
	return n, false
}

// floor returns the Seq up to which events are in the log only, or nowhere.
func (w *Window) floor() uint64 {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return w.low
}

// copyTo copies events from Seq from on. The caller holds mu, and has seen that
// the window reaches back that far: low < from.
func (w *Window) copyTo(buf []event.Record, from uint64) int {
	i := w.index(from)
	n := min(len(buf), w.n-i)
	at := w.slot(i)
	k := copy(buf[:n], w.slots[at:])
	copy(buf[k:n], w.slots)
	return n
}

// index returns the position, counted from the oldest, of the first event at or
// above seq.
func (w *Window) index(seq uint64) int {
	low, high := 0, w.n
	// Without gaps in Seq the position is known.
	if w.n > 0 {
		if first := w.slots[w.start].Seq; seq <= first {
			return 0
		} else if guess := seq - first; guess < uint64(w.n) {
			if w.slots[w.slot(int(guess))].Seq == seq {
				return int(guess)
			}
			high = int(guess) // gaps only move it to the front
		}
	}
	for low < high {
		mid := int(uint(low+high) / 2)
		if w.slots[w.slot(mid)].Seq < seq {
			low = mid + 1
		} else {
			high = mid
		}
	}
	return low
}

func (w *Window) slot(i int) int {
	i += w.start
	if i >= len(w.slots) {
		i -= len(w.slots)
	}
	return i
}
