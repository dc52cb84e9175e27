package folder

import (
	"os"
	"path/filepath"
	"testing"
)

// TestRemove: a module is removed with its sidecar, a link without its target, and a
// directory not at all.
func TestRemove(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.wasm")
	there := func(want ...string) {
		t.Helper()
		names, err := filepath.Glob(path + "*")
		if err != nil || len(names) != len(want) {
			t.Errorf("there are %q, want %q", names, want)
		}
	}
	must(t, os.WriteFile(path, []byte("abc"), 0o600))
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

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
