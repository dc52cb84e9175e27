package folder

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// FileOf returns the path of the module in a directory whose file name gives the plugin
// this name; "" for none.
func FileOf(dir, name string) (string, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if module, ok := ModuleOf(path); ok && module == path && NameOf(path) == name {
			return path, nil
		}
	}
	return "", nil
}

// Put writes a module and its sidecar, nil for none, into a watched directory, and replaces
// existing ones. Both are complete on the disk before one is renamed, and the former ones
// are restored if the second rename fails.
func Put(path string, wasm, manifest []byte) (err error) {
	sidecar := Sidecar(path)
	module, err := writeTemporary(path, wasm)
	if err != nil {
		return err
	}
	defer os.Remove(module) // fails after the rename
	before, err := os.ReadFile(sidecar)
	had := err == nil
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read the present manifest: %w", err)
	}
	switch {
	case manifest != nil:
		if err := replace(sidecar, path, manifest); err != nil {
			return err
		}
	case had:
		if err := os.Remove(sidecar); err != nil {
			return fmt.Errorf("remove the manifest of the former module: %w", err)
		}
	}
	if err := os.Rename(module, path); err != nil {
		switch {
		case had:
			err = errors.Join(err, replace(sidecar, path, before))
		case manifest != nil:
			err = errors.Join(err, os.Remove(sidecar))
		}
		return err
	}
	return nil
}

func replace(path, module string, contents []byte) error {
	temporary, err := writeTemporary(module, contents)
	if err != nil {
		return err
	}
	if err := os.Rename(temporary, path); err != nil {
		return errors.Join(err, os.Remove(temporary))
	}
	return nil
}

// writeTemporary writes a file beside a module, under a name that is not a module's and
// that Sweep removes if this process is killed.
func writeTemporary(module string, contents []byte) (path string, err error) {
	f, err := os.CreateTemp(filepath.Dir(module), "."+filepath.Base(module)+".*.tmp")
	if err != nil {
		return "", err
	}
	_, err = f.Write(contents)
	if err == nil {
		err = f.Chmod(0o644)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return "", errors.Join(err, os.Remove(f.Name()))
	}
	return f.Name(), nil
}
