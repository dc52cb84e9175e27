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
	lockTimeout = 5 * time.Second // for another process to unlock
	lockEvery   = 5 * time.Millisecond
)

// Lock excludes other processes that lock the same file until unlock is called. It does
// not exclude goroutines of one process. It locks the directory of the file, with
// symbolic links followed: a lock file would appear in a version control's status and
// could not be created in a read-only directory, and a rename would drop a lock on the
// file itself. It creates a missing directory.
//
// Where the file system cannot lock directories Lock succeeds without a lock; Replace
// still detects changes. It returns fault.Unavailable when another process holds the
// lock for more than lockTimeout.
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
		return func() { _ = lock.Close() }, nil // closing the descriptor unlocks
	case errors.Is(err, context.DeadlineExceeded):
		return nil, fault.New(fault.Unavailable, "lock %s: another process has locked its directory for %v; try again", path, lockTimeout)
	case errors.Is(err, unix.ENOTSUP), errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.ENOSYS), errors.Is(err, unix.ENOLCK),
		errors.Is(err, unix.EBADF), errors.Is(err, unix.EACCES):
		return func() {}, nil
	}
	return nil, fault.New(fault.Unavailable, "lock %s: %w", path, err)
}
