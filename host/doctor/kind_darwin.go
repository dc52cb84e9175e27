package doctor

import "golang.org/x/sys/unix"

// kindOf names the file system.
func kindOf(fs *unix.Statfs_t) string { return unix.ByteSliceToString(fs.Fstypename[:]) }
