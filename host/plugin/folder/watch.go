package folder

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/fsnotify/fsnotify"
)

// Watcher says when the directories are worth looking at again. It misses
// what the operating system misses (network file systems, a full queue), so
// whoever uses it looks again from time to time anyway.
type Watcher struct {
	make   func() (*fsnotify.Watcher, error) // another one; tests have it fail
	notify *fsnotify.Watcher                 // under mu; nil: the system gave none, or Close was called
	closed bool                              // under mu
	signal chan struct{}
	done   chan struct{} // closed when the reader of notify has ended

	mu     sync.Mutex
	dirs   []string        // as given to Follow
	dirty  map[string]bool // modules something happened to since Take
	follow map[string]Stamp
}

// NewWatcher returns a Watcher of no directory yet. When the system cannot
// watch, it works all the same and Follow answers why.
func NewWatcher() *Watcher {
	w := &Watcher{
		signal: make(chan struct{}, 1),
		dirty:  make(map[string]bool),
		follow: make(map[string]Stamp),
	}
	// A queue of 4096 for what arrives while a reader is not scheduled; past
	// the kernel's own queue an overflow is reported and we look at everything.
	w.make = func() (*fsnotify.Watcher, error) { return fsnotify.NewBufferedWatcher(4096) }
	return w
}

// open returns what watches. The system may have refused it before, for want of
// inotify instances, and give it now.
func (w *Watcher) open() (*fsnotify.Watcher, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.notify != nil || w.closed {
		return w.notify, nil
	}
	notify, err := w.make()
	if err != nil {
		return nil, fmt.Errorf("the operating system gives no way to watch directories: %w", err)
	}
	w.notify = notify
	w.done = make(chan struct{})
	go w.read(notify, w.done)
	return notify, nil
}

// Poke is sent to when there may be something new. One value stands for any
// number of changes.
func (w *Watcher) Changed() <-chan struct{} { return w.signal }

// Take returns, and forgets, the paths of modules something happened to.
func (w *Watcher) Take() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	paths := make([]string, 0, len(w.dirty))
	for path := range w.dirty {
		paths = append(paths, path)
	}
	clear(w.dirty)
	return paths
}

// Close ends the watching and waits for it.
func (w *Watcher) Close() error {
	w.mu.Lock()
	notify, done := w.notify, w.done
	w.closed = true
	w.mu.Unlock()
	if notify == nil {
		return nil
	}
	err := notify.Close()
	<-done
	return err
}

// Follow watches these directories from now on, and for one that does not
// exist its nearest parent that does. It must be called again, before the
// directories are looked at, whenever anything was poked: what is watched
// follows what is there. changed reports that something is watched that was
// not. The error says that something cannot be watched.
func (w *Watcher) Follow(dirs []string) (changed bool, err error) {
	notify, err := w.open()
	if notify == nil {
		return false, err
	}
	w.mu.Lock()
	w.dirs = slices.Clone(dirs)
	w.mu.Unlock()

	wanted := make(map[string]Stamp)
	watched := make(map[string]bool)
	for _, path := range notify.WatchList() {
		watched[path] = true
	}
	var problems []error
	for _, dir := range dirs {
		// Again until nothing nearer has appeared in the meantime. A path has
		// so many parents; more rounds than that mean somebody plays with them.
		for range 64 {
			path, stamp := nearest(dir)
			if _, done := wanted[path]; done {
				break
			}
			wanted[path] = stamp
			if !watched[path] || w.follow[path] != stamp {
				// Removing first, because a new directory at an old path would
				// inherit the end of the old one's watch.
				_ = notify.Remove(path)
				if err := notify.Add(path); err != nil && !gone(err) {
					problems = append(problems, &os.PathError{Op: "watch", Path: path, Err: err})
				}
				changed = true
			}
			if path == dir {
				break
			}
		}
	}
	for path := range watched {
		if _, keep := wanted[path]; !keep {
			_ = notify.Remove(path) // it may have gone by itself
		}
	}
	w.follow = wanted
	return changed, errors.Join(problems...)
}

// nearest returns dir, or its nearest parent that is a directory, with the
// identity of it.
func nearest(dir string) (string, Stamp) {
	for {
		// Links are followed here: where the directory lies is the operator's
		// affair, what lies in it is ours.
		if real, err := filepath.EvalSymlinks(dir); err == nil {
			if s, err := stamp(real); err == nil && s.Kind() == "a directory" {
				return dir, Stamp{Device: s.Device, Node: s.Node}
			}
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return dir, Stamp{}
		}
		dir = parent
	}
}

func (w *Watcher) read(notify *fsnotify.Watcher, done chan<- struct{}) {
	defer close(done)
	for {
		select {
		case e, ok := <-notify.Events:
			if !ok {
				return
			}
			w.note(e.Name)
		case _, ok := <-notify.Errors:
			if !ok {
				return
			}
			// An overflow, or something else that may have cost us events:
			// the look at everything that follows makes up for all of them.
			w.wake()
		}
	}
}

// note wakes the owner if path matters: a module, a sidecar, a directory on
// the way to one. A parent may be as busy as /tmp.
func (w *Watcher) note(path string) {
	module, isModule := ModuleOf(path)
	w.mu.Lock()
	matters := false
	for _, dir := range w.dirs {
		if isModule && filepath.Dir(path) == dir {
			w.dirty[module] = true
			matters = true
		}
		matters = matters || within(dir, path)
	}
	w.mu.Unlock()
	if matters {
		w.wake()
	}
}

// within reports whether dir is path or lies below it.
func within(dir, path string) bool {
	for {
		if dir == path {
			return true
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return false
		}
		dir = parent
	}
}

func (w *Watcher) wake() {
	select {
	case w.signal <- struct{}{}:
	default:
	}
}
