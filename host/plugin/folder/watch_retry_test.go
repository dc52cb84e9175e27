package folder

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/fsnotify/fsnotify"
)

// While the system gives no inotify instance Follow says so, and it asks again each time.
func TestWatcherIsTriedAgain(t *testing.T) {
	dir := t.TempDir()
	w := NewWatcher()
	make := w.make
	w.make = func() (*fsnotify.Watcher, error) { return nil, syscall.EMFILE }
	if changed, err := w.Follow([]string{dir}); err == nil || changed {
		t.Errorf("got %v, %v; want why nothing is watched", changed, err)
	}
	w.make = make
	if changed, err := w.Follow([]string{dir}); err != nil || !changed {
		t.Fatalf("got %v, %v; want that something new is watched", changed, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "x.wasm"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	<-w.Changed()
	if err := w.Close(); err != nil {
		t.Error(err)
	}
}
