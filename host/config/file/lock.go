package file

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"
	"golang.org/x/sys/unix"

	"github.com/berth-host/berth/host/fault"
)

const (
	lockTimeout = 5 * time.Second // that Lock waits for another process
	lockEvery   = 5 * time.Millisecond
)

// Lock keeps other processes that Lock the same file away until unlock is
// called; it is not for goroutines of one process. What is locked is the
// directory that holds the file itself, symbolic links followed: a lock file
// beside it would show in a version control's status and could not be made in
// a read-only directory, and a lock on the file would be lost with the rename
// that replaces it. A missing directory is made.
//
// Where the file system cannot lock a directory there is no lock; what is left
// then is Replace's own care. fault.Unavailable when another process does not
// give the lock back.
func Lock(path string) (unlock func(), err error) {
	dir := filepath.Dir(path)
	if target, err := filepath.EvalSymlinks(path); err == nil {
		dir = filepath.Dir(target)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fault.Disk("lock "+path, err)
	}
	lock := flock.New(dir, flock.SetFlag(os.O_RDONLY))
	ctx, cancel := context.WithTimeout(context.Background(), lockTimeout)
	defer cancel()
	_, err = lock.TryLockContext(ctx, lockEvery)
	switch {
	case err == nil:
		return func() { _ = lock.Close() }, nil // it goes with the descriptor at the latest
	case errors.Is(err, context.DeadlineExceeded):
		return nil, fault.New(fault.Unavailable, "lock %s: another process has locked its directory for %v; try again", path, lockTimeout)
	case errors.Is(err, unix.ENOTSUP), errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.ENOSYS), errors.Is(err, unix.ENOLCK),
		errors.Is(err, unix.EBADF), errors.Is(err, unix.EACCES):
		return func() {}, nil
	}
	return nil, fault.New(fault.Unavailable, "lock %s: %w", path, err)
}
