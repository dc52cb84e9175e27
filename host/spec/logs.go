package spec

import "log/slog"

// LogQuery selects lines of a plugin's log.
type LogQuery struct {
	After   uint64 // only lines with a higher Seq
	EventID string // only lines about this event; "" for all
	Limit   int    // at most so many
	Latest  bool   // the latest ones, rather than the first after After
}

// LogPolicy says which lines of a guest are kept. The zero value keeps those of failed
// attempts, at every level.
type LogPolicy struct {
	Kept  KeptLogs
	Level LogLevel
}

// KeptLogs says of which attempts the lines are kept with the event.
type KeptLogs string

// The kept logs.
const (
	LogsOfFailures KeptLogs = "failures" // of failed attempts; also ""
	LogsOfAll      KeptLogs = "keep"     // also of successful ones
)

// LogLevel is the level from which on a guest's lines are kept and written to the host's log.
type LogLevel string

// The levels.
const (
	LevelDebug LogLevel = "debug" // also ""
	LevelInfo  LogLevel = "info"
	LevelWarn  LogLevel = "warn"
	LevelError LogLevel = "error"
)

// Level implements slog.Leveler.
func (l LogLevel) Level() slog.Level {
	switch l {
	case LevelInfo:
		return slog.LevelInfo
	case LevelWarn:
		return slog.LevelWarn
	case LevelError:
		return slog.LevelError
	}
	return slog.LevelDebug
}

// LogLevelOf returns the name of a level; one between two levels has the name of the lower.
func LogLevelOf(level slog.Level) LogLevel {
	switch {
	case level < slog.LevelInfo:
		return LevelDebug
	case level < slog.LevelWarn:
		return LevelInfo
	case level < slog.LevelError:
		return LevelWarn
	}
	return LevelError
}
