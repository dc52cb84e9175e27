package datafile

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

// Coded wraps an error with the operation and gives it a fault code. Only this file
// interprets SQLite's codes. nil stays nil, and an error that has a code keeps it.
// closed reports whether the file was closed, which explains any other error.
func Coded(doing, path string, closed bool, err error) error {
	if err == nil { // as nearly always
		return nil
	}
	return coded(doing, path, closed, err)
}

func coded(doing, path string, closed bool, err error) error {
	var known *fault.Error
	var lite *sqlite.Error
	var unreadable *event.Unreadable
	switch {
	case errors.As(err, &unreadable): // its cause may have another code; clients see the text
		return fault.New(fault.Unavailable, "%s: %w (restore a backup, or pass over it: berth events skip)", doing, err)
	case errors.As(err, &known):
		return fmt.Errorf("%s: %w", doing, err)
	case errors.Is(err, context.DeadlineExceeded):
		return fault.New(fault.Timeout, "%s: %w", doing, err)
	case errors.Is(err, context.Canceled):
		return fault.New(fault.Unavailable, "%s: %w", doing, err)
	case closed:
		return fmt.Errorf("%s: %w", doing, ErrClosed())
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
		if lacksCapacity(path) {
			return diskFull(doing, err)
		}
		return fault.New(fault.Unavailable, "%s: %s cannot be read or written: %w", doing, path, err)
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		return fault.New(fault.Internal, "%s: %s is damaged or not a database: restore a backup, or export what can be read (berth "+
			"doctor --repair): "+
			"%w", doing, path, err)
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return fault.New(fault.Unavailable, "%s: another program has %s locked: %w", doing, path, err)
	case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH,
		sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_INTERRUPT:
		return fault.New(fault.Unavailable, "%s: %s: %w", doing, path, err)
	case sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_TOOBIG:
		return fault.New(fault.Exhausted, "%s: %w", doing, err)
	}
	return fault.New(fault.Internal, "%s: %w", doing, err)
}

// ErrClosed is the error of every call after Close.
func ErrClosed() error { return fault.New(fault.Unavailable, "the data file is closed") }

func diskFull(doing string, err error) error {
	return fault.New(fault.Exhausted, "%s: the disk is full: nothing was written; free some space: %w", doing, err)
}

// lacksCapacity reports whether the file's disk has no free space or no inodes, or this
// process's limit on the size of files (ulimit -f) is reached. SQLite returns a plain I/O
// error when it cannot grow some of its files.
func lacksCapacity(path string) bool {
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

// Failed reports whether an error comes from the file and not from the statement.
// SQLite may have rolled back the whole transaction then, so that nothing more may
// run in it.
func Failed(err error) bool {
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

// Damaged reports whether an error means that this part of the file cannot be read,
// now or later.
func Damaged(err error) bool {
	var unreadable *event.Unreadable
	if errors.As(err, &unreadable) {
		return true
	}
	var lite *sqlite.Error
	if !errors.As(err, &lite) {
		return false
	}
	switch lite.Code() {
	case sqlite3.SQLITE_IOERR_READ, sqlite3.SQLITE_IOERR_SHORT_READ, sqlite3.SQLITE_IOERR_DATA, sqlite3.SQLITE_IOERR_CORRUPTFS:
		return true
	}
	switch lite.Code() & 0xff {
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_TOOBIG:
		return true
	}
	return false
}
