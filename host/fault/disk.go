package fault

import (
	"errors"
	"fmt"
	"syscall"
)

// Full reports whether the file system refused to store more: it has no blocks or
// inodes left (ENOSPC), a quota is used up (EDQUOT), or a file must not grow any
// further (EFBIG). inotify answers ENOSPC too, for a limit of its own: do not ask
// about its errors.
func Full(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG)
}

// Disk returns an error of the file system with the operation that failed:
// Exhausted for a full disk (see Full), Unavailable for any other reason. A code
// that err carries already stays. nil for nil.
func Disk(doing string, err error) error {
	var known *Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &known):
		return fmt.Errorf("%s: %w", doing, err)
	case Full(err):
		return New(Exhausted, "%s: the disk is full: free some space, no restart is needed: %w", doing, err)
	}
	return New(Unavailable, "%s: %w", doing, err)
}
