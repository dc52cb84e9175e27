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

// PrivateDir checks a directory that only the host's user may enter. The host
// creates a missing one when it needs it.
func PrivateDir(check, path string) Finding { return privateDir(check, path, true, false) }

// DataDir is PrivateDir for the data directory, which may be a volume that is
// writable for its group, or a trusted directory: a host starts with it.
func DataDir(check, path string) Finding { return privateDir(check, path, true, true) }

// SecretDir is PrivateDir for a directory that the host only reads, such as a
// read-only mount.
func SecretDir(check, path string) Finding { return privateDir(check, path, false, false) }

func privateDir(check, path string, writes, volume bool) Finding {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return missing(check, path)
	case err != nil:
		return Bad(check, err.Error(), "give this user access to "+path)
	case !info.IsDir():
		return Bad(check, path+" is not a directory", "move it away, or name another directory")
	}
	mode := info.Mode().Perm()
	shown := fmt.Sprintf("%s has mode %04o", path, mode)
	switch {
	case mode&othersWrite != 0 && !volume:
		return Bad(check, shown+": other users can change its content, which includes code that runs", "chmod 700 "+path)
	case unix.Faccessat(unix.AT_FDCWD, path, unix.R_OK|unix.X_OK, unix.AT_EACCESS) != nil:
		return Bad(check, shown+", and this user cannot read it", "run as its owner, or chown it to this user")
	}
	if writes {
		if err := tryFile(path); err != nil {
			return Bad(check, fmt.Sprintf("%s, and creating a file in it fails: %v", shown, err), writeAdvice(path, err))
		}
	}
	if err := guard(path, info); err != nil {
		return Bad(check, err.Error(), "a host does not start with it; move it below directories that only its user and root can write to")
	}
	switch {
	case mode&othersWrite != 0:
		return Warn(check, shown+": other users can change its content, which includes code that runs",
			"chmod 700 "+path+", or make sure that no other user has access to it")
	case mode&othersAny != 0:
		return Warn(check, shown+": other users can see its content", "chmod 700 "+path)
	}
	return Good(check, shown)
}

// guard returns an error when users other than the owner of a directory can change
// its content or replace it. Run by root, it checks for the directory's owner.
func guard(path string, info fs.FileInfo) error {
	user := os.Geteuid()
	if stat, ok := info.Sys().(*syscall.Stat_t); ok && user == 0 {
		user = int(stat.Uid)
	}
	return pathguard.As(user).Check(path)
}

// tryFile creates a file in a directory and removes it.
func tryFile(dir string) error {
	f, err := os.CreateTemp(dir, ".doctor-*")
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

// writeAdvice returns the advice for a directory that cannot be written to.
func writeAdvice(dir string, err error) string {
	switch {
	case fault.Full(err):
		return "free some space, or put data_dir on another disk"
	case errors.Is(err, unix.EROFS):
		return "mount it writable, or put data_dir elsewhere"
	}
	return "let this user write to " + dir + ": run as its owner, or chown it to this user"
}

// missing checks whether the host can create a directory.
func missing(check, path string) Finding {
	above := filepath.Dir(path)
	for {
		info, err := os.Stat(above)
		if err == nil {
			if !info.IsDir() {
				return Bad(check, fmt.Sprintf("%s cannot be created: %s is not a directory", path, above), "move it away, or name another directory")
			}
			if unix.Access(above, unix.W_OK|unix.X_OK) != nil {
				return Bad(check, fmt.Sprintf("%s cannot be created: this user cannot write to %s", path, above),
					"create it, owned by this user, with mode 0700")
			}
			return Good(check, path+" does not exist yet; the host creates it when it needs it")
		}
		if next := filepath.Dir(above); next != above {
			above = next
			continue
		}
		return Bad(check, err.Error(), "create it, owned by this user, with mode 0700")
	}
}

// PrivateFile checks a file that only the host's user may read. ok is false when
// the file does not exist.
func PrivateFile(check, path string) (f Finding, ok bool) {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return Finding{}, false
	case err != nil:
		return Bad(check, err.Error(), "give this user access to "+path), true
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

// PluginDir checks a watched directory.
func PluginDir(path string) Finding {
	const check = "plugin directory"
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return Warn(check, path+" does not exist; the host waits for it", "create it, or remove it from plugin_directories")
	case err != nil:
		return Bad(check, err.Error(), "give this user access to "+path)
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
		return Warn(check, fmt.Sprintf("%s, and mode %04o: any user of this machine can install a handler", shown, mode), "chmod o-w "+path)
	}
	if err := guard(path, info); err != nil {
		return Warn(check, shown+"; "+err.Error(),
			"move it below directories that only its user and root can write to: every file in it runs as a handler")
	}
	return Good(check, shown)
}

// Editable checks whether the host can write a configuration, as enabling and
// approving do. probe returns whether the file can be replaced or overwritten, and
// the reason when it cannot be replaced.
func Editable(path string, probe func(path string) (replace, overwrite bool, reason error)) Finding {
	const check = "configuration edits"
	real, err := filepath.EvalSymlinks(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return missing(check, path)
	case err != nil:
		return Bad(check, err.Error(), "give this user access to "+path)
	}
	switch replace, overwrite, reason := probe(real); {
	case replace:
		return Good(check, real+" can be replaced")
	case overwrite:
		return Good(check, fmt.Sprintf("%s can be overwritten, with a copy in the data directory: it cannot be replaced (%v)", real, reason))
	default:
		return Warn(check, fmt.Sprintf("%s cannot be written (%v): plugins cannot be enabled, disabled, approved, paused or installed by API",
			real, reason),
			"give this user write access, or edit the file at its source and reload: the API returns the text to write")
	}
}
