package cluster

import (
	"time"

	"golang.org/x/sys/unix"
)

var started = time.Now()

// bootTime is the time since the machine started, including the time it was suspended.
func bootTime() time.Duration {
	var t unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &t) != nil {
		return time.Since(started)
	}
	return time.Duration(t.Nano())
}
