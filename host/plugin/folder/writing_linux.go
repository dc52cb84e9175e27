package folder

import (
	"errors"

	"golang.org/x/sys/unix"
)

// openForWriting requests a read lease, which fcntl(2) refuses with EAGAIN while a process
// has the file open for writing, and releases it at once. Another refusal (not the owner,
// a file system without leases) counts as false.
func openForWriting(fd int) bool {
	_, err := unix.FcntlInt(uintptr(fd), unix.F_SETLEASE, unix.F_RDLCK)
	if err == nil {
		// If this fails, closing the file releases the lease.
		_, _ = unix.FcntlInt(uintptr(fd), unix.F_SETLEASE, unix.F_UNLCK)
	}
	return errors.Is(err, unix.EAGAIN)
}
