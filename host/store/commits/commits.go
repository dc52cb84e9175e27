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

// Measure returns how long commit took.
func Measure(commit func() error) (took time.Duration, err error) {
	began := time.Now()
	err = commit()
	return time.Since(began), err
}

// Get returns the commits until now.
func (c *Counter) Get() Commits {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.since
}

// Commit is the end of one transaction.
type Commit struct {
	Changed        bool // the file
	Writes, Events int  // of callers; appended
	Took           time.Duration
	Err            error
}

// Observe counts a commit, unless it has changed nothing.
func (c *Counter) Observe(commit Commit) {
	if !commit.Changed && commit.Err == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if commit.Err != nil {
		c.since.Failed++
		return
	}
	c.since.Writes.Observe(uint64(commit.Writes))
	c.since.Events.Observe(uint64(commit.Events))
	c.since.Duration.Observe(uint64(max(0, commit.Took)))
}
