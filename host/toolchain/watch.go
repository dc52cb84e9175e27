package toolchain

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
)

// maxWatched bounds the directories of a project that are watched.
const maxWatched = 2000

// Watcher reports that sources of a project have changed. Modules, hidden files and the
// directories that tools make (target, node_modules, …) are no sources.
type Watcher struct {
	dir     string
	quiet   time.Duration
	notify  *fsnotify.Watcher
	changed chan struct{}
	ended   chan struct{}
}

// stamp is a source file as it was when it was looked at.
type stamp struct {
	size     int64
	modified int64 // nanoseconds
	mode     fs.FileMode
}

// Watch watches the sources below a directory. A change is reported when nothing has changed
// for the time quiet.
func Watch(dir string, quiet time.Duration) (*Watcher, error) {
	notify, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, fmt.Errorf("watch %s: %w", dir, err)
	}
	w := &Watcher{dir: dir, quiet: quiet, notify: notify, changed: make(chan struct{}, 1), ended: make(chan struct{})}
	before, err := w.scan()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("watch %s: %w", dir, err), notify.Close())
	}
	go w.run(before)
	return w, nil
}

// Changed receives a value after a change; several changes before it is received are one.
func (w *Watcher) Changed() <-chan struct{} { return w.changed }

// Close ends the watcher, and waits until it has ended.
func (w *Watcher) Close() error {
	err := w.notify.Close()
	<-w.ended
	return err
}

// run compares the sources after each change of the directories.
func (w *Watcher) run(before map[string]stamp) {
	defer close(w.ended)
	timer := time.NewTimer(w.quiet)
	timer.Stop()
	defer timer.Stop()
	for {
		select {
		case event, open := <-w.notify.Events:
			if !open {
				return
			}
			if !ignored(event.Name) {
				timer.Reset(w.quiet)
			}
		case _, open := <-w.notify.Errors: // the queue was too short: anything may have changed
			if !open {
				return
			}
			timer.Reset(w.quiet)
		case <-timer.C:
			now, err := w.scan()
			if err != nil || maps.Equal(now, before) {
				continue // a directory that is being renamed, or nothing: an event follows
			}
			before = now
			select {
			case w.changed <- struct{}{}:
			default: // one waits to be received
			}
		}
	}
}

// scan returns the sources by their paths, and watches all directories that have any.
func (w *Watcher) scan() (map[string]stamp, error) {
	sources := make(map[string]stamp)
	directories := 0
	err := filepath.WalkDir(w.dir, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist) && path != w.dir:
			return nil // removed meanwhile
		case err != nil:
			return err
		case path != w.dir && ignored(path) && entry.IsDir():
			return fs.SkipDir
		case path != w.dir && ignored(path):
			return nil
		case entry.IsDir():
			if directories++; directories > maxWatched {
				return fmt.Errorf("it has more than %d directories", maxWatched)
			}
			return w.notify.Add(path)
		}
		info, err := os.Stat(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil {
			sources[path] = stamp{info.Size(), info.ModTime().UnixNano(), info.Mode()}
		}
		return err
	})
	return sources, err
}

// ignored reports whether a file or directory is no source.
func ignored(path string) bool {
	name := filepath.Base(path)
	switch {
	case name == ".cargo":
		return false
	case strings.HasPrefix(name, "."), strings.HasSuffix(name, "~"), strings.HasSuffix(name, ".tmp"), strings.HasSuffix(name, ".wasm"):
		return true
	}
	return slices.Contains([]string{"target", "node_modules", "build", "dist", "zig-out", "zig-cache", "__pycache__"}, name)
}
