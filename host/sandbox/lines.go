package sandbox

import (
	"log/slog"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// GuestLog takes the log lines of the guests of one plugin. It must be safe for concurrent
// use, and must not block.
type GuestLog interface {
	Write(LogLine)
	// Discarded counts a line beyond the quota.
	Discarded()
}

// LogLine is a line that a guest has logged.
type LogLine struct {
	Level   slog.Level
	Text    string
	EventID string // of the open event; "" without one
	Attempt int    // of the open event, from 1; 0 without one
}

// noLog is a GuestLog that discards lines.
type noLog struct{}

// Write implements GuestLog.
func (noLog) Write(LogLine) {}

// Discarded implements GuestLog.
func (noLog) Discarded() {}

// Log quota of the guests of one pool: lines, and bytes, because a line may have 8 KiB, and
// four times as much on disk when each byte is escaped.
const (
	logLinesPerSecond = 200
	logLinesBurst     = 400
	logBytesPerSecond = 64 << 10
	logBytesBurst     = 512 << 10
	logSummaries      = time.Second // between two reports of dropped lines
)

// lines limits the log lines of the guests of one pool. It is safe for concurrent use.
type lines struct {
	mu      sync.Mutex
	count   *rate.Limiter
	bytes   *rate.Limiter
	dropped int64 // since the last report
	report  time.Time
}

func newLines() *lines {
	return &lines{
		count: rate.NewLimiter(logLinesPerSecond, logLinesBurst),
		bytes: rate.NewLimiter(logBytesPerSecond, logBytesBurst),
	}
}

// allow reports whether a line of size bytes may be logged now: on nil, always.
func (l *lines) allow(size int) bool {
	if l == nil {
		return true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if !l.count.AllowN(now, 1) || !l.bytes.AllowN(now, size) {
		l.dropped++
		return false
	}
	return true
}

// missed returns the lines that were dropped since the last report, or 0 when the next
// report is not due.
func (l *lines) missed() int64 {
	if l == nil {
		return 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	n, now := l.dropped, time.Now()
	if n == 0 || now.Sub(l.report) < logSummaries {
		return 0
	}
	l.dropped, l.report = 0, now
	return n
}
