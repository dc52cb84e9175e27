package file

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// swap exchanges two files atomically. done is false where the file system cannot.
func swap(a, b string) (done bool, err error) {
	switch err := unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_EXCHANGE); {
	case err == nil:
		return true, nil
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOSYS), errors.Is(err, unix.ENOTSUP):
		return false, nil
	default:
		return false, &os.LinkError{Op: "exchange", Old: a, New: b, Err: err}
	}
}

// beingWritten reports whether a process has the file open for writing: fcntl(2) then
// refuses a read lease with EAGAIN. Other errors do not tell.
func beingWritten(f *os.File) bool {
	_, err := unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_RDLCK)
	if err == nil {
		_, _ = unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_UNLCK) // closing releases it too
	}
	return errors.Is(err, unix.EAGAIN)
}

// mountPoint reports whether a file is bind-mounted, as the configuration of a container
// is; it cannot be replaced by rename.
func mountPoint(path string) bool {
	var st unix.Statx_t
	err := unix.Statx(unix.AT_FDCWD, path, unix.AT_SYMLINK_NOFOLLOW, unix.STATX_BASIC_STATS, &st)
	return err == nil && st.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0
}
