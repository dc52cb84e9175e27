package folder

import (
	"errors"

	"golang.org/x/sys/unix"
)

// openForWriting asks for a read lease, which fcntl(2) refuses with EAGAIN
// while anybody has the file open for writing, and gives it back at once. Any
// other refusal (not the owner, a file system without leases) says nothing.
func openForWriting(fd int) bool {
	_, err := unix.FcntlInt(uintptr(fd), unix.F_SETLEASE, unix.F_RDLCK)
	if err == nil {
		// Closing the file gives the lease back too, should this fail.
		_, _ = unix.FcntlInt(uintptr(fd), unix.F_SETLEASE, unix.F_UNLCK)
	}
	return errors.Is(err, unix.EAGAIN)
}
