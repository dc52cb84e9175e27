// Package logquota limits the log lines of the guests of one pool.
package logquota

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// The quota is of lines, and of bytes, because a line may have 8 KiB, and four times as much
// on disk when each byte is escaped.
const (
	linesPerSecond = 200
	linesBurst     = 400
	bytesPerSecond = 64 << 10
	bytesBurst     = 512 << 10
	reportEvery    = time.Second // between two reports of dropped lines
)

// Quota counts the log lines of the guests of one pool. Nil allows every line. It is safe
// for concurrent use.
type Quota struct {
	mu      sync.Mutex
	count   *rate.Limiter
	bytes   *rate.Limiter
	dropped int64 // since the last report
	report  time.Time
}

// New returns a full Quota.
func New() *Quota {
	return &Quota{
		count: rate.NewLimiter(linesPerSecond, linesBurst),
		bytes: rate.NewLimiter(bytesPerSecond, bytesBurst),
	}
}

// Allow reports whether a line of size bytes may be logged now, and counts it.
func (q *Quota) Allow(size int) bool {
	if q == nil {
		return true
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	now := time.Now()
	if !q.count.AllowN(now, 1) || !q.bytes.AllowN(now, size) {
		q.dropped++
		return false
	}
	return true
}

// Missed returns the lines that were dropped since the last report, or 0 when the next
// report is not due.
func (q *Quota) Missed() int64 {
	if q == nil {
		return 0
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	n, now := q.dropped, time.Now()
	if n == 0 || now.Sub(q.report) < reportEvery {
		return 0
	}
	q.dropped, q.report = 0, now
	return n
}
