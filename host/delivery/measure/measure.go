// Package measure counts the attempts of the versions of a handler, and has their
// distributions. Its values have no lock: the handler's guards them.
package measure

import (
	"maps"
	"slices"
	"time"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/histogram"
)

// Counts are those of the attempts of one version since the host started. The zero value is
// empty. An attempt that was cancelled is in none.
type Counts struct {
	OK, Dead uint64                 // deliveries that ended
	Failures map[event.Class]uint64 // failed attempts
	Retries  uint64                 // attempts after the first one of their delivery
	// Conflicts are runs of atomic handlers that another delivery's writes made void. They count
	// as no attempt.
	Conflicts uint64

	Duration histogram.Histogram // of attempts, in nanoseconds
	Fuel     histogram.Histogram // of attempts
	// Latency is from the time of an event to the end of its successful attempt, in nanoseconds;
	// without events that were given to the handler again.
	Latency histogram.Histogram
}

// Attempt counts the cost of an attempt.
func (c *Counts) Attempt(d time.Duration, fuel uint64) {
	c.Duration.Observe(uint64(max(0, d)))
	c.Fuel.Observe(fuel)
}

// Success counts the time from the event's to the end of its successful attempt.
func (c *Counts) Success(published, at time.Time) {
	c.Latency.Observe(uint64(max(0, at.Sub(published)))) // producers set the time of an event: it may be of the future
}

// Failure counts a failed attempt, and whether it was the last one.
func (c *Counts) Failure(class event.Class, dead bool) {
	if c.Failures == nil {
		c.Failures = make(map[event.Class]uint64)
	}
	c.Failures[class]++
	if dead {
		c.Dead++
	}
}

// Failed returns the number of failed attempts.
func (c *Counts) Failed() (n uint64) {
	for _, count := range c.Failures {
		n += count
	}
	return n
}

// Add adds other counts.
func (c *Counts) Add(other *Counts) {
	c.OK += other.OK
	c.Dead += other.Dead
	c.Retries += other.Retries
	c.Conflicts += other.Conflicts
	for class, n := range other.Failures {
		if c.Failures == nil {
			c.Failures = make(map[event.Class]uint64)
		}
		c.Failures[class] += n
	}
	c.Duration.Add(&other.Duration)
	c.Fuel.Add(&other.Fuel)
	c.Latency.Add(&other.Latency)
}

// MaxVersions is how many versions of a handler have counts of their own: beyond that,
// those that ran earliest are counted together.
const MaxVersions = 8

// Version is a version with its counts.
type Version struct {
	SHA256 string // of its module; "" for earlier versions together, and when it is not known
	Counts Counts
}

// Versions are those of one handler, in the order in which they first ran. The zero value is
// empty.
type Versions []*Version

// Add adds counts to those of a version.
func (v *Versions) Add(sha256 string, c *Counts) {
	for _, one := range *v {
		if one.SHA256 == sha256 {
			one.Counts.Add(c)
			return
		}
	}
	fresh := &Version{SHA256: sha256}
	fresh.Counts.Add(c)
	*v = append(*v, fresh)
	for own := v.own(); len(own) > MaxVersions; own = v.own() {
		oldest := own[0]
		*v = slices.DeleteFunc(*v, func(one *Version) bool { return one == oldest })
		v.Add("", &oldest.Counts)
	}
}

// own returns the versions that are counted by themselves.
func (v *Versions) own() (list []*Version) {
	for _, one := range *v {
		if one.SHA256 != "" {
			list = append(list, one)
		}
	}
	return list
}

// Clone returns a copy that does not change.
func (v Versions) Clone() Versions {
	clone := make(Versions, len(v))
	for i, one := range v {
		c := *one
		c.Counts.Failures = maps.Clone(one.Counts.Failures)
		clone[i] = &c
	}
	return clone
}
