package store

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/berth-host/berth/host/fault"
)

// fileLock keeps a second process, or a second Store of this one, off a data
// file. It is a file of its own: closing any descriptor of the data file would
// drop the locks SQLite has on it. The kernel drops it with the process.
type fileLock struct{ f *os.File }

func lockFile(path string) (*fileLock, error) {
	name := path + ".lock"
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fault.New(fault.Unavailable, "%w", err)
	}
	for {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if errors.Is(err, unix.EWOULDBLOCK) {
		owner, _ := io.ReadAll(io.LimitReader(f, 20))
		f.Close()
		return nil, fault.New(fault.Conflict, "%s is in use by another process (pid %s); stop it, or use another data directory",
			path, strings.TrimSpace(string(owner)))
	}
	if err != nil {
		f.Close()
		return nil, fault.New(fault.Unavailable, "lock %s: %w", name, err)
	}
	// The pid is for the error above; a lock without it is as good, so that a
	// full disk does not keep the host from starting.
	if f.Truncate(0) == nil {
		fmt.Fprintln(f, os.Getpid())
	}
	return &fileLock{f}, nil
}

// release leaves the file: removing it would let two processes lock two files
// of one name.
func (l *fileLock) release() error { return l.f.Close() }
