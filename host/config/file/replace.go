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
	// Copies is a directory on a disk. A file in whose place no other can be put is
	// overwritten with a copy there; "": it is not.
	Copies string

	disk disk // nil for the real one
}

// disk is what Replace asks of the file system. Tests make single steps fail.
type disk interface {
	write(f *os.File, data []byte) error
	sync(f *os.File) error
	create(from, to string) error // renames; ErrChanged when there is a file
	rename(from, to string) error
	swap(a, b string) (done bool, err error)
	syncDir(dir string) error
	overwrite(f *os.File, data []byte) error // makes it hold data
	remove(name string) error                // durably
}

type realDisk struct{}

func (realDisk) write(f *os.File, data []byte) error {
	_, err := f.Write(data)
	return err
}

func (realDisk) sync(f *os.File) error { return f.Sync() }

func (realDisk) create(from, to string) error {
	err := os.Link(from, to) // which replaces nothing; the other name goes with Replace
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

// ErrChanged is why Replace has done nothing: the file does not hold what it
// was said to hold, or somebody has it open for writing.
var ErrChanged = errors.New("somebody else changed it meanwhile")

// Replace puts data in the place of old, or of no file when old is nil: readers
// see the one or the other. The mode stays, and so does a symbolic link, whose
// target is replaced. A missing file's directory is made.
//
// Where no other file can be put in its place, such as a file that is mounted by
// itself, it is overwritten instead: see Copies.
//
// It fails with fault.Conflict, wrapping ErrChanged, when the file does not
// hold old any more, or ErrReadOnly when it cannot be written at all; with
// fault.Exhausted when the disk is full, and fault.Unavailable when it fails. Before the
// rename a failure leaves the old file untouched; after it the new one is in
// place but might not survive a power failure. Either way no temporary file is
// left. Where the system can exchange two files, nothing that somebody has
// renamed to path in the meantime is lost either: it is put back.
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

// replaceByRename puts a new file in the place of target.
func replaceByRename(d disk, target string, stat fs.FileInfo, old, data []byte) error {
	dir := filepath.Dir(target)
	f, err := os.CreateTemp(dir, "."+filepath.Base(target)+".*")
	if err != nil {
		return err
	}
	keep := false
	defer func() {
		if !keep {
			os.Remove(f.Name()) // gone already where it was renamed
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
	if err := f.Close(); err != nil { // or we would be the one who writes to it
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
		err = fmt.Errorf("%w again and again; what it held at some time is in %s", err, f.Name())
	}
	if err != nil {
		return err
	}
	return d.syncDir(dir)
}

// exchanges bounds how often exchange tries to give back what it has displaced.
const exchanges = 100

// exchange puts temp, which holds data, in the place of target. When it finds
// that target did not hold old, it puts back what it did hold: ErrChanged. keep
// says that temp has something of somebody else's in the end.
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
			return false, ErrChanged // what was theirs is theirs again
		}
		// Somebody was first. What temp has now is newer than what it had before.
		installed, displaced = now, installed
	}
	return true, ErrChanged
}

// read returns what a file holds. ErrChanged when somebody is writing to it.
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

// locate follows symbolic links to the file itself. A missing file's directory
// is made.
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

// copyOwner gives the new file the old one's mode, and its owner where the
// process may do that (a host run by root edits a person's file).
func copyOwner(f *os.File, stat fs.FileInfo) error {
	if stat == nil {
		return f.Chmod(0o644)
	}
	if old, ok := stat.Sys().(*syscall.Stat_t); ok && (int(old.Uid) != os.Getuid() || int(old.Gid) != os.Getgid()) {
		_ = f.Chown(int(old.Uid), int(old.Gid))
	}
	return f.Chmod(stat.Mode().Perm())
}
