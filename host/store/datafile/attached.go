package datafile

import (
	"context"
	sqldriver "database/sql/driver"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/berth-host/berth/host/fault"
)

// fileID identifies a file. The store keeps its files open, so that no other file
// gets the same id.
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

// check returns why the name no longer leads to the file. Clients without a token see
// the error: it contains no path.
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

// attachment checks that the store's files still have their names: a deleted file is
// lost when the process ends. Safe for concurrent use.
type attachment struct {
	store string      // the data file
	files []namedFile // set by Open; the data file and its WAL come first

	mu   sync.Mutex // a leaf
	lost error      // why the store is detached; nil when it is not
}

// eachCommit is the number of files checked after each commit: those that contain the
// acknowledged writes.
const eachCommit = 2

const minDataFile = 512 // bytes; SQLite's smallest page

// attach records which files the store has open; shared reports whether the index of
// the WAL is one of them.
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

// check checks the first n files, or all of them while the store is detached. It
// returns why the store is detached, and whether that has changed.
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
		return a.lost, false // the other caller found it, in another file
	}
	changed = (a.lost == nil) != (lost == nil)
	a.lost = lost
	return lost, changed
}

// lostError returns why the store is detached; nil when it is not.
func (a *attachment) lostError() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.lost
}

// openFiles lists this process's descriptors of the data file and its WAL, on systems
// that show them, each with the file's former name.
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

// connector opens connections and refuses one to another file than the store's:
// another file may have got the name since the first connection.
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
