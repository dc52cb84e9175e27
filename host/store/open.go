package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"modernc.org/sqlite"

	"github.com/berth-host/berth/host/fault"
)

const (
	driver      = "sqlite"
	busyTimeout = 10 * time.Second // for a moment's lock by a backup or the sqlite3 shell
	walLimit    = 64 << 20         // bytes; a WAL that grew beyond is cut back at a checkpoint
)

// openFile takes the lock, creates the file and opens the database in it.
func (s *Store) openFile(ctx context.Context) error {
	path, err := filepath.Abs(s.path)
	if err != nil {
		return fault.New(fault.Invalid, "%s: %w", s.path, err)
	}
	s.path = path
	if s.lock, err = lockFile(path); err != nil {
		return err
	}
	past, err := s.readHistory()
	if err != nil {
		return err
	}
	if err := create(path); err != nil {
		return err
	}
	if err := s.lock.claim(path); err != nil {
		return err
	}
	// SQLite's usual build on Linux syncs with fdatasync; this one has to be
	// told. It flushes the same data without the file's timestamps. Where there
	// is none, fsync stays.
	if _, err := sqlite.Fdatasync(true); err != nil && !errors.Is(err, sqlite.ErrFdatasyncUnavailable) {
		return err
	}
	open := func(index string) error {
		if err := s.compare(ctx, past, index); err != nil {
			return err
		}
		return s.openDatabase(ctx, index)
	}
	err = open(sharedIndex)
	if fault.Is(s.coded("open", err), fault.Exhausted) {
		// The index of the WAL is a file of 32 KiB that every start makes anew. On a
		// full disk it goes into this process's memory, so that the host can start
		// and serve what it has.
		if err := s.closeDatabase(); err != nil {
			return err
		}
		if failed := open(privateIndex); failed != nil {
			return fmt.Errorf("%w (and with the index in memory: %w)", err, failed)
		}
		s.log.Warn("the disk is full: the event log is open with its index in memory, and no other program can read it until the next start", "path", path)
		return nil
	}
	return err
}

// Where SQLite keeps the index of the WAL: in a file beside the database that other
// programs can share, or in the memory of this process, which then has the database
// for itself.
const (
	sharedIndex  = ""
	privateIndex = "vfs=unix-excl"
)

// openDatabase opens both pools, checks what the promises rest on, upgrades the
// schema and reads where the log ends.
func (s *Store) openDatabase(ctx context.Context, index string) (err error) {
	path := s.path
	_, left, _ := stat(path + "-wal")
	recovered := left > 0 // somebody was killed
	vacuum := ""          // of a file that has pages it would write, also on a full disk
	if _, size, err := stat(path); err == nil && size == 0 {
		vacuum = "_pragma=auto_vacuum(incremental)" // see shrink.go
	}
	s.writer, err = s.openPool(dsn(path, index, "mode=rw", "_txlock=immediate", vacuum,
		"_pragma=journal_mode(wal)", "_pragma=synchronous(full)",
		// macOS: fsync alone does not reach the platter. Ignored elsewhere.
		"_pragma=fullfsync(1)", "_pragma=checkpoint_fullfsync(1)",
		fmt.Sprintf("_pragma=journal_size_limit(%d)", walLimit),
		"_pragma=cache_size(-16384)", // KiB
	))
	if err != nil {
		return err
	}
	s.writer.SetMaxOpenConns(1)
	s.writer.SetMaxIdleConns(1)
	if err := s.keepWAL(ctx); err != nil {
		return err
	}
	if err := s.verify(ctx); err != nil {
		return err
	}
	if err := upgrade(ctx, s.writer, path); err != nil {
		return err
	}
	if err := s.prepareShrink(ctx); err != nil {
		return err
	}
	if s.lost > 0 {
		if _, err := s.writer.ExecContext(ctx, `INSERT INTO marks VALUES ('lost', ?1) ON CONFLICT DO UPDATE SET seq = max(seq, ?1)`, sqlSeq(s.lost)); err != nil {
			return err
		}
	}
	s.reader, err = s.openPool(dsn(path, index, "mode=rw", "_pragma=query_only(1)"))
	if err != nil {
		return err
	}
	s.reader.SetMaxOpenConns(readers())
	s.reader.SetMaxIdleConns(readers())
	if err := s.write.prepare(ctx, s.writer); err != nil {
		return err
	}
	if err := s.dead.prepare(ctx, s.writer); err != nil {
		return err
	}
	if err := s.trim.prepare(ctx, s.writer); err != nil {
		return err
	}
	if err := s.read.prepare(ctx, s.reader); err != nil {
		return err
	}
	if err := s.refresh(); err != nil {
		return err
	}
	// What is read now may come from a WAL that a killed process had not flushed.
	// It is flushed before it counts: duplicates of these events are acknowledged
	// without a further flush, and the watermark is never ahead of the disk.
	if recovered {
		if err := syncFile(path + "-wal"); err != nil {
			return err
		}
	}
	if err := s.attached.attach(path, index == sharedIndex); err != nil {
		return err
	}
	s.watermark = watermark{name: path + watermarkSuffix, log: s.log}
	s.watermark.record(s.position())
	s.watermark.report(s.watermark.open())
	s.lock.sign()
	return nil
}

// openPool makes a pool of connections to the data file.
func (s *Store) openPool(dsn string) (*sql.DB, error) {
	c, err := sqlite.NewConnector(dsn)
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(connector{c, &s.attached}), nil
}

// readHistory looks at what lies beside the data file, and refuses a file that is
// missing or empty although a store was in use here.
func (s *Store) readHistory() (history, error) {
	past, err := readHistory(s.path, s.evidence)
	if err != nil {
		return past, err
	}
	if past.signed {
		s.lock.sign()
	}
	if !past.empty {
		return past, nil
	}
	lacks := past.ofEmpty(s.path)
	if err := s.accept(lacks); err != nil || lacks == nil {
		return past, err
	}
	return past, setAside(s.path, time.Now(), s.log)
}

// compare refuses a data file that lacks what was acknowledged.
func (s *Store) compare(ctx context.Context, past history, index string) error {
	found, err := examine(ctx, s.path, index)
	if err != nil {
		return err
	}
	switch {
	case found.fresh() && !past.empty:
		return s.accept(past.ofEmpty(s.path))
	case found.ours():
		if past.markErr != nil {
			s.log.Error("the watermark cannot be read and is made anew: whether the store lacks acknowledged events is not known", "error", past.markErr, "last_seq", found.at.Seq)
		}
		return s.accept(past.of(s.path, found.at))
	}
	return nil
}

// dsn names the file as a URI, so that any character may be in its path.
func dsn(path string, params ...string) string {
	u := url.URL{Scheme: "file", OmitHost: true, Path: path}
	text := u.String() + fmt.Sprintf("?_pragma=busy_timeout(%d)&_pragma=temp_store(memory)", busyTimeout.Milliseconds())
	for _, p := range params {
		if p != "" {
			text += "&" + p
		}
	}
	return text
}

// create makes an empty file that only its owner can read, and flushes its name
// into the directory: SQLite flushes the content only. A file that exists keeps
// its mode.
func create(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return nil
	}
	if err != nil {
		return fault.Disk("make the file", err)
	}
	if err := f.Close(); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// syncFile flushes a file that another descriptor has written; there need not be one.
func syncFile(path string) error {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// verify reads back the settings that durability rests on. SQLite answers a
// journal mode it cannot have with the one it has, not with an error.
func (s *Store) verify(ctx context.Context) error {
	const full = "2"
	for _, want := range []struct{ pragma, value, hint string }{
		{"journal_mode", "wal", "the file system may lack shared memory; put the data directory on a local disk"},
		{"synchronous", full, ""},
	} {
		var got string
		if err := s.writer.QueryRowContext(ctx, "PRAGMA "+want.pragma).Scan(&got); err != nil {
			return err
		}
		if got != want.value {
			return fault.New(fault.Unavailable, "%s: %s is %q, but must be %q: %s", s.path, want.pragma, got, want.value, want.hint)
		}
	}
	return nil
}

// keepWAL has the files beside the database stay when it is closed, the WAL empty:
// a start then needs no inode of a disk that may have none.
func (s *Store) keepWAL(ctx context.Context) error {
	c, err := s.writer.Conn(ctx)
	if err != nil {
		return err
	}
	return errors.Join(c.Raw(keepFiles), c.Close())
}

// keepFiles is keepWAL of a driver's connection.
func keepFiles(connection any) error {
	_, err := connection.(sqlite.FileControl).FileControlPersistWAL("main", 1)
	return err
}

// closeDatabase undoes openDatabase, however far it got.
func (s *Store) closeDatabase() error {
	var errs []error
	for _, db := range []*sql.DB{s.reader, s.writer} { // the last to close, the writer, empties the WAL
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	return errors.Join(errs...)
}

// closeFile undoes openFile, however far it got.
func (s *Store) closeFile() error {
	err := s.closeDatabase()
	s.watermark.close()
	if s.lock != nil {
		err = errors.Join(err, s.lock.release())
	}
	return err
}
