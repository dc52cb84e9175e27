package pending

import (
	"slices"
	"time"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/spec"
)

// Alone has the deliveries that run alone because they were in conflict too often: each waits
// until no attempt of the handler is open and all effects are written, and no other attempt
// starts before it has ended. For a shard the handler is this shard only. The zero value is empty. It is not safe for concurrent use.
type Alone[T comparable] struct {
	waiting []T
	running bool
	which   T // that runs
}

// Any reports whether a delivery waits or runs.
func (a *Alone[T]) Any() bool { return a.running || len(a.waiting) > 0 }

// MayStart reports whether the first delivery may start; there is Any.
func (a *Alone[T]) MayStart(open, unwritten int) bool {
	return !a.running && open == 0 && unwritten == 0
}

// Add adds a delivery that waits.
func (a *Alone[T]) Add(one T) { a.waiting = append(a.waiting, one) }

// Take returns the delivery that is to start, if one waits.
func (a *Alone[T]) Take() (one T, ok bool) {
	if len(a.waiting) == 0 {
		return one, false
	}
	a.which, a.running = a.waiting[0], true
	a.waiting = slices.Delete(a.waiting, 0, 1)
	return a.which, true
}

// Remove removes a delivery that has run, or that no longer waits. It reports whether it was
// there.
func (a *Alone[T]) Remove(one T) bool {
	if a.running && a.which == one {
		var none T
		a.which, a.running = none, false
		return true
	}
	i := slices.Index(a.waiting, one)
	if i < 0 {
		return false
	}
	a.waiting = slices.Delete(a.waiting, i, i+1)
	return true
}

// Again reports whether a delivery of a unit that was in conflict in this many runs runs again, and
// how long it waits before: not at all in a handler's only unit, where it is a failed attempt after
// event.MaxLoneConflicts runs alone. A shard runs alone beside the other shards, which may write the
// same key. So there it is none, and after each run alone it waits a random part of a time that grows
// to a second. random returns a number in [0, 1).
func Again(unit string, runs int, random func() float64) (wait time.Duration, ok bool) {
	alone := runs - event.MaxConflicts
	if _, shard := spec.ShardOf(unit); !shard || alone <= 0 {
		return 0, alone < event.MaxLoneConflicts
	}
	return time.Duration(random() * float64(min(4*time.Millisecond<<min(alone, 8), time.Second))), true
}
