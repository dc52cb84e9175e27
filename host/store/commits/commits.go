// Package commits measures the commits of the store.
package commits

import (
	"sync"
	"time"

	"github.com/berth-host/berth/host/histogram"
)

// Commits are the group commits since the store was opened. Commits that changed nothing
// are not counted.
type Commits struct {
	Writes   histogram.Histogram // of callers in one commit
	Events   histogram.Histogram // appended in one commit
	Duration histogram.Histogram // of a commit with its flush to the disk, in nanoseconds
	Failed   uint64
}

// Counter counts commits. It is safe for concurrent use; its lock is held for the time of a
// few additions. The zero value has none.
type Counter struct {
	mu    sync.Mutex
	since Commits
}

// Get returns the commits until now.
func (c *Counter) Get() Commits {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.since
}

// Observe counts a commit of some writes that appended some events, and the time that it
// took, or a failed one.
func (c *Counter) Observe(writes, events int, took time.Duration, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		c.since.Failed++
		return
	}
	c.since.Writes.Observe(uint64(writes))
	c.since.Events.Observe(uint64(events))
	c.since.Duration.Observe(uint64(max(0, took)))
}
