package file

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/berth-host/berth/host/fault"
)

// Replacer replaces files. Its zero value is ready to use.
type Replacer struct {
	// Copies is a durable directory for the copy of a file that cannot be replaced by
	// rename and is overwritten. "": such files are not overwritten.
	Copies string

	disk disk // nil for the real one
}

// disk is the file system as Replace uses it. Tests make single steps fail.
type disk interface {
	write(f *os.File, data []byte) error
	sync(f *os.File) error
	create(from, to string) error // renames; ErrChanged when to exists
	rename(from, to string) error
	swap(a, b string) (done bool, err error)
	syncDir(dir string) error
	overwrite(f *os.File, data []byte) error // replaces the content
	remove(name string) error                // durably
}

type realDisk struct{}

func (realDisk) write(f *os.File, data []byte) error {
	_, err := f.Write(data)
	return err
}

func (realDisk) sync(f *os.File) error { return f.Sync() }

func (realDisk) create(from, to string) error {
	err := os.Link(from, to) // never replaces a file; Replace removes the other name
	switch {
	case errors.Is(err, fs.ErrExist):
		return ErrChanged
	case err != nil: // a file system without hard links
		return os.Rename(from, to)
	}
	return nil
}

func (realDisk) rename(from, to string) error { return os.Rename(from, to) }

func (realDisk) swap(a, b string) (bool, error) { return swap(a, b) }

func (realDisk) syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

func (realDisk) overwrite(f *os.File, data []byte) error {
	if _, err := f.WriteAt(data, 0); err != nil {
		return err
	}
	return f.Truncate(int64(len(data)))
}

func (d realDisk) remove(name string) error {
	if err := os.Remove(name); err != nil {
		return err
	}
	return d.syncDir(filepath.Dir(name))
}

// ErrChanged is the error of Replace for a file that does not hold the expected
// content, or that another process has open for writing. The file is unchanged.
var ErrChanged = errors.New("another program changed it meanwhile")

// Replace replaces the content old of a file by data, or creates the file when old is
// nil. Readers see one or the other. The mode is preserved, and a symbolic link, whose
// target is replaced. Replace creates a missing directory. A file that cannot be
// replaced by rename, such as a bind-mounted one, is overwritten; see Copies.
//
// Errors are fault.Conflict, which wraps ErrChanged when the file does not hold old, or
// ErrReadOnly when it cannot be written; fault.Exhausted when the disk is full; and
// fault.Unavailable when it fails. Before the rename a failure leaves the old file
// unchanged; after it the new file may not survive a power failure. No temporary file
// is left. Where the system can exchange two files atomically, a file that another
// program renames to path meanwhile is restored.
func (r Replacer) Replace(path string, old, data []byte) error {
	d := r.disk
	if d == nil {
		d = realDisk{}
	}
	target, stat, err := locate(path, old != nil)
	if err == nil {
		err = replaceByRename(d, target, stat, old, data)
		switch {
		case !cannotRename(err):
		case old != nil:
			err = r.overwrite(d, target, old, data)
		default:
			err = fmt.Errorf("%w: %w", ErrReadOnly, err)
		}
	}
	if errors.Is(err, ErrChanged) || errors.Is(err, ErrReadOnly) {
		return fault.New(fault.Conflict, "replace %s: %w", path, err)
	}
	return fault.Disk("replace "+path, err)
}

// replaceByRename replaces target by a new file.
func replaceByRename(d disk, target string, stat fs.FileInfo, old, data []byte) error {
	dir := filepath.Dir(target)
	f, err := os.CreateTemp(dir, "."+filepath.Base(target)+".*")
	if err != nil {
		return err
	}
	keep := false
	defer func() {
		if !keep {
			os.Remove(f.Name()) // fails after the rename
		}
	}()
	defer f.Close()
	if err := copyOwner(f, stat); err != nil {
		return err
	}
	if err := d.write(f, data); err != nil {
		return err
	}
	if err := d.sync(f); err != nil {
		return err
	}
	if err := f.Close(); err != nil { // otherwise read would detect this writer
		return err
	}
	now, err := read(target)
	if gone := errors.Is(err, fs.ErrNotExist); gone {
		if old != nil {
			return ErrChanged
		}
	} else if err != nil {
		return err
	} else if old == nil || !bytes.Equal(now, old) {
		return ErrChanged
	}
	if old == nil {
		err = d.create(f.Name(), target)
	} else if keep, err = exchange(d, f.Name(), target, old, data); keep {
		err = fmt.Errorf("%w repeatedly; an earlier content is in %s", err, f.Name())
	}
	if err != nil {
		return err
	}
	return d.syncDir(dir)
}

// exchanges bounds the attempts of exchange to restore the file it displaced.
const exchanges = 100

// exchange exchanges temp, which holds data, and target. When target did not hold old
// it restores target and returns ErrChanged. keep reports that temp holds another
// program's content at the end.
func exchange(d disk, temp, target string, old, data []byte) (keep bool, err error) {
	installed, displaced := data, old
	for i := range exchanges {
		done, err := d.swap(temp, target)
		if err != nil {
			return i > 0, err
		}
		if !done && i == 0 {
			return false, d.rename(temp, target)
		}
		now, err := read(temp)
		switch {
		case err == nil && bytes.Equal(now, displaced) && i == 0:
			return false, nil
		case err == nil && bytes.Equal(now, displaced):
			return false, ErrChanged // the other program's file is restored
		}
		// Another program changed target first. temp is newer now than before.
		installed, displaced = now, installed
	}
	return true, ErrChanged
}

// read returns the content of a file, or ErrChanged when a process is writing to it.
func read(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if beingWritten(f) {
		return nil, ErrChanged
	}
	return io.ReadAll(f)
}

// locate follows symbolic links to the file. It creates the directory of a missing one.
func locate(path string, exists bool) (string, fs.FileInfo, error) {
	if exists {
		target, err := filepath.EvalSymlinks(path)
		if err != nil {
			return "", nil, err
		}
		stat, err := os.Stat(target)
		return target, stat, err
	}
	if _, err := os.Lstat(path); err == nil {
		return "", nil, &fs.PathError{Op: "follow", Path: path, Err: errors.New("the symbolic link leads nowhere")}
	}
	return path, nil, os.MkdirAll(filepath.Dir(path), 0o755)
}

// copyOwner copies the mode of the old file, and its owner where the process may
// change it (a host run by root edits a user's file).
func copyOwner(f *os.File, stat fs.FileInfo) error {
	if stat == nil {
		return f.Chmod(0o644)
	}
	if old, ok := stat.Sys().(*syscall.Stat_t); ok && (int(old.Uid) != os.Getuid() || int(old.Gid) != os.Getgid()) {
		_ = f.Chown(int(old.Uid), int(old.Gid))
	}
	return f.Chmod(stat.Mode().Perm())
}
