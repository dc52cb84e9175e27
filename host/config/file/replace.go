package file

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/berth-host/berth/host/fault"
)

// Replacer replaces files. Its zero value is ready to use.
type Replacer struct {
	disk disk // nil for the real one
}

// disk is what Replace asks of the file system. Tests make single steps fail.
type disk interface {
	write(f *os.File, data []byte) error
	sync(f *os.File) error
	rename(from, to string) error
	syncDir(dir string) error
}

type realDisk struct{}

func (realDisk) write(f *os.File, data []byte) error {
	_, err := f.Write(data)
	return err
}

func (realDisk) sync(f *os.File) error { return f.Sync() }

func (realDisk) rename(from, to string) error { return os.Rename(from, to) }

func (realDisk) syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// Replace puts data in the place of old, or of no file when old is nil: readers
// see the one or the other. The mode stays, and so does a symbolic link, whose
// target is replaced. A missing file's directory is made.
//
// It fails with fault.Conflict when the file does not hold old any more, and
// with fault.Unavailable when the disk does. Before the rename a failure leaves
// the old file untouched; after it the new one is in place but might not survive
// a power failure. Either way no temporary file is left.
func (r Replacer) Replace(path string, old, data []byte) error {
	d := r.disk
	if d == nil {
		d = realDisk{}
	}
	fail := func(err error) error {
		return fault.New(fault.Unavailable, "replace %s: %w", path, err)
	}
	target, stat, err := locate(path, old != nil)
	if err != nil {
		return fail(err)
	}
	dir := filepath.Dir(target)
	f, err := os.CreateTemp(dir, "."+filepath.Base(target)+".*")
	if err != nil {
		return fail(err)
	}
	defer os.Remove(f.Name()) // gone already when the rename succeeded
	defer f.Close()
	if err := copyOwner(f, stat); err != nil {
		return fail(err)
	}
	if err := d.write(f, data); err != nil {
		return fail(err)
	}
	if err := d.sync(f); err != nil {
		return fail(err)
	}
	// What is left of a race with a person's editor is the moment until the rename.
	now, err := os.ReadFile(target)
	gone := errors.Is(err, fs.ErrNotExist)
	switch {
	case err != nil && !gone:
		return fail(err)
	case gone != (old == nil) || !bytes.Equal(now, old):
		return fault.New(fault.Conflict, "replace %s: somebody else changed it meanwhile; try again", path)
	}
	if err := d.rename(f.Name(), target); err != nil {
		return fail(err)
	}
	if err := d.syncDir(dir); err != nil {
		return fail(err)
	}
	return nil
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
