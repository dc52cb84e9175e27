//go:build !linux

package measure

import "golang.org/x/sys/unix"

// resident returns the highest resident memory of the process in bytes: what this system
// reports.
func resident() uint64 {
	var use unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &use) != nil {
		return 0
	}
	return uint64(use.Maxrss)
}
