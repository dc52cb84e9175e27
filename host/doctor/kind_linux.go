package doctor

import "golang.org/x/sys/unix"

// kindOf names the file systems that affect a store; "" for others.
func kindOf(fs *unix.Statfs_t) string {
	switch uint32(fs.Type) { // magic numbers are 32 bits, and signed on some architectures
	case unix.NFS_SUPER_MAGIC:
		return "nfs"
	case unix.SMB_SUPER_MAGIC:
		return "smb"
	case unix.CIFS_SUPER_MAGIC:
		return "cifs"
	case unix.SMB2_SUPER_MAGIC:
		return "smb2"
	case unix.V9FS_MAGIC:
		return "9p"
	case unix.AFS_FS_MAGIC, unix.AFS_SUPER_MAGIC:
		return "afs"
	case unix.CEPH_SUPER_MAGIC:
		return "ceph"
	case unix.FUSE_SUPER_MAGIC:
		return "fuse"
	case unix.TMPFS_MAGIC:
		return "tmpfs"
	case unix.RAMFS_MAGIC:
		return "ramfs"
	case unix.OVERLAYFS_SUPER_MAGIC:
		return "overlayfs"
	case unix.EXT4_SUPER_MAGIC:
		return "ext4"
	case unix.XFS_SUPER_MAGIC:
		return "xfs"
	case unix.BTRFS_SUPER_MAGIC:
		return "btrfs"
	}
	return ""
}

// rlimit returns a limit of a process; 0 is this one.
func rlimit(pid, resource int) (l unix.Rlimit, err error) {
	return l, unix.Prlimit(pid, resource, nil, &l)
}
