package traffic

import (
	"time"

	"golang.org/x/sys/unix"
)

// pause blocks the thread for about d. time.Sleep is up to a millisecond late where a
// process is otherwise idle, this 0.1 ms.
func pause(d time.Duration) {
	ts := unix.NsecToTimespec(int64(d))
	_ = unix.Nanosleep(&ts, nil) // a signal ends it early, and the caller looks at the clock
}
