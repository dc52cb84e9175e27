package vet_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/berth-host/berth/host/sandbox/vet"
)

// sizeOf is what a directory takes, in bytes of its files.
func sizeOf(t *testing.T, dir string) (size int64) {
	t.Helper()
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			size += info.Size()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return size
}

// TestRoom: the cache has a size, and what was not used for longest makes room,
// while the host runs and when it starts.
func TestRoom(t *testing.T) {
	names := []string{"echo", "count", "reject", "retry_once"}
	vetted := func(v *vet.Vetter, name string) vet.Verdict {
		t.Helper()
		verdict, err := v.Vet(t.Context(), guest(t, name))
		if err != nil {
			t.Fatal(err)
		}
		return verdict
	}
	measure, limit := newVetter(t, vet.Config{}), int64(0)
	for _, name := range names[:3] {
		limit += sizeOf(t, vetted(measure, name).CodeDir)
	}
	dir := t.TempDir()
	v := newVetter(t, vet.Config{CacheDir: dir, CacheBytes: limit})
	kept := make(map[string]vet.Verdict)
	for i, name := range names[:3] {
		kept[name] = vetted(v, name)
		used := time.Now().Add(time.Duration(i-10) * time.Minute)
		if err := os.Chtimes(filepath.Join(kept[name].CodeDir, "verdict.json"), used, used); err != nil {
			t.Fatal(err)
		}
	}
	there := func(name string) bool {
		_, err := os.Stat(kept[name].CodeDir)
		return err == nil
	}
	for _, name := range names[:3] {
		if !there(name) {
			t.Errorf("%s is gone though there was room", name)
		}
	}
	vetted(v, "echo") // is used
	kept["retry_once"] = vetted(v, "retry_once")
	if !there("echo") || there("count") || !there("retry_once") {
		t.Errorf("echo, which was used lately: %v; count, which was not: %v; the new one: %v", there("echo"), there("count"), there("retry_once"))
	}
	if size := sizeOf(t, dir); size > limit {
		t.Errorf("the cache has %d bytes, the limit is %d", size, limit)
	}
	compiles(t, kept["retry_once"])
	compiles(t, vetted(v, "count")) // once again

	one := newVetter(t, vet.Config{CacheDir: dir, CacheBytes: 1})
	if size := sizeOf(t, dir); size > limit/2 {
		t.Errorf("a start under a lower limit leaves %d bytes", size)
	}
	compiles(t, vetted(one, "reject")) // however little room there is
}
