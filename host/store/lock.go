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
type fileLock struct {
	f    *os.File
	data *os.File // the data file, with a lock of its own; nil where there is none
}

func lockName(path string) string { return path + ".lock" }

func lockFile(path string) (*fileLock, error) {
	name := lockName(path)
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fault.Disk("make the lock file", err)
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
		return nil, inUse(path, strings.TrimSpace(string(owner)))
	}
	if err != nil {
		f.Close()
		return nil, fault.New(fault.Unavailable, "lock %s: %w", name, err)
	}
	return &fileLock{f: f}, nil
}

func inUse(path, pid string) error {
	if pid != "" {
		pid = " (pid " + pid + ")"
	}
	return fault.New(fault.Conflict, "%s is in use by another process%s; stop it, or use another data directory", path, pid)
}

// sign writes the process id into the lock file. It is for the error of a second
// process, and says that there is a complete store here; a lock without it works
// too, so a full disk does not keep the host from starting.
func (l *fileLock) sign() {
	if l.f.Truncate(0) == nil {
		_, _ = l.f.WriteAt(fmt.Appendf(nil, "%d\n", os.Getpid()), 0)
	}
}

// release leaves the file: removing it would let two processes lock two files
// of one name. Call it after SQLite has closed the data file.
func (l *fileLock) release() error {
	if l.data != nil {
		return errors.Join(l.data.Close(), l.f.Close())
	}
	return l.f.Close()
}
