package vet_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/berth-host/berth/host/sandbox/vet"
	"github.com/berth-host/berth/host/spec"
)

// sizeOf returns the size of a directory's files in bytes.
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

// TestQuotaEvictsByLastUse, while the host runs and when it starts.
func TestQuotaEvictsByLastUse(t *testing.T) {
	names := []string{"echo", "count", "reject", "retry_once"}
	vetted := func(v *vet.Vetter, name string) vet.Verdict {
		t.Helper()
		verdict, err := v.Vet(t.Context(), spec.NewArtifact(guest(t, name)))
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
			t.Errorf("%s was evicted below the quota", name)
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
	compiles(t, vetted(one, "reject")) // whatever the quota
}

// TestQuotaAfterClockSetBack: entries with a time of use in the future do not evict the
// one that is being added.
func TestQuotaAfterClockSetBack(t *testing.T) {
	dir := t.TempDir()
	v := newVetter(t, vet.Config{CacheDir: dir, CacheBytes: 1}) // quota for one entry
	for i, name := range []string{"echo", "count", "reject"} {
		verdict, err := v.Vet(t.Context(), spec.NewArtifact(guest(t, name)))
		if err != nil {
			t.Fatalf("%s, with %d of the future: %v", name, min(i, 1), err)
		}
		compiles(t, verdict)
		later := time.Now().Add(time.Hour)
		if err := os.Chtimes(filepath.Join(verdict.CodeDir, "verdict.json"), later, later); err != nil {
			t.Fatal(err)
		}
		if list, err := os.ReadDir(dir); err != nil || len(list) != 1 {
			t.Errorf("%d entries, %v; want the newest alone", len(list), err)
		}
	}
}

// TestConcurrentVettingKeepsVerdictsUnderSmallQuota: modules vetted at the same time get
// their verdicts although the quota is for one.
func TestConcurrentVettingKeepsVerdictsUnderSmallQuota(t *testing.T) {
	v := newVetter(t, vet.Config{CacheBytes: 1, Children: 4})
	var vetting sync.WaitGroup
	for _, name := range []string{"echo", "count", "reject", "retry_once"} {
		wasm := guest(t, name)
		vetting.Go(func() {
			for range 3 {
				verdict, err := v.Vet(t.Context(), spec.NewArtifact(wasm))
				if err != nil || len(verdict.Metered) == 0 {
					t.Errorf("%s: %d bytes, %v", name, len(verdict.Metered), err)
				}
			}
		})
	}
	vetting.Wait()
}

// TestQuotaIgnoresLinksAndUnfinishedEntries: a link among the entries is neither measured
// nor followed, and the unfinished entry of a killed host does not count.
func TestQuotaIgnoresLinksAndUnfinishedEntries(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	precious := filepath.Join(outside, "precious")
	link := filepath.Join(dir, strings.Repeat("a", 64))
	unfinished := filepath.Join(dir, ".vetting-1")
	for _, err := range []error{
		os.WriteFile(precious, make([]byte, 8<<20), 0o600),
		os.Symlink(outside, link),
		os.Mkdir(unfinished, 0o700),
		os.WriteFile(filepath.Join(unfinished, "code"), make([]byte, 8<<20), 0o600),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	v := newVetter(t, vet.Config{CacheDir: dir, CacheBytes: 4 << 20})
	verdict, err := v.Vet(t.Context(), spec.NewArtifact(guest(t, "echo")))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(link); err != nil {
		t.Errorf("evicted: %v", err)
	}
	newVetter(t, vet.Config{CacheDir: dir, CacheBytes: 1})
	if _, err := os.Lstat(link); err == nil {
		t.Error("there was no room, and the link is still there")
	}
	if _, err := os.Stat(precious); err != nil {
		t.Errorf("what a link leads to: %v", err)
	}
	compiles(t, verdict)
}
