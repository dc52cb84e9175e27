package folder

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Remove removes a module's file and its sidecar. A missing file is no error, a directory
// is. It removes the module first, because without its manifest it is another plugin.
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

// remove removes a file durably.
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
