package file

import (
	"context"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"
)

// While the system gives no inotify instance the file is looked at all the same, and
// watching is tried again until it succeeds.
func TestWatchWithoutInotify(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "c.yaml")
	write(t, path, "1")
	var short atomic.Bool
	short.Store(true)
	notices := make(chan error, 10)
	w := &watcher{path: path, edits: func() uint64 { return 0 }, pollEvery: 5 * time.Millisecond, notice: func(err error) { notices <- err },
		make: func() (*fsnotify.Watcher, error) {
			if short.Load() {
				return nil, syscall.EMFILE
			}
			return fsnotify.NewWatcher()
		}}
	next := watchBy(t, path, w.run)
	next("1")
	if err := <-notices; err == nil {
		t.Error("it was not said that nothing is watched")
	}
	replace(t, filepath.Join(dir, "new"), path, "2")
	next("2")
	short.Store(false)
	if err := <-notices; err != nil {
		t.Errorf("got %v, want that it is watched again", err)
	}
	replace(t, filepath.Join(dir, "new"), path, "3")
	next("3")
	if len(notices) > 0 {
		t.Errorf("it was said again: %v", <-notices)
	}
}

// A change that no notification tells of is seen by looking.
func TestWatchSeesWhatIsNotNotified(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "c.yaml")
	write(t, path, "1")
	w := &watcher{path: path, edits: func() uint64 { return 0 }, pollEvery: 5 * time.Millisecond, notice: func(err error) { t.Errorf("got %v", err) },
		make: func() (*fsnotify.Watcher, error) {
			w, err := fsnotify.NewWatcher()
			if err == nil {
				events := make(chan fsnotify.Event) // instead of its own
				go func(from chan fsnotify.Event) {
					for range from {
					}
				}(w.Events)
				w.Events = events
			}
			return w, err
		}}
	next := watchBy(t, path, func(ctx context.Context, debounce time.Duration, fn func()) { w.run(ctx, debounce, fn) })
	next("1")
	replace(t, filepath.Join(dir, "new"), path, "2")
	next("2")
}

// What the caller has written counts as a change, also when the file has been put back
// before the watcher came to see it.
func TestWatchSeesWhatFollowsAnEdit(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "c.yaml")
	write(t, path, "1")
	var edits atomic.Uint64
	next := watchBy(t, path, func(ctx context.Context, debounce time.Duration, fn func()) {
		Watch(ctx, path, debounce, edits.Load, func(err error) { t.Errorf("it is not watched: %v", err) }, fn)
	})
	next("1")
	edits.Add(1) // it has written 2, and somebody 1 again
	replace(t, filepath.Join(dir, "new"), path, "1")
	next("1")
}
