package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/pathguard"
)

// Permission bits of users other than the owner.
const (
	othersWrite = 0o022
	othersAny   = 0o077
)

// PrivateDir looks at a directory that only the host's user may enter. One that
// is missing is made by the host when it needs it.
func PrivateDir(check, path string) Finding { return privateDir(check, path, true, false) }

// DataDir is PrivateDir of the data directory, which may be a volume that its group
// can write to, or one that is trusted: a host starts with it.
func DataDir(check, path string) Finding { return privateDir(check, path, true, true) }

// SecretDir is PrivateDir of a directory that the host only reads, such as one that is
// mounted read-only.
func SecretDir(check, path string) Finding { return privateDir(check, path, false, false) }

func privateDir(check, path string, writes, volume bool) Finding {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return missing(check, path)
	case err != nil:
		return Bad(check, err.Error(), "let this user reach "+path)
	case !info.IsDir():
		return Bad(check, path+" is not a directory", "move it away, or name another directory")
	}
	mode := info.Mode().Perm()
	shown := fmt.Sprintf("%s has mode %04o", path, mode)
	switch {
	case mode&othersWrite != 0 && !volume:
		return Bad(check, shown+": other users can change what is in it, also code that is run", "chmod 700 "+path)
	case unix.Faccessat(unix.AT_FDCWD, path, unix.R_OK|unix.X_OK, unix.AT_EACCESS) != nil:
		return Bad(check, shown+", and this user cannot read it", "run as its owner, or chown it to this user")
	}
	if writes {
		if err := tryFile(path); err != nil {
			return Bad(check, fmt.Sprintf("%s, and no file can be made in it: %v", shown, err), writeAdvice(path, err))
		}
	}
	if err := guard(path, info); err != nil {
		return Bad(check, err.Error(), "a host does not start with it; keep it where its user and root alone can change things")
	}
	switch {
	case mode&othersWrite != 0:
		return Warn(check, shown+": other users can change what is in it, also code that is run", "chmod 700 "+path+", or see that no other user reaches it")
	case mode&othersAny != 0:
		return Warn(check, shown+": other users can see what is in it", "chmod 700 "+path)
	}
	return Good(check, shown)
}

// guard answers why other users than a directory's can change what is in it or
// put another in its place; nil when they cannot. Root may look at what is the
// host's user's.
func guard(path string, info fs.FileInfo) error {
	user := os.Geteuid()
	if stat, ok := info.Sys().(*syscall.Stat_t); ok && user == 0 {
		user = int(stat.Uid)
	}
	return pathguard.As(user).Check(path)
}

// tryFile makes a file in a directory, and removes it.
func tryFile(dir string) error {
	f, err := os.CreateTemp(dir, ".doctor-*")
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

// writeAdvice is what to do about a directory in which nothing can be written.
func writeAdvice(dir string, err error) string {
	switch {
	case fault.Full(err):
		return "make room, or put data_dir on another disk"
	case errors.Is(err, unix.EROFS):
		return "mount it for writing, or put data_dir elsewhere"
	}
	return "let this user write to " + dir + ": run as its owner, or chown it to this user"
}

// missing is a directory that the host will make: it must be able to.
func missing(check, path string) Finding {
	above := filepath.Dir(path)
	for {
		info, err := os.Stat(above)
		if err == nil {
			if !info.IsDir() {
				return Bad(check, fmt.Sprintf("%s cannot be made: %s is not a directory", path, above), "move it away, or name another directory")
			}
			if unix.Access(above, unix.W_OK|unix.X_OK) != nil {
				return Bad(check, fmt.Sprintf("%s cannot be made: this user cannot write to %s", path, above), "make it, owned by this user, with mode 0700")
			}
			return Good(check, path+" is not there yet; it is made when it is needed")
		}
		if next := filepath.Dir(above); next != above {
			above = next
			continue
		}
		return Bad(check, err.Error(), "make it, owned by this user, with mode 0700")
	}
}

// PrivateFile looks at a file that nobody but the host's user may read; ok is
// false when there is none.
func PrivateFile(check, path string) (f Finding, ok bool) {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return Finding{}, false
	case err != nil:
		return Bad(check, err.Error(), "let this user reach "+path), true
	case !info.Mode().IsRegular():
		return Bad(check, path+" is not a regular file", "move it away"), true
	}
	mode := info.Mode().Perm()
	shown := fmt.Sprintf("%s has mode %04o", path, mode)
	switch {
	case mode&othersAny != 0:
		return Bad(check, shown+": other users can use it", "chmod 600 "+path), true
	case unix.Access(path, unix.R_OK) != nil:
		return Bad(check, shown+", and this user cannot read it", "run as its owner, or chown it to this user"), true
	}
	return Good(check, shown), true
}

// PluginDir looks at a directory whose modules are run.
func PluginDir(path string) Finding {
	const check = "plugin directory"
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return Warn(check, path+" is not there; it is watched for", "make it, or take it out of plugin_directories")
	case err != nil:
		return Bad(check, err.Error(), "let this user reach "+path)
	case !info.IsDir():
		return Bad(check, path+" is not a directory", "name a directory in plugin_directories")
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return Bad(check, err.Error(), "let this user read "+path)
	}
	modules := 0
	for _, e := range entries {
		if filepath.Ext(e.Name()) == ".wasm" {
			modules++
		}
	}
	shown := fmt.Sprintf("%s has %d modules", path, modules)
	if modules == 1 {
		shown = path + " has 1 module"
	}
	if mode := info.Mode().Perm(); mode&0o002 != 0 {
		return Warn(check, fmt.Sprintf("%s, and mode %04o: any user of this machine can have a handler run", shown, mode), "chmod o-w "+path)
	}
	if err := guard(path, info); err != nil {
		return Warn(check, shown+"; "+err.Error(), "keep it where its user and root alone can change things: who can put a file there can have a handler run")
	}
	return Good(check, shown)
}

// Editable says whether the host can write a configuration, as enabling and approving
// do. probe tries that: it answers whether another file can take the file's place, or
// it can be overwritten, and if neither, why.
func Editable(path string, probe func(path string) (replace, overwrite bool, reason error)) Finding {
	const check = "configuration edits"
	real, err := filepath.EvalSymlinks(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return missing(check, path)
	case err != nil:
		return Bad(check, err.Error(), "let this user reach "+path)
	}
	switch replace, overwrite, reason := probe(real); {
	case replace:
		return Good(check, real+" can be replaced")
	case overwrite:
		return Good(check, fmt.Sprintf("%s can be overwritten, with a copy in the data directory: it cannot be replaced (%v)", real, reason))
	default:
		return Warn(check, fmt.Sprintf("%s cannot be written (%v): plugins cannot be enabled, disabled, approved, paused or installed by API", real, reason),
			"let this user write to it, or edit it by hand where it comes from and reload: the API answers what to write")
	}
}
