package abi

import "strconv"

// Code is the result of a host function that fails. Codes are negative; zero and
// above are results. The zero Code is success.
type Code int32

// The codes of ABI version 1.
const (
	End         Code = -1 // no more events: return from the entry point
	Invalid     Code = -2 // an argument is malformed, or the call is not allowed in this state
	Denied      Code = -3 // the capability is not granted to this plugin
	NotFound    Code = -4 // no such key, field or secret
	TooLarge    Code = -5 // over a limit
	Unavailable Code = -6 // the backend failed; trying again may help
	Timeout     Code = -7 // the event's deadline, or the call's own, passed
	Conflict    Code = -8 // the compared value differs
)

// String returns the code's name in ABI.md, such as NOT_FOUND, "ok" for zero
// and above, and the bare number for a code this version does not define.
func (c Code) String() string {
	switch c {
	case End:
		return "END"
	case Invalid:
		return "INVALID"
	case Denied:
		return "DENIED"
	case NotFound:
		return "NOT_FOUND"
	case TooLarge:
		return "TOO_LARGE"
	case Unavailable:
		return "UNAVAILABLE"
	case Timeout:
		return "TIMEOUT"
	case Conflict:
		return "CONFLICT"
	}
	if c >= 0 {
		return "ok"
	}
	return "code " + strconv.Itoa(int(c))
}

// Status is the first argument of finish: how the open event ended.
type Status int32

// The statuses of ABI version 1.
const (
	StatusOK     Status = 0 // the bytes are the result, JSON or empty
	StatusRetry  Status = 1 // the bytes are the reason; deliver again after backoff
	StatusReject Status = 2 // the bytes are the reason; to the dead letters at once
)

// Level is the first argument of log.
type Level int32

// The levels of ABI version 1. A guest that passes any other number has its
// line logged as LevelError.
const (
	LevelDebug Level = 0
	LevelInfo  Level = 1
	LevelWarn  Level = 2
	LevelError Level = 3
)

// Exit codes of a plugin of the stdio style. Any other code rejects the event.
const (
	ExitOK    = 0
	ExitRetry = 75 // EX_TEMPFAIL of sysexits.h
)
