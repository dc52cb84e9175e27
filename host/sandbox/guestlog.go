package sandbox

import "log/slog"

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
