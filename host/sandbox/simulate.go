package sandbox

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/berth-host/berth/host/event"
)

// Simulation makes repeatable what a guest observes besides its events, for tests of
// handlers: its clocks, its random bytes and its quota of log lines. Every instance begins
// with the same state. The clocks advance by a microsecond at each reading, and by the
// duration of a sleep, which ends immediately. The limits of time are those of the real
// clock, and a guest cannot sleep past them.
type Simulation struct {
	Seed  uint64    // of the random bytes
	Start time.Time // the time of day when an instance starts; at each event it is the event's
	// Between, unless nil, gets the fuel that a loop guest has used after it finished an event,
	// when it asks for the next one; the outcome of the event does not have it. It is called
	// before Lease.Next, by the goroutine that calls that.
	Between func(fuel uint64)
}

// simulatedTick is how much the simulated clocks advance at each reading: a guest that
// waits for a time in a loop gets there.
const simulatedTick = time.Microsecond

// simulated has the clocks and the random source of one instance under a Simulation. It
// belongs to the instance's goroutine.
type simulated struct {
	elapsed time.Duration // since the instance started
	begun   time.Duration // when the present span of time began
	wall    time.Time     // the time of day at wallAt
	wallAt  time.Duration
	random  *rand.ChaCha8
	between func(fuel uint64)
}

func newSimulated(s *Simulation) *simulated {
	if s == nil {
		return nil
	}
	var seed [32]byte
	binary.LittleEndian.PutUint64(seed[:], s.Seed)
	return &simulated{wall: s.Start, random: rand.NewChaCha8(seed), between: s.Between}
}

// usedBetween reports the fuel that the guest used after an event. It does nothing on nil.
func (s *simulated) usedBetween(fuel uint64) {
	if s != nil && s.between != nil {
		s.between(fuel)
	}
}

// beginSpan starts a span of time. It does nothing on nil.
func (s *simulated) beginSpan() {
	if s != nil {
		s.begun = s.elapsed
	}
}

// beginEvent sets the time of day to that of an event.
func (s *simulated) beginEvent(at time.Time) { s.wall, s.wallAt = at, s.elapsed }

// monotonic reads the monotonic clock.
func (s *simulated) monotonic() time.Duration {
	s.elapsed += simulatedTick
	return s.elapsed + time.Second
}

// realtime reads the time of day.
func (s *simulated) realtime() time.Time {
	s.elapsed += simulatedTick
	return s.wall.Add(s.elapsed - s.wallAt)
}

// left returns how much of a span is left.
func (s *simulated) left(span time.Duration) time.Duration { return span - (s.elapsed - s.begun) }

// sleepSimulated advances the clocks, or traps a guest that would sleep past its deadline.
func (in *instance) sleepSimulated(d time.Duration) {
	if d > in.sim.left(in.span) {
		in.trap(event.ClassTimeout, fmt.Sprintf("it slept past its time limit of %s", in.span))
	}
	in.sim.elapsed += d
	in.checkTime()
}
