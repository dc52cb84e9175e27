package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
)

// coded says what was being done and gives the error its code. It is the only
// place that reads SQLite's codes. nil stays nil, a code stays as it is.
func (s *Store) coded(doing string, err error) error {
	var known *fault.Error
	var lite *sqlite.Error
	var unreadable *event.Unreadable
	switch {
	case err == nil:
		return nil
	case errors.As(err, &unreadable): // its cause can have a code, which is not this one; the text is for clients
		return fault.New(fault.Unavailable, "%s: %w (restore the store from a copy, or pass over it: berth events skip)", doing, err)
	case errors.As(err, &known):
		return fmt.Errorf("%s: %w", doing, err)
	case errors.Is(err, context.DeadlineExceeded):
		return fault.New(fault.Timeout, "%s: %w", doing, err)
	case errors.Is(err, context.Canceled):
		return fault.New(fault.Unavailable, "%s: %w", doing, err)
	case s.closed():
		return fmt.Errorf("%s: %w", doing, errClosed())
	case errors.Is(err, sql.ErrConnDone):
		return fault.New(fault.Unavailable, "%s: %w", doing, err)
	case fault.Full(err):
		return fault.Disk(doing, err)
	case !errors.As(err, &lite):
		return fault.New(fault.Internal, "%s: %w", doing, err)
	}
	switch lite.Code() & 0xff {
	case sqlite3.SQLITE_FULL:
		return diskFull(doing, err)
	case sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN:
		if outOfSpace(s.path) {
			return diskFull(doing, err)
		}
		return fault.New(fault.Unavailable, "%s: %s cannot be read or written: %w", doing, s.path, err)
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		return fault.New(fault.Internal, "%s: %s is damaged or not a database: restore it from a copy, or move it away to start anew: %w", doing, s.path, err)
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return fault.New(fault.Unavailable, "%s: something else holds %s locked: %w", doing, s.path, err)
	case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH,
		sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_INTERRUPT:
		return fault.New(fault.Unavailable, "%s: %s: %w", doing, s.path, err)
	case sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_TOOBIG:
		return fault.New(fault.Exhausted, "%s: %w", doing, err)
	}
	return fault.New(fault.Internal, "%s: %w", doing, err)
}

func diskFull(doing string, err error) error {
	return fault.New(fault.Exhausted, "%s: the disk is full: nothing was written; free some space, no restart is needed: %w", doing, err)
}

// noSpace reports whether the file's disk has no room or no inodes left, or this
// process's limit on the size of files (ulimit -f) is reached. SQLite answers some failures
// to grow its files with a plain I/O error.
func outOfSpace(path string) bool {
	const page = 64 << 10 // what one growth of the shared-memory file may take, rounded up
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &limit); err == nil {
		for _, name := range []string{path, path + "-wal", path + "-shm"} {
			if info, err := os.Stat(name); err == nil && uint64(info.Size())+page > limit.Cur {
				return true
			}
		}
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(filepath.Dir(path), &fs); err != nil {
		return false
	}
	return uint64(fs.Bavail)*uint64(fs.Bsize) < page || fs.Files > 0 && fs.Ffree == 0
}

// ofTheFile reports whether an error comes from the file and not from what was
// asked of it. SQLite may have undone the whole transaction then, so nothing
// more may run in it.
func ofTheFile(err error) bool {
	if errors.Is(err, sql.ErrTxDone) || errors.Is(err, sql.ErrConnDone) {
		return true
	}
	var lite *sqlite.Error
	if !errors.As(err, &lite) {
		return false
	}
	switch lite.Code() & 0xff {
	case sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB,
		sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_INTERRUPT, sqlite3.SQLITE_CANTOPEN,
		sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PROTOCOL:
		return true
	}
	return false
}
