package datafile

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/berth-host/berth/host/fault"
)

// fileLock excludes a second process, and a second File of this one, from a data
// file. It is a file of its own: closing any descriptor of the data file would
// release the locks SQLite has on it. The kernel releases it with the process.
type fileLock struct {
	f    *os.File
	data *os.File // the data file, with a lock of its own; nil where there is none
}

func lockName(path string) string { return path + ".lock" }

func lockFile(path string) (*fileLock, error) {
	name := lockName(path)
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fault.Disk("create the lock file", err)
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

// sign writes the process id into the lock file, for the error of a second process
// and as evidence of a complete store. A lock without it works too, so that the host
// starts on a full disk.
func (l *fileLock) sign() {
	if l.f.Truncate(0) == nil {
		_, _ = l.f.WriteAt(fmt.Appendf(nil, "%d\n", os.Getpid()), 0)
	}
}

// release keeps the lock file: without it two processes could lock two files of one
// name. Call it after SQLite has closed the data file.
func (l *fileLock) release() error {
	if l.data != nil {
		return errors.Join(l.data.Close(), l.f.Close())
	}
	return l.f.Close()
}

// Exclude takes the lock of a data file, so that no Store can open it, until release is
// called. The data file is not opened for writing on systems other than Linux.
// fault.Conflict: it is in use.
func Exclude(path string) (release func() error, err error) {
	lock, err := lockFile(path)
	if err != nil {
		return nil, err
	}
	if err := lock.claim(path); fault.Is(err, fault.Conflict) { // any other error says that it cannot be locked
		return nil, errors.Join(err, lock.release())
	}
	return lock.release, nil
}
