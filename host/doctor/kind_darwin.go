package doctor

import "golang.org/x/sys/unix"

// kindOf names the file system.
func kindOf(fs *unix.Statfs_t) string { return unix.ByteSliceToString(fs.Fstypename[:]) }

// rlimit returns a limit of this process; macOS has no call for other processes.
func rlimit(_, resource int) (l unix.Rlimit, err error) {
	return l, unix.Getrlimit(resource, &l)
}
