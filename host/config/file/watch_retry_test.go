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

// TestWatchPollsWithoutInotify, and tries to watch until it succeeds.
func TestWatchPollsWithoutInotify(t *testing.T) {
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
		t.Error("the failure to watch was not reported")
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
		t.Errorf("it was reported again: %v", <-notices)
	}
}

func TestWatchSeesChangesWithoutNotification(t *testing.T) {
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

// TestWatchReportsChangesBackAfterAnEdit: an edit of the caller counts as a change even
// when the file has its former content by the time of the comparison.
func TestWatchReportsChangesBackAfterAnEdit(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "c.yaml")
	write(t, path, "1")
	var edits atomic.Uint64
	next := watchBy(t, path, func(ctx context.Context, debounce time.Duration, fn func()) {
		Watch(ctx, path, debounce, edits.Load, func(err error) { t.Errorf("it is not watched: %v", err) }, fn)
	})
	next("1")
	edits.Add(1) // the caller wrote 2, and another program 1 again
	replace(t, filepath.Join(dir, "new"), path, "1")
	next("1")
}
