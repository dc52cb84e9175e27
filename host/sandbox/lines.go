package sandbox

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// What the guests of one pool may log: lines, and bytes of them, because a line
// may have 8 KiB, and on a disk four times that when each byte is escaped.
const (
	logLinesPerSecond = 200
	logLinesBurst     = 400
	logBytesPerSecond = 64 << 10
	logBytesBurst     = 512 << 10
	logSummaries      = time.Second // at most one in that time tells what was dropped
)

// lines bounds what the guests of one pool log. It is safe for concurrent use.
type lines struct {
	mu      sync.Mutex
	count   *rate.Limiter
	bytes   *rate.Limiter
	dropped int64 // since that was told
	told    time.Time
}

func newLines() *lines {
	return &lines{
		count: rate.NewLimiter(logLinesPerSecond, logLinesBurst),
		bytes: rate.NewLimiter(logBytesPerSecond, logBytesBurst),
	}
}

// allow reports whether a line of size bytes may be logged now.
func (l *lines) allow(size int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if !l.count.AllowN(now, 1) || !l.bytes.AllowN(now, size) {
		l.dropped++
		return false
	}
	return true
}

// missed is how many lines were not logged since it was asked, or 0 when that is
// not long ago.
func (l *lines) missed() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	n, now := l.dropped, time.Now()
	if n == 0 || now.Sub(l.told) < logSummaries {
		return 0
	}
	l.dropped, l.told = 0, now
	return n
}
