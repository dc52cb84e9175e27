package berth

import "fmt"

// Retryf is Retry with a formatted reason.
func Retryf(format string, args ...any) error { return Retry(fmt.Sprintf(format, args...)) }

// Rejectf is Reject with a formatted reason.
func Rejectf(format string, args ...any) error { return Reject(fmt.Sprintf(format, args...)) }
