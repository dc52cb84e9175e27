package fault

import (
	"errors"
	"fmt"
	"syscall"
)

// Full reports whether an error means a full disk: no blocks or inodes left (ENOSPC),
// quota exceeded (EDQUOT), or file size limit reached (EFBIG). Do not call it with
// errors of inotify, which returns ENOSPC for a limit of its own.
func Full(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG)
}

// Disk wraps an error of the file system with the failed operation: Exhausted for a
// full disk (see Full), Unavailable otherwise. An err that has a code keeps it. It
// returns nil for nil.
func Disk(doing string, err error) error {
	var known *Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &known):
		return fmt.Errorf("%s: %w", doing, err)
	case Full(err):
		return New(Exhausted, "%s: the disk is full: free some space: %w", doing, err)
	}
	return New(Unavailable, "%s: %w", doing, err)
}
