package folder

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Placed is a module's file that Put has made.
type Placed struct {
	Path string
	made fs.FileInfo
}

// Put makes the file of a new module, with the mode 0644, and its directory if
// that is missing. It appears with all of its contents, and is on disk when Put
// returns. Nothing is replaced: fs.ErrExist when there is a file, or a sidecar
// that would become the module's. After an error there is no file, but a
// directory may have been made.
func Put(path string, contents []byte) (p Placed, err error) {
	dir, base := filepath.Split(path)
	if err := mkdirs(filepath.Clean(dir)); err != nil {
		return Placed{}, err
	}
	if _, err := os.Lstat(Sidecar(path)); !errors.Is(err, fs.ErrNotExist) {
		if err == nil {
			err = &fs.PathError{Op: "install", Path: Sidecar(path), Err: fs.ErrExist}
		}
		return Placed{}, err
	}
	f, err := os.CreateTemp(dir, "."+base+".*.tmp")
	if err != nil {
		return Placed{}, err
	}
	defer os.Remove(f.Name()) // where it was renamed it is gone already
	if p.made, err = fill(f, contents); err != nil {
		return Placed{}, err
	}
	if err := move(f.Name(), path); err != nil {
		return Placed{}, err
	}
	p.Path = path
	if err := syncDir(dir); err != nil {
		return Placed{}, errors.Join(err, p.Remove())
	}
	return p, nil
}

// mkdirs makes a directory and its parents, durably.
func mkdirs(dir string) error {
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	parent := filepath.Dir(dir)
	if err := mkdirs(parent); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncDir(parent)
}

func fill(f *os.File, contents []byte) (made fs.FileInfo, err error) {
	defer func() {
		if closing := f.Close(); err == nil {
			err = closing
		}
	}()
	if _, err := f.Write(contents); err != nil {
		return nil, err
	}
	if err := f.Chmod(0o644); err != nil {
		return nil, err
	}
	if err := f.Sync(); err != nil {
		return nil, err
	}
	return f.Stat()
}

// move renames a file to a name that nobody has. A hard link is made only
// where there is none yet, which a rename does not promise.
func move(from, to string) error {
	err := os.Link(from, to)
	switch {
	case err == nil:
		return nil // the other name goes with Put
	case errors.Is(err, fs.ErrExist):
		return err
	}
	// A file system without hard links: what is left is to look, and be quick.
	if _, err := os.Lstat(to); !errors.Is(err, fs.ErrNotExist) {
		if err == nil {
			err = &fs.PathError{Op: "install", Path: to, Err: fs.ErrExist}
		}
		return err
	}
	return os.Rename(from, to)
}

// Remove removes the file again, unless another has taken its place.
func (p Placed) Remove() error {
	now, err := os.Lstat(p.Path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !os.SameFile(now, p.made) {
		return nil
	}
	if err != nil {
		return err
	}
	return remove(p.Path)
}

// Remove removes a module's file and its sidecar. What is not there need not
// be removed; a directory is not. The module goes first, because without its
// manifest it would be another plugin.
func Remove(path string) error {
	for _, path := range []string{path, Sidecar(path)} {
		now, err := os.Lstat(path)
		switch {
		case gone(err):
			continue
		case err != nil:
			return err
		case now.IsDir():
			return &fs.PathError{Op: "remove", Path: path, Err: errors.New("is a directory")}
		}
		if err := remove(path); err != nil {
			return err
		}
	}
	return nil
}

// remove is durable when it returns.
func remove(path string) error {
	if err := retry(func() error { return unix.Unlink(path) }); err != nil && !gone(err) {
		return &fs.PathError{Op: "remove", Path: path, Err: err}
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	if closing := d.Close(); err == nil {
		err = closing
	}
	if err != nil {
		return fmt.Errorf("make the change of %s durable: %w", dir, err)
	}
	return nil
}
