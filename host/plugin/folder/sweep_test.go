package folder_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/berth-host/berth/host/plugin/folder"
)

func TestSweep(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a[b]*c")
	must(t, os.Mkdir(dir, 0o700))
	old := time.Now().Add(-time.Hour)
	put := func(name string, at time.Time) string {
		path := filepath.Join(dir, name)
		must(t, os.WriteFile(path, nil, 0o600))
		must(t, os.Chtimes(path, at, at))
		return path
	}
	left := put(".x.wasm.123.tmp", old)
	put(".y.wasm.123.tmp", time.Now())
	put("x.wasm", old)
	put(".z.wasm", old)
	put(".wasm.1.tmp", old)
	put("x.wasm.1.tmp", old)
	must(t, os.Symlink("x.wasm", filepath.Join(dir, ".l.wasm.1.tmp")))
	must(t, os.Mkdir(filepath.Join(dir, ".d.wasm.1.tmp"), 0o700))
	got := folder.Sweep([]string{dir, filepath.Join(dir, "missing")}, time.Now().Add(-time.Minute))
	if !slices.Equal(got, []string{left}) {
		t.Errorf("got %q, want %q", got, left)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 7 {
		t.Errorf("%d are left, %v", len(entries), err)
	}
}
