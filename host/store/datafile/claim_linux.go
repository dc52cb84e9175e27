package datafile

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"github.com/berth-host/berth/host/fault"
)

// claimByte is the byte of the data file that the host locks. SQLite locks 512 bytes
// from 1 GiB on, and no other.
const claimByte = 1<<30 + 1<<20

// claim locks the data file itself, so that a second process cannot use it after the
// lock file was deleted. The lock belongs to the open file description: SQLite's
// locks, which belong to the process, stay as they are as long as the descriptor is
// open until SQLite has closed the file.
func (l *fileLock) claim(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return fault.New(fault.Unavailable, "%w", err)
	}
	lock := unix.Flock_t{Type: unix.F_WRLCK, Start: claimByte, Len: 1}
	err = unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &lock)
	switch {
	case errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES):
		f.Close()
		return fault.New(fault.Conflict, "%s is in use by another process, whose lock file was deleted; stop that process, or use "+
			"another data directory", path)
	case err != nil: // a file system without such locks; the lock file remains
		return f.Close()
	}
	l.data = f
	return nil
}
