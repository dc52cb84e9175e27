// Package reading reads the log for a handler: the events that are replayed, then all from its
// position on, up to a bound if there is one. It retries what fails.
package reading

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/berth-host/berth/host/delivery/engine"
	"github.com/berth-host/berth/host/event"
)

// Batch is how many events are read at once.
const Batch = 128

// pollEvery is how often a reader that has a bound looks for the log to get there, which another
// host has seen before.
const pollEvery = 50 * time.Millisecond

// Position is what a reader has read and is to read.
type Position struct {
	ReadTo uint64        // all events up to here are read, or skipped
	Replay *event.Replay // the last one, nil for none
	Until  uint64        // the bound, 0 for none
}

// replays reports whether events are left that are replayed or skipped.
func (p Position) replays() bool {
	return p.Replay != nil && p.ReadTo < max(p.Replay.To, p.Replay.Resume)
}

// end returns the Seq up to which pages are read, 0 for no end.
func (p Position) end() uint64 {
	switch {
	case !p.replays():
		return p.Until
	case p.Until == 0:
		return p.Replay.To
	}
	return min(p.Replay.To, p.Until)
}

// Handler is a handler that reads. Its methods are called by one goroutine.
type Handler interface {
	// Position returns the position; the bound is always the same.
	Position() Position
	// Arrive admits events, the first of a list, once there is capacity for some. It returns how
	// many, 0 when ctx has ended.
	Arrive(ctx context.Context, records []event.Record) int
	// EndReplay moves the position behind a replay whose events are all read.
	EndReplay(ctx context.Context, r *event.Replay) error
	// SkipTo moves the position to a Seq: no event is in between.
	SkipTo(seq uint64)
	// Pause waits a while after an error. It returns false when ctx has ended.
	Pause(ctx context.Context, err error) bool
	// Recovered notes that the log was read.
	Recovered()
}

// Read reads for a handler until ctx ends.
func Read(ctx context.Context, log engine.Log, h Handler) {
	for ctx.Err() == nil {
		p := h.Position()
		if to := p.end(); to != 0 {
			readPage(ctx, log, h, p, to)
		} else {
			follow(ctx, log, h, p.ReadTo+1)
		}
	}
}

// follow reads the events from a Seq on as they are published, until ctx ends.
func follow(ctx context.Context, log engine.Log, h Handler, from uint64) {
	sub := log.Subscribe(from)
	defer sub.Close()
	buf := make([]event.Record, Batch)
	for {
		n, err := sub.Next(ctx, buf)
		if err != nil {
			if ctx.Err() != nil || !h.Pause(ctx, err) {
				return
			}
			continue
		}
		h.Recovered()
		if !arrive(ctx, h, buf[:n]) {
			return
		}
		clear(buf[:n])
	}
}

// arrive has a handler admit all records. It returns false when ctx has ended.
func arrive(ctx context.Context, h Handler, records []event.Record) bool {
	for len(records) > 0 {
		n := h.Arrive(ctx, records)
		if n == 0 {
			return false
		}
		records = records[n:]
	}
	return true
}

// readPage reads a page of the events up to an end. When none is left it moves the position, and
// waits at a bound until ctx ends.
func readPage(ctx context.Context, log engine.Log, h Handler, p Position, end uint64) {
	last := log.Last() // before Read: events up to there that it lacks do not exist any more
	var records []event.Record
	var err error
	if p.ReadTo < end {
		records, err = log.Read(ctx, p.ReadTo+1, Batch)
	}
	n, _ := slices.BinarySearchFunc(records, end+1, func(rec event.Record, seq uint64) int { return cmp.Compare(rec.Seq, seq) })
	switch {
	case err != nil:
	case n > 0:
		h.Recovered()
		arrive(ctx, h, records[:n])
		return
	case p.replays() && p.Replay.To <= end:
		err = h.EndReplay(ctx, p.Replay)
	case last < end:
		h.Recovered()
		wait(ctx, pollEvery)
		return
	default:
		h.SkipTo(end)
		h.Recovered()
		<-ctx.Done()
		return
	}
	if err == nil {
		h.Recovered()
	} else if ctx.Err() == nil {
		h.Pause(ctx, err)
	}
}

func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
