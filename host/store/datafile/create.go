package datafile

import (
	"database/sql"
	"errors"
	"os"
	"path/filepath"

	"github.com/berth-host/berth/host/fault"
)

// Create creates a data file and opens it with one connection, to be filled: nothing is
// flushed before the caller does it, and the file has no WAL until a Store opens it. It has
// the mode 0600. A file that exists is an error.
func Create(path string) (*sql.DB, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fault.Disk("create the file", err)
	}
	if err := f.Close(); err != nil {
		return nil, fault.Disk("create the file", err)
	}
	db, err := sql.Open(driver, dsn(path, sharedIndex, "mode=rw", "_txlock=immediate", "_pragma=auto_vacuum(incremental)",
		"_pragma=journal_mode(memory)", "_pragma=synchronous(off)", "_pragma=locking_mode(exclusive)", "_pragma=temp_store(file)",
		"_pragma=cache_size(-65536)"))
	if err != nil {
		return nil, errors.Join(err, os.Remove(path))
	}
	db.SetMaxOpenConns(1)
	db.SetMaxIdleConns(1)
	return db, nil
}

// OpenPartial opens a data file with one connection, to be filled in several runs, and creates
// it when it is missing, with the mode 0600: every transaction is flushed. No Store has it open.
func OpenPartial(path string) (*sql.DB, error) {
	if err := create(path); err != nil {
		return nil, err
	}
	db, err := sql.Open(driver, dsn(path, sharedIndex, "mode=rw", "_txlock=immediate", "_pragma=auto_vacuum(incremental)",
		"_pragma=journal_mode(wal)", "_pragma=synchronous(full)", "_pragma=fullfsync(1)", "_pragma=checkpoint_fullfsync(1)",
		"_pragma=cache_size(-65536)"))
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	db.SetMaxIdleConns(1)
	return db, nil
}

// Publish flushes a closed data file and gives it its name, which no file may have.
func Publish(partial, path string) error {
	if err := syncFile(partial); err != nil {
		return fault.Disk("flush the file", err)
	}
	if err := os.Link(partial, path); err != nil { // unlike a rename it never replaces a file
		return fault.Disk("name the file", err)
	}
	return errors.Join(os.Remove(partial), syncDir(filepath.Dir(path)))
}
