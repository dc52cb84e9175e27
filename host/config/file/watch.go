package file

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/berth-host/berth/host/fault"
)

// Watch calls fn once when it watches the file, so that no change between a Load and a
// Watch is missed, and then after each change of the content: by a write, a rename, or
// another target of a symbolic link. It compares the content when there were no events
// for debounce, at the latest after ten times that. A changed time stamp, or a file that
// is missing for a while, is no change. While a process has the file open for writing
// Watch waits, up to writerTimeout, because a partly written configuration can be valid;
// only Linux reports writers, to the file's owner and to root. The file, and directories
// of its path, may be missing.
//
// Every pollEvery Watch also compares the time stamp and size of the file, which detects
// changes without a notification (bind-mounted files, network file systems). When the
// system refuses a watch, for lack of inotify instances or watches, Watch calls notice
// with the reason, continues to poll, and tries again each time; when that succeeds it
// calls notice with nil. edits returns the number of the caller's own writes, nil for
// none: fn is called after these too, because the content can equal the last one that fn
// has seen. Watch returns when ctx ends. fn and notice run on its goroutine.
func Watch(ctx context.Context, path string, debounce time.Duration, edits func() uint64, notice func(error), fn func()) {
	if edits == nil {
		edits = func() uint64 { return 0 }
	}
	(&watcher{path: path, edits: edits, notice: notice, make: fsnotify.NewWatcher, pollEvery: pollEvery}).run(ctx, debounce, fn)
}

// ProbeWatch watches a file or directory as Watch does, and returns the error.
func ProbeWatch(path string) error {
	var failed error
	w := &watcher{path: path, notice: func(err error) { failed = err }, make: fsnotify.NewWatcher}
	w.follow()
	w.close()
	return failed
}

// pollEvery is the interval of polling.
const pollEvery = 2 * time.Second

func (w *watcher) run(ctx context.Context, debounce time.Duration, fn func()) {
	defer w.close()
	w.follow()
	w.edited = w.edits()
	w.seen, _ = fingerprint(w.path)
	w.looked = looksOf(w.path)
	fn()
	poll := time.NewTicker(w.pollEvery)
	defer poll.Stop()
	timer := time.NewTimer(debounce)
	defer timer.Stop()
	timer.Stop()
	var since time.Time   // the first event of the burst; zero when none is pending
	var writing time.Time // when the file was first found open for writing; zero if it is not
	for {
		events, errs := w.channels()
		select {
		case <-ctx.Done():
			return
		case <-events:
		case <-errs: // an overflow: there were events
		case <-poll.C:
			if w.failed != nil {
				w.follow()
			}
			looks := looksOf(w.path)
			if looks == w.looked {
				continue
			}
			w.looked = looks
		case <-timer.C:
			since = time.Time{}
			if BeingWritten(w.path) && (writing.IsZero() || time.Since(writing) < writerTimeout) {
				if writing.IsZero() {
					writing = time.Now()
				}
				timer.Reset(debounce) // closing the file causes no event
				continue
			}
			writing = time.Time{}
			w.follow()
			edited := w.edits()
			w.looked = looksOf(w.path) // before the content: the next poll detects a later change
			if now, ok := fingerprint(w.path); ok && (now != w.seen || edited != w.edited) {
				w.seen, w.edited = now, edited
				fn()
			}
			continue
		}
		if since.IsZero() {
			since = time.Now()
		}
		timer.Reset(max(0, min(debounce, 10*debounce-time.Since(since))))
	}
}

// looks identifies a version of a file by its metadata.
type looks struct {
	device, node uint64
	size         int64
	changed      time.Time
}

// looksOf returns the zero looks for a missing file.
func looksOf(path string) (l looks) {
	info, err := os.Stat(path)
	if err != nil {
		return l
	}
	l.size, l.changed = info.Size(), info.ModTime()
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		l.device, l.node = uint64(st.Dev), st.Ino //nolint:unconvert // Dev has another type on macOS
	}
	return l
}

// writerTimeout is how long Watch waits for a process that has the file open for
// writing. A process that keeps it open longer is not about to finish.
const writerTimeout = 30 * time.Second

// BeingWritten reports whether a process has the file open for writing. Only Linux
// reports it, to the file's owner and to root.
func BeingWritten(path string) bool {
	if stat, err := os.Stat(path); err != nil || !stat.Mode().IsRegular() {
		return false
	}
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	return beingWritten(f)
}

type watcher struct {
	path      string
	edits     func() uint64
	notice    func(error)
	make      func() (*fsnotify.Watcher, error) // fsnotify.NewWatcher, except in tests
	pollEvery time.Duration

	fsw    *fsnotify.Watcher // nil when the system refuses one
	failed error             // why some directory is not watched
	seen   [sha256.Size]byte // hash of the content at the last call of fn; zero for no file
	looked looks
	edited uint64 // edits at the last call of fn
}

func (w *watcher) channels() (<-chan fsnotify.Event, <-chan error) {
	if w.fsw == nil {
		return nil, nil
	}
	return w.fsw.Events, w.fsw.Errors
}

func (w *watcher) close() {
	if w.fsw != nil {
		_ = w.fsw.Close() // it is not used any more
	}
}

// follow updates the watched directories, and calls notice when watching starts or
// stops to fail.
func (w *watcher) follow() {
	var err error
	if w.fsw == nil {
		w.fsw, err = w.make()
		if err != nil {
			w.fsw = nil
		}
	}
	if err == nil {
		err = w.add()
	}
	if (err == nil) != (w.failed == nil) {
		if err != nil {
			w.notice(fault.New(fault.Unavailable, "watch %s: %w", w.path, err))
		} else {
			w.notice(nil)
		}
	}
	w.failed = err
}

// add watches the directories whose entries determine the target of path. It repeats
// after each addition, because the target may have changed before.
func (w *watcher) add() error {
	for range 10 {
		want, err := directoriesOf(w.path)
		if err != nil {
			return err
		}
		have := w.fsw.WatchList()
		added := false
		for _, dir := range want {
			if slices.Contains(have, dir) {
				continue
			}
			switch err := w.fsw.Add(dir); {
			case errors.Is(err, fs.ErrNotExist):
				added = true // it was just removed: repeat
			case err != nil:
				return err
			default:
				added = true
			}
		}
		for _, dir := range have {
			if !slices.Contains(want, dir) {
				_ = w.fsw.Remove(dir) // fails for a removed directory
			}
		}
		if !added {
			return nil
		}
	}
	return nil
}

// directoriesOf returns the directories, without links, whose entries determine the
// target of path: the directory of the file, that of every symbolic link in the path,
// and the last existing directory of a path that is incomplete.
func directoriesOf(path string) ([]string, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	var dirs []string
	add := func(dir string) {
		if !slices.Contains(dirs, dir) {
			dirs = append(dirs, dir)
		}
	}
	sep := string(filepath.Separator)
	at := sep
	parts := strings.Split(abs, sep)
	for links := 0; len(parts) > 0 && links <= 40; {
		name := parts[0]
		parts = parts[1:]
		if name == "" || name == "." {
			continue
		}
		if name == ".." {
			at = filepath.Dir(at)
			continue
		}
		next := filepath.Join(at, name)
		stat, err := os.Lstat(next)
		switch {
		case err != nil:
			add(at)
			return dirs, nil
		case stat.Mode()&fs.ModeSymlink != 0:
			add(at)
			links++
			target, err := os.Readlink(next)
			if err != nil {
				return dirs, nil
			}
			if filepath.IsAbs(target) {
				at = sep
			}
			parts = append(strings.Split(target, sep), parts...)
		case stat.IsDir():
			at = next
		default:
			add(at)
		}
	}
	add(at)
	return dirs, nil
}

// fingerprint returns the hash of the content, and whether there is a regular file.
func fingerprint(path string) (sum [sha256.Size]byte, ok bool) {
	stat, err := os.Stat(path) // before Open, which would block on a named pipe
	if err != nil || !stat.Mode().IsRegular() {
		return sum, false
	}
	f, err := os.Open(path)
	if err != nil {
		return sum, false
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return sum, false
	}
	return [sha256.Size]byte(h.Sum(nil)), true
}
