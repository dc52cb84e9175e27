package store

import (
	"context"
	sqldriver "database/sql/driver"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/berth-host/berth/host/fault"
)

// fileID tells files apart. The store keeps its files open, so that no other file
// can have the same one.
type fileID struct{ dev, ino uint64 }

// stat returns a file's id and size without allocating.
func stat(name string) (id fileID, size int64, err error) {
	var st unix.Stat_t
	for {
		if err = unix.Lstat(name, &st); err != unix.EINTR {
			return idOf(&st), st.Size, err
		}
	}
}

func idOf(st *unix.Stat_t) fileID {
	return fileID{uint64(st.Dev), st.Ino} //nolint:unconvert // Dev has another type on macOS
}

// namedFile is one of the store's files and the name it must have.
type namedFile struct {
	name string
	id   fileID
	min  int64 // bytes that it has at least
}

// check says what has become of the name. Clients without a token can see the
// error: it has no path.
func (f *namedFile) check() error {
	id, size, err := stat(f.name)
	base := filepath.Base(f.name)
	switch {
	case err == unix.ENOENT || err == unix.ENOTDIR:
		return fmt.Errorf("%s was deleted or moved", base)
	case err != nil:
		return fmt.Errorf("%s cannot be checked: %w", base, err)
	case id != f.id:
		return fmt.Errorf("%s was replaced by another file", base)
	case size < f.min:
		return fmt.Errorf("%s was truncated to %d bytes", base, size)
	}
	return nil
}

// attachment checks that the store's files are still under their names: what is
// written to a deleted file is gone when the process ends. Safe for concurrent use.
type attachment struct {
	store string      // the data file
	files []namedFile // set by Open; the data file and its WAL come first

	mu   sync.Mutex // a leaf
	lost error      // why the store is detached; nil: it is not

	damaged atomic.Bool // the last write failed because a page is damaged
}

// eachCommit is how many of the files are checked after each commit: those that
// hold what is acknowledged.
const eachCommit = 2

const minDataFile = 512 // bytes; SQLite's smallest page

// attach notes which files the store has open; shared says that the index of the WAL
// is one of them.
func (a *attachment) attach(path string, shared bool) error {
	a.store = path
	names := []string{path, path + "-wal", lockName(path)}
	if shared {
		names = append(names, path+"-shm")
	}
	for _, name := range names {
		id, _, err := stat(name)
		if err != nil {
			return fault.New(fault.Unavailable, "%s: %w", name, err)
		}
		a.files = append(a.files, namedFile{name: name, id: id})
	}
	a.files[0].min = minDataFile
	return nil
}

// check looks at the first n files, or at all of them while the store is detached,
// and reports why it is, and whether that is new.
func (a *attachment) check(n int) (lost error, changed bool) {
	a.mu.Lock()
	before := a.lost
	a.mu.Unlock()
	if before != nil {
		n = len(a.files)
	}
	for i := range a.files[:n] {
		if err := a.files[i].check(); err != nil {
			lost = fault.New(fault.Unavailable, "the store takes no writes: %w while the host was running", err)
			break
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if n < len(a.files) && a.lost != nil {
		return a.lost, false // found by the other checker, about another file
	}
	changed = (a.lost == nil) != (lost == nil)
	a.lost = lost
	return lost, changed
}

// Health returns nil while the store takes writes, and otherwise why it does not:
// one of its files was deleted, moved, replaced or truncated, or the last write
// came upon a damaged page. The former is noticed with the next write, and without
// one within about a second.
func (s *Store) Health() error {
	if err := s.detached(); err != nil {
		return err
	}
	if s.attached.damaged.Load() {
		return fault.New(fault.Unavailable, "the last write failed because the store is damaged: see the log and berth doctor, and restore it from a copy")
	}
	return nil
}

// detached is why the store's files are not under their names; nil when they are.
func (s *Store) detached() error {
	s.attached.mu.Lock()
	defer s.attached.mu.Unlock()
	return s.attached.lost
}

// noteDamage remembers whether a write of clients failed because of damage, until
// events are appended again. What the store does by itself, such as trimming, says
// that in its own errors.
func (s *Store) noteDamage(g *group, err error) {
	if g.ops[0].alone || err != nil && !damaged(err) || err == nil && len(g.records) == 0 {
		return
	}
	if is := err != nil; s.attached.damaged.Swap(is) != is {
		if is {
			s.log.Error("a write failed because the store is damaged; berth doctor lists what cannot be read", "path", s.path, "error", err)
		} else {
			s.log.Info("events are appended again")
		}
	}
}

// checkFiles checks the names of the first n files and logs what has changed.
func (s *Store) checkFiles(n int) error {
	lost, changed := s.attached.check(n)
	switch {
	case !changed:
	case lost != nil:
		s.log.Error("the store takes no writes until its file is back under its name; copy the open files before the host ends, they are gone then",
			"error", lost, "path", s.path, "open_files", strings.Join(s.attached.openFiles(), " "))
	default:
		s.log.Info("the store's files are back under their names: it takes writes again")
	}
	return lost
}

// openFiles lists the descriptors of this process that lead to the data file and
// its WAL, on systems that show them, each with the file's former name.
func (a *attachment) openFiles() (list []string) {
	const fds = "/proc/self/fd"
	entries, err := os.ReadDir(fds)
	if err != nil {
		return nil
	}
	for _, f := range a.files[:eachCommit] {
		for _, e := range entries {
			var st unix.Stat_t
			if unix.Stat(filepath.Join(fds, e.Name()), &st) == nil && idOf(&st) == f.id {
				list = append(list, fmt.Sprintf("/proc/%d/fd/%s=%s", os.Getpid(), e.Name(), filepath.Base(f.name)))
				break
			}
		}
	}
	return list
}

// connector opens connections and refuses one that leads to another file than the
// store's: the name may have been given to another since the first was opened.
type connector struct {
	sqldriver.Connector
	store *attachment
}

// Connect implements sqldriver.Connector.
func (c connector) Connect(ctx context.Context) (sqldriver.Conn, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	conn, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	if err := c.check(); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

func (c connector) check() error {
	if len(c.store.files) == 0 {
		return nil // the first connection
	}
	if err := c.store.files[0].check(); err != nil {
		return fault.New(fault.Unavailable, "%w while the host was running", err)
	}
	return nil
}
