package folder

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// Put makes all of a file or none, replaces nothing, and leaves no other.
func TestPut(t *testing.T) {
	root := t.TempDir()
	for _, dir := range []string{"made", "made/below", "link"} {
		if dir == "link" {
			must(t, os.Symlink(filepath.Join(root, "made"), filepath.Join(root, dir)))
		}
		path := filepath.Join(root, dir, "x-"+filepath.Base(dir)+".wasm")
		p, err := Put(path, []byte("abc"))
		must(t, err)
		got, err := os.ReadFile(path)
		stat, statErr := os.Stat(path)
		if string(got) != "abc" || errors.Join(err, statErr) != nil || stat.Mode() != 0o644 || p.Path != path {
			t.Errorf("got %q, %v, %v", got, stat, err)
		}
		if _, err := Put(path, []byte("def")); !errors.Is(err, fs.ErrExist) {
			t.Errorf("a second time: %v", err)
		}
	}
	alone := filepath.Join(root, "made", "alone.wasm")
	must(t, os.WriteFile(Sidecar(alone), []byte("{}"), 0o600))
	if _, err := Put(alone, []byte("def")); !errors.Is(err, fs.ErrExist) {
		t.Errorf("with a manifest there: %v", err)
	}
	for _, path := range []string{filepath.Join(alone+".json", "x.wasm"), filepath.Join(root, "made", string(make([]byte, 300))+".wasm")} {
		if _, err := Put(path, nil); err == nil {
			t.Errorf("%q was made", path)
		}
	}
	names, err := filepath.Glob(filepath.Join(root, "made", "*"))
	hidden, _ := filepath.Glob(filepath.Join(root, "made", ".*.tmp"))
	if err != nil || len(names) != 4 || len(hidden) != 0 {
		t.Errorf("there are %q, %q, %v", names, hidden, err)
	}
}

// What was placed is removed again, and nothing that has come in its place.
func TestRemove(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.wasm")
	there := func(want ...string) {
		t.Helper()
		names, err := filepath.Glob(path + "*")
		if err != nil || len(names) != len(want) {
			t.Errorf("there are %q, want %q", names, want)
		}
	}
	p, err := Put(path, []byte("abc"))
	must(t, err)
	must(t, p.Remove())
	must(t, p.Remove())
	there()
	p, err = Put(path, []byte("abc"))
	must(t, err)
	must(t, os.WriteFile(path+".new", []byte("abc"), 0o600))
	must(t, os.Rename(path+".new", path))
	must(t, p.Remove())
	there(path)

	must(t, os.WriteFile(Sidecar(path), nil, 0o600))
	must(t, Remove(path))
	must(t, Remove(path))
	there()
	must(t, os.Symlink("/nowhere", path))
	must(t, Remove(path))
	there()
	must(t, os.MkdirAll(filepath.Join(path, "x"), 0o700))
	if err := Remove(path); err == nil {
		t.Error("a directory was removed")
	}
	must(t, Remove(filepath.Join(path, "none", "y.wasm")))
}

// A file system without hard links must not lose a file either.
func TestMove(t *testing.T) {
	dir := t.TempDir()
	from, to := filepath.Join(dir, "from"), filepath.Join(dir, "to")
	must(t, os.Mkdir(from, 0o700)) // no hard link can be made of it
	must(t, os.WriteFile(to, nil, 0o600))
	if err := move(from, to); !errors.Is(err, fs.ErrExist) {
		t.Errorf("got %v", err)
	}
	must(t, os.Remove(to))
	must(t, move(from, to))
	if _, err := os.Stat(to); err != nil {
		t.Error(err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
