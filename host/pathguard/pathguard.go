// Package pathguard checks whether users other than this process's user can change
// the content of a path: code that the host runs and secrets that it reads must not
// be under their control. The mode of the last directory is not enough, because a
// user who can write to a parent, or who owns a symbolic link on the path, can
// replace it.
//
// Trusted are this process's user and root, for parents also the groups of this
// process, and the directories that the operator names in TrustedEnv. It imports the
// standard library and host/fault only.
package pathguard

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/berth-host/berth/host/fault"
)

// maxLinks is the maximum number of symbolic links in a path, as in the kernel.
const maxLinks = 40

// Check returns fault.Denied when another user can change or replace a directory;
// the text names the part of the path and what to do. An error of the file system
// has no code.
func Check(path string) error { return As(os.Geteuid()).Check(path) }

// CheckShared is Check, except that the directory itself may be shared and sticky,
// like /tmp. The caller then checks each file in it by Owner.
func CheckShared(path string) error { return As(os.Geteuid()).walk(path, false) }

// Owner returns fault.Denied when another user owns a file.
func Owner(path string, info fs.FileInfo) error { return As(os.Geteuid()).owner(path, info) }

// As performs the checks for a process of the user with this id.
type As int

// Check is the function Check for that user.
func (u As) Check(path string) error { return u.walk(path, true) }

func (u As) walk(path string, private bool) error {
	path, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	const root = string(filepath.Separator)
	trusted := Trusted()
	at, elements := root, split(path)
	for links := 0; ; {
		info, err := os.Lstat(at)
		if err != nil {
			return err
		}
		exempt := info.IsDir() && slices.Contains(trusted, at)
		if err := u.owner(at, info); err != nil && !exempt {
			return hint(err, info)
		}
		switch {
		case info.Mode()&fs.ModeSymlink != 0:
			if links++; links > maxLinks {
				return fault.New(fault.Denied, "%s has more than %d symbolic links", path, maxLinks)
			}
			target, err := os.Readlink(at)
			if err != nil {
				return err
			}
			at, elements = filepath.Dir(at), slices.Concat(split(target), elements)
			if filepath.IsAbs(target) {
				at = root
			}
		case !info.IsDir() && len(elements) > 0:
			return fault.New(fault.Denied, "%s is not a directory", at)
		default:
			if err := u.mode(at, info, private && len(elements) == 0); err != nil && !exempt {
				return hint(err, info)
			}
		}
		if len(elements) == 0 {
			return nil
		}
		if elements[0] == ".." { // of a link's target
			at = filepath.Dir(at)
		} else {
			at = filepath.Join(at, elements[0])
		}
		elements = elements[1:]
	}
}

// hint adds advice for containers to an error about a directory: their user often
// cannot change a volume.
func hint(err error, info fs.FileInfo) error {
	if !info.IsDir() {
		return err
	}
	return fault.New(fault.Denied, "%w. If it is a container's volume that no other user can access, name it in %s", err, TrustedEnv)
}

// split returns the elements of a path.
func split(path string) []string {
	return slices.DeleteFunc(strings.Split(path, string(filepath.Separator)), func(s string) bool { return s == "" || s == "." })
}

// owner refuses a file of another user, who can change it and its mode.
func (u As) owner(path string, info fs.FileInfo) error {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok || stat.Uid == 0 || int(stat.Uid) == int(u) || unmapped(stat.Uid) {
		return nil
	}
	return fault.New(fault.Denied, "%s belongs to the user with the id %d, who can change it: run as its owner, or chown it to this user (%d)",
		path, stat.Uid, int(u))
}

// mode refuses a path that users who are not trusted can write to.
func (u As) mode(path string, info fs.FileInfo, private bool) error {
	const group, others = 0o020, 0o002
	mode := info.Mode()
	if mode&fs.ModeSticky != 0 && mode.IsDir() && !private {
		return nil // users can replace only their own files
	}
	switch {
	case mode.Perm()&others != 0:
		return fault.New(fault.Denied, "%s has mode %s: any user could change or replace its content; run chmod o-w %s", path, octal(mode), path)
	case mode.Perm()&group != 0 && !ofGroup(info):
		return fault.New(fault.Denied, "%s has mode %s: users of its group could change or replace its content; run chmod g-w %s", path,
			octal(mode), path)
	}
	return nil
}

func octal(mode fs.FileMode) string {
	n := uint32(mode.Perm())
	if mode&fs.ModeSticky != 0 {
		n |= 0o1000
	}
	return fmt.Sprintf("%04o", n)
}

// ofGroup reports whether a file's group is root's or one of this process's, such
// as the group that a volume is mounted for.
func ofGroup(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok || stat.Gid == 0 || int(stat.Gid) == os.Getegid() {
		return true
	}
	groups, err := os.Getgroups()
	return err == nil && slices.Contains(groups, int(stat.Gid))
}

// unmapped reports whether a user id stands for users outside of this user
// namespace, such as the root of a container's machine. They have no processes in
// the namespace.
func unmapped(uid uint32) bool {
	const nobody = 65534 // the kernel's default for unmapped users
	if uid != nobody {
		return false
	}
	table, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		return false
	}
	fields := strings.Fields(string(table))
	return len(fields) != 3 || fields[2] != "4294967295" // every user is mapped
}
