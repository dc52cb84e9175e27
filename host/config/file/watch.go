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
// writerPatience: half a configuration may well be a valid one. Only Linux can
// tell, and only to the file's owner or to root.
// The file, and directories on the way to it, may be missing.
//
// Watch returns nil when ctx ends, and fault.Unavailable when the system
// refuses to watch. fn runs on Watch's goroutine.
func Watch(ctx context.Context, path string, debounce time.Duration, fn func()) error {
	fsw, err := fsnotify.NewWatcher()
	if err != nil {
		return fault.New(fault.Unavailable, "watch %s: %w", path, err)
	}
	defer fsw.Close()
	w := watcher{fsw: fsw, path: path}
	if err := w.follow(); err != nil {
		return fault.New(fault.Unavailable, "watch %s: %w", path, err)
	}
	w.seen, _ = fingerprint(path)
	fn()
	timer := time.NewTimer(debounce)
	defer timer.Stop()
	timer.Stop()
	var since time.Time   // of the burst's first event; zero when nothing is waiting
	var writing time.Time // since when the file is known to be open for writing; zero: it is not
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-fsw.Events:
		case <-fsw.Errors: // an overflow: something happened, whatever it was
		case <-timer.C:
			since = time.Time{}
			if BeingWritten(path) && (writing.IsZero() || time.Since(writing) < writerPatience) {
				if writing.IsZero() {
					writing = time.Now()
				}
				timer.Reset(debounce) // its closing is no event
				continue
			}
			writing = time.Time{}
			if err := w.follow(); err != nil {
				return fault.New(fault.Unavailable, "watch %s: %w", path, err)
			}
			if now, ok := fingerprint(path); ok && now != w.seen {
				w.seen = now
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

// writerPatience is how long a file may be open for writing before it is judged
// all the same. Whoever keeps it open longer is not about to finish it.
const writerPatience = 30 * time.Second

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
	fsw  *fsnotify.Watcher
	path string
	seen [sha256.Size]byte // of the content fn knows; zero when there was none
}

// follow watches the directories in which a change can lead path to other
// content. It looks again after it has added one: the way may have changed before.
func (w *watcher) follow() error {
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
	rest := strings.Split(abs, sep)
	for links := 0; len(rest) > 0 && links <= 40; {
		name := rest[0]
		rest = rest[1:]
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
			rest = append(strings.Split(target, sep), rest...)
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
