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

// Watcher reports when the directories are to be scanned again. It misses changes that the
// operating system does not report (network file systems, a full queue), so its user also
// scans at intervals.
type Watcher struct {
	make   func() (*fsnotify.Watcher, error) // creates one; fails in tests
	notify *fsnotify.Watcher                 // under mu; nil before open, and if the system refuses one
	closed bool                              // under mu
	signal chan struct{}
	done   chan struct{} // closed when the reader of notify has ended

	mu     sync.Mutex
	dirs   []string        // argument of Follow
	dirty  map[string]bool // modules that changed since Take
	follow map[string]Stamp
}

// NewWatcher returns a Watcher without directories. If the system cannot watch, Follow
// returns the reason.
func NewWatcher() *Watcher {
	w := &Watcher{
		signal: make(chan struct{}, 1),
		dirty:  make(map[string]bool),
		follow: make(map[string]Stamp),
	}
	// The queue of 4096 is for events while the reader is not scheduled. The kernel reports
	// an overflow of its own queue; then everything is scanned.
	w.make = func() (*fsnotify.Watcher, error) { return fsnotify.NewBufferedWatcher(4096) }
	return w
}

// open returns the system's watcher. A system that has refused one before, for lack of
// inotify instances, may grant it now.
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

// Changed gets a value after changes of watched files. One value stands for any
// number of changes.
func (w *Watcher) Changed() <-chan struct{} { return w.signal }

// Take returns and clears the paths of the changed modules.
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

// Close stops watching and waits for the reader.
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

// Follow watches these directories, and for a missing one its nearest existing parent. It
// must be called before each scan, because directories appear and disappear. changed means
// that a directory is watched that was not. The error names directories that cannot be
// watched; the others are.
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
		// Repeat until no nearer directory has appeared in the meantime, up to a bound.
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
		// Links to the directory itself are followed: its place is the operator's choice.
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
			// After an overflow or another loss of events, everything is scanned.
			w.wake()
		}
	}
}

// note signals a change if path is a module, a sidecar, or a directory above one. Other
// changes in a watched parent, such as /tmp, are ignored.
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
