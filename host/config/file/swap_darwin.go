package file

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// swap exchanges two files at once. done is false where the file system cannot.
func swap(a, b string) (done bool, err error) {
	switch err := unix.RenamexNp(a, b, unix.RENAME_SWAP); {
	case err == nil:
		return true, nil
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOTSUP):
		return false, nil
	default:
		return false, &os.LinkError{Op: "exchange", Old: a, New: b, Err: err}
	}
}

// beingWritten is false: this system does not report writers.
func beingWritten(*os.File) bool { return false }

// mountPoint is false: this system has no bind mounts of files.
func mountPoint(string) bool { return false }
