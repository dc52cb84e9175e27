// Package simulation makes repeatable what a guest observes besides its events.
package simulation

import (
	"encoding/binary"
	"math/rand/v2"
	"time"
)

// Config makes repeatable what a guest observes besides its events, for tests of
// handlers: its clocks, its random bytes and its quota of log lines. Every instance begins
// with the same state. The clocks advance by a microsecond at each reading, and by the
// duration of a sleep, which ends immediately. The limits of time are those of the real
// clock, and a guest cannot sleep past them.
type Config struct {
	Seed  uint64    // of the random bytes
	Start time.Time // the time of day when an instance starts; at each event it is the event's
	// Between, unless nil, gets the fuel that a loop guest has used after it finished an event,
	// when it asks for the next one; the outcome of the event does not have it. It is called
	// before Lease.Next, by the goroutine that calls that.
	Between func(fuel uint64)
}

// tick is how much the simulated clocks advance at each reading: a guest that
// waits for a time in a loop gets there.
const tick = time.Microsecond

// State has the clocks and the random source of one instance under a Config. It
// belongs to the instance's goroutine.
type State struct {
	elapsed time.Duration // since the instance started
	begun   time.Duration // when the present span of time began
	wall    time.Time     // the time of day at wallAt
	wallAt  time.Duration
	Random  *rand.ChaCha8
	between func(fuel uint64)
}

// New returns the state at the start of an instance; nil for nil.
func New(s *Config) *State {
	if s == nil {
		return nil
	}
	var seed [32]byte
	binary.LittleEndian.PutUint64(seed[:], s.Seed)
	return &State{wall: s.Start, Random: rand.NewChaCha8(seed), between: s.Between}
}

// UsedBetween reports the fuel that the guest used after an event. It does nothing on nil.
func (s *State) UsedBetween(fuel uint64) {
	if s != nil && s.between != nil {
		s.between(fuel)
	}
}

// BeginSpan starts a span of time. It does nothing on nil.
func (s *State) BeginSpan() {
	if s != nil {
		s.begun = s.elapsed
	}
}

// BeginEvent sets the time of day to that of an event.
func (s *State) BeginEvent(at time.Time) { s.wall, s.wallAt = at, s.elapsed }

// Monotonic reads the monotonic clock.
func (s *State) Monotonic() time.Duration {
	s.elapsed += tick
	return s.elapsed + time.Second
}

// Realtime reads the time of day.
func (s *State) Realtime() time.Time {
	s.elapsed += tick
	return s.wall.Add(s.elapsed - s.wallAt)
}

// Left returns how much of a span is left.
func (s *State) Left(span time.Duration) time.Duration { return span - (s.elapsed - s.begun) }

// Sleep advances the clocks.
func (s *State) Sleep(d time.Duration) { s.elapsed += d }
