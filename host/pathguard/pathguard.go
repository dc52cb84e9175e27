// Package pathguard finds out whether users other than this process's can change
// what a path leads to: what the host executes, and the secrets it believes, must
// not be theirs. The mode of the last directory says little: whoever may write to
// one above it can put another in its place, and so can the owner of a symbolic
// link on the way.
//
// Trusted are this process's user and root, and for directories above also the
// groups this process is in; and the directories that the operator answers for
// (TrustedEnv). It imports the standard library and host/fault only.
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

// maxLinks is how many symbolic links a path may have, as in the kernel.
const maxLinks = 40

// Check answers nil when no other user can change what is in a directory, or in
// its place: fault.Denied with the part of the path that is at fault and what to
// do. An error of the file system has no code.
func Check(path string) error { return As(os.Geteuid()).Check(path) }

// Reach is Check, but the directory itself may be one in which every user owns
// what he makes (sticky, like /tmp): what is in it is then to be looked at by Owner.
func Reach(path string) error { return As(os.Geteuid()).walk(path, false) }

// Owner answers fault.Denied when a file is another user's.
func Owner(path string, info fs.FileInfo) error { return As(os.Geteuid()).owner(path, info) }

// As checks for a process of the user with this id.
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
	at, rest := root, split(path)
	for links := 0; ; {
		info, err := os.Lstat(at)
		if err != nil {
			return err
		}
		believed := info.IsDir() && slices.Contains(trusted, at)
		if err := u.owner(at, info); err != nil && !believed {
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
			at, rest = filepath.Dir(at), slices.Concat(split(target), rest)
			if filepath.IsAbs(target) {
				at = root
			}
		case !info.IsDir() && len(rest) > 0:
			return fault.New(fault.Denied, "%s is not a directory", at)
		default:
			if err := u.mode(at, info, private && len(rest) == 0); err != nil && !believed {
				return hint(err, info)
			}
		}
		if len(rest) == 0 {
			return nil
		}
		if rest[0] == ".." { // of a link's target
			at = filepath.Dir(at)
		} else {
			at = filepath.Join(at, rest[0])
		}
		rest = rest[1:]
	}
}

// hint adds to an error about a directory what to do in a container, where this user
// often cannot change a volume.
func hint(err error, info fs.FileInfo) error {
	if !info.IsDir() {
		return err
	}
	return fault.New(fault.Denied, "%w. If it is a container's volume that no other user reaches, name it in %s", err, TrustedEnv)
}

// split returns the elements of a path.
func split(path string) []string {
	return slices.DeleteFunc(strings.Split(path, string(filepath.Separator)), func(s string) bool { return s == "" || s == "." })
}

// owner refuses what belongs to another user, who can change it and its mode.
func (u As) owner(path string, info fs.FileInfo) error {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok || stat.Uid == 0 || int(stat.Uid) == int(u) || unmapped(stat.Uid) {
		return nil
	}
	return fault.New(fault.Denied, "%s belongs to the user with the id %d, who can change it: run as its owner, or chown it to this user (%d)", path, stat.Uid, int(u))
}

// mode refuses what users can write to who are not trusted.
func (u As) mode(path string, info fs.FileInfo, private bool) error {
	const group, others = 0o020, 0o002
	mode := info.Mode()
	if mode&fs.ModeSticky != 0 && mode.IsDir() && !private {
		return nil // each can replace only what is his own
	}
	switch {
	case mode.Perm()&others != 0:
		return fault.New(fault.Denied, "%s has mode %s: any user could change what is in it, or put something else there; chmod o-w %s", path, octal(mode), path)
	case mode.Perm()&group != 0 && !ofGroup(info):
		return fault.New(fault.Denied, "%s has mode %s: the users of its group could change what is in it, or put something else there; chmod g-w %s", path, octal(mode), path)
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

// ofGroup reports whether a file's group is root's or one of this process's: the
// one that is the user's own, or the one that a volume is mounted for.
func ofGroup(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok || stat.Gid == 0 || int(stat.Gid) == os.Getegid() {
		return true
	}
	groups, err := os.Getgroups()
	return err == nil && slices.Contains(groups, int(stat.Gid))
}

// unmapped reports whether a user id stands for users that this user namespace
// does not have, such as the root of a container's machine. None of them can be
// in it, too.
func unmapped(uid uint32) bool {
	const nobody = 65534 // the kernel's default for such
	if uid != nobody {
		return false
	}
	table, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		return false
	}
	fields := strings.Fields(string(table))
	return len(fields) != 3 || fields[2] != "4294967295" // all are there
}
