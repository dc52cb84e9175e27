//go:build !linux

package cluster

import "time"

var started = time.Now()

// bootTime is the time since this process started. It may not count the time for which the
// machine was suspended; a host wakes up then with a lease that the others have ended, and its
// writes are refused.
func bootTime() time.Duration { return time.Since(started) }
