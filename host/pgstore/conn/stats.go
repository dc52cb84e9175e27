package conn

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/berth-host/berth/host/histogram"
	"github.com/berth-host/berth/host/spec"
)

// Stats is what the connections of a DB have done since it was opened, and do now.
type Stats struct {
	Commits histogram.Histogram // durations in nanoseconds, also of statements that commit by themselves
	Queries histogram.Histogram // of Query and Pipeline, likewise
	Refused uint64              // writes under a fence that is past

	Used, Idle, Limit int           // connections
	Waiting           int           // calls that wait for a connection
	Waited            time.Duration // of all calls together, for a connection
}

// counts is what a DB counts itself.
type counts struct {
	refused atomic.Uint64
	waiting atomic.Int64

	mu               sync.Mutex
	commits, queries histogram.Histogram
}

// observe adds the time since began to a distribution of c.
func (c *counts) observe(to *histogram.Histogram, began time.Time) {
	took := time.Since(began)
	c.mu.Lock()
	defer c.mu.Unlock()
	to.Observe(uint64(max(0, took)))
}

// Stats returns the counts until now.
func (d *DB) Stats() Stats {
	pool := d.pool.Stat()
	s := Stats{Refused: d.counts.refused.Load(), Waiting: int(d.counts.waiting.Load()), Waited: pool.EmptyAcquireWaitTime(),
		Used: int(pool.AcquiredConns()), Idle: int(pool.IdleConns()), Limit: int(pool.MaxConns())}
	d.counts.mu.Lock()
	defer d.counts.mu.Unlock()
	s.Commits, s.Queries = d.counts.commits, d.counts.queries
	return s
}

// Refuse counts a write as refused, and returns its error.
func (d *DB) Refuse(f spec.Fence) error {
	d.counts.refused.Add(1)
	return fmt.Errorf("unit %s, epoch %d: %w", f.Unit, f.Epoch, spec.ErrFenced)
}
