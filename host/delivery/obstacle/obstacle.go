// Package obstacle has why the events of a handler wait: its condition, and what keeps it from
// reading the log. Two failures of a part in a row, or an event that cannot be read, make the
// handler stuck until the part succeeds.
package obstacle

import (
	"errors"
	"fmt"
	"time"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
)

// Part is a part of a handler that reads the log. It retries.
type Part int

// The parts.
const (
	Reader Part = iota // also a replay that is being started
	Feeder
	Kept // the events of which only the Seqs are in memory
	parts
)

// Obstacle is where and why a part cannot read the log.
type Obstacle struct {
	At     string // for a person, such as "event 41"; "" while it may be temporary
	Reason string
	Since  time.Time
}

// Set has the obstacle of each part. The zero value has none. It is not safe for concurrent
// use.
type Set [parts]state

type state struct {
	Obstacle
	failures int // in a row
}

// Failed notes that a part could not read the log, the reader behind the Seq readTo. It
// returns the obstacle's position, "" while it may be temporary.
func (s *Set) Failed(part Part, err error, readTo uint64, now time.Time) (at string) {
	o := &s[part]
	o.failures++
	var bad *event.Unreadable
	switch {
	case errors.As(err, &bad):
		at = bad.Events()
	case o.failures > 1 && part == Reader:
		at = fmt.Sprintf("event %d", readTo+1)
	case o.failures > 1 && part == Kept:
		at = "events that it has read before"
	case o.failures > 1:
		at = "its redriven events"
	}
	if at != "" {
		if o.At == "" {
			o.Since = now
		}
		o.At, o.Reason = at, fmt.Sprintf("stuck at %s: %s", at, fault.Public(err.Error(), err))
	}
	return at
}

// Recovered notes that a part has read the log. It returns whether the other one has failed
// since it last read it.
func (s *Set) Recovered(part Part) (others bool) {
	s[part] = state{}
	return *s != Set{}
}

// First returns the first obstacle with a position, the zero value when there is none.
func (s *Set) First() Obstacle {
	for _, o := range s {
		if o.At != "" {
			return o.Obstacle
		}
	}
	return Obstacle{}
}
