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

// Watch calls fn once when it has begun to watch, so that nothing is missed
// between a Load and a Watch, and then whenever the file's content has changed:
// written, renamed over, or reached through another symbolic link. It judges
// when nothing has happened for debounce (at the latest after ten times that),
// by the content; a file that is touched, or is gone for a while, is no change.
// As long as somebody has the file open for writing it is not judged, up to
// writerTimeout: half a configuration may well be a valid one. Only Linux can
// tell, and only to the file's owner or to root.
// The file, and directories on the way to it, may be missing.
//
// The system's notifications are not all there is: every pollEvery the file's times
// and size are looked at too, which sees what no notification tells (a file that is
// mounted by itself, network file systems). When the system refuses to watch, for want
// of inotify instances or watches, notice is called with the reason, looking goes on,
// and watching is tried again each time; when it succeeds notice is called with nil.
// edits counts what the caller itself has written (nil: nothing): fn is called after
// that too, because the file may hold again by then what fn has seen before.
// Watch returns when ctx ends. fn and notice run on its goroutine.
func Watch(ctx context.Context, path string, debounce time.Duration, edits func() uint64, notice func(error), fn func()) {
	if edits == nil {
		edits = func() uint64 { return 0 }
	}
	(&watcher{path: path, edits: edits, notice: notice, make: fsnotify.NewWatcher, pollEvery: pollEvery}).run(ctx, debounce, fn)
}

// ProbeWatch does what Watch does first, and returns why it fails.
func ProbeWatch(path string) error {
	var failed error
	w := &watcher{path: path, notice: func(err error) { failed = err }, make: fsnotify.NewWatcher}
	w.follow()
	w.close()
	return failed
}

// pollEvery is how often the file is looked at without a notification.
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
	var since time.Time   // of the burst's first event; zero when nothing is waiting
	var writing time.Time // since when the file is known to be open for writing; zero: it is not
	for {
		events, errs := w.channels()
		select {
		case <-ctx.Done():
			return
		case <-events:
		case <-errs: // an overflow: something happened, whatever it was
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
				timer.Reset(debounce) // its closing is no event
				continue
			}
			writing = time.Time{}
			w.follow()
			edited := w.edits()
			w.looked = looksOf(w.path) // before the content: a change after it is seen by the next look
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

// looks is what changes with a file's content, at the cost of one call.
type looks struct {
	device, node uint64
	size         int64
	changed      time.Time
}

// looksOf answers the zero looks for a file that is not there.
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

// writerTimeout is how long a file may be open for writing before it is judged
// all the same. Whoever keeps it open longer is not about to finish it.
const writerTimeout = 30 * time.Second

// BeingWritten reports whether somebody is known to be writing to the file: on
// Linux, and to the file's owner or to root.
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
	make      func() (*fsnotify.Watcher, error) // fsnotify.NewWatcher, but for tests
	pollEvery time.Duration

	fsw    *fsnotify.Watcher // nil: the system gives none
	failed error             // why not everything is watched
	seen   [sha256.Size]byte // of the content fn knows; zero when there was none
	looked looks
	edited uint64 // of edits, that fn knows
}

func (w *watcher) channels() (<-chan fsnotify.Event, <-chan error) {
	if w.fsw == nil {
		return nil, nil
	}
	return w.fsw.Events, w.fsw.Errors
}

func (w *watcher) close() {
	if w.fsw != nil {
		_ = w.fsw.Close() // nothing is left to be done with it
	}
}

// follow watches what can be watched, and tells notice when that has become possible
// or impossible.
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

// add watches the directories in which a change can lead path to other content. It
// looks again after it has added one: the way may have changed before.
func (w *watcher) add() error {
	for range 10 {
		want, err := onTheWay(w.path)
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
				added = true // it has just gone: look again
			case err != nil:
				return err
			default:
				added = true
			}
		}
		for _, dir := range have {
			if !slices.Contains(want, dir) {
				_ = w.fsw.Remove(dir) // fails when the directory is gone, which is the same
			}
		}
		if !added {
			return nil
		}
	}
	return nil
}

// onTheWay returns the directories, themselves free of links, whose entries
// decide what path leads to: the file's own, that of every symbolic link on the
// way, and where the way ends too early the last directory that exists.
func onTheWay(path string) ([]string, error) {
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

// fingerprint returns the content's hash, and whether there is any content.
func fingerprint(path string) (sum [sha256.Size]byte, ok bool) {
	stat, err := os.Stat(path) // before Open, which waits for ever on a named pipe
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
