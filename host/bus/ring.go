package bus

import "github.com/berth-host/berth/host/event"

// ring holds the newest events that the reader has seen: every event of the log
// with low < Seq <= high that was not trimmed before the reader came.
type ring struct {
	low, high uint64
	slots     []event.Record // a circle
	start, n  int            // the oldest one's slot, and how many there are
	bytes     int            // of envelopes
	maxBytes  int
}

func (r *ring) init(size, maxBytes int, last uint64) {
	r.slots, r.maxBytes = make([]event.Record, size), maxBytes
	r.low, r.high = last, last
}

// add puts events after high in, and lets the oldest go. A single event that is
// over the bound of bytes is kept out, too: readers find it in the log.
func (r *ring) add(records []event.Record) {
	for _, rec := range records {
		size := len(rec.Event.Envelope())
		for r.n > 0 && (r.n == len(r.slots) || r.bytes+size > r.maxBytes) {
			oldest := &r.slots[r.start]
			r.low = oldest.Seq
			r.bytes -= len(oldest.Event.Envelope())
			*oldest = event.Record{}
			r.start, r.n = r.slot(1), r.n-1
		}
		r.high = rec.Seq
		if size > r.maxBytes {
			r.low = rec.Seq
			continue
		}
		r.slots[r.slot(r.n)] = rec
		r.n++
		r.bytes += size
	}
}

// skip moves the end past events that are no longer in the log.
func (r *ring) skip(high uint64) {
	r.high = max(r.high, high)
	if r.n == 0 {
		r.low = r.high
	}
}

// copyTo copies events from Seq from on. The caller has seen that from is in
// the ring: low < from.
func (r *ring) copyTo(buf []event.Record, from uint64) int {
	i := r.index(from)
	n := min(len(buf), r.n-i)
	at := r.slot(i)
	k := copy(buf[:n], r.slots[at:])
	copy(buf[k:n], r.slots)
	return n
}

// index returns the place, counted from the oldest, of the first event at or
// above seq.
func (r *ring) index(seq uint64) int {
	low, high := 0, r.n
	// Without gaps in Seq the place is known.
	if r.n > 0 {
		if first := r.slots[r.start].Seq; seq <= first {
			return 0
		} else if guess := seq - first; guess < uint64(r.n) {
			if r.slots[r.slot(int(guess))].Seq == seq {
				return int(guess)
			}
			high = int(guess) // gaps only move it to the front
		}
	}
	for low < high {
		mid := int(uint(low+high) / 2)
		if r.slots[r.slot(mid)].Seq < seq {
			low = mid + 1
		} else {
			high = mid
		}
	}
	return low
}

func (r *ring) slot(i int) int {
	i += r.start
	if i >= len(r.slots) {
		i -= len(r.slots)
	}
	return i
}
