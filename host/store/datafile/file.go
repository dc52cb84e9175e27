package datafile

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"modernc.org/sqlite"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/store/schema"
)

const (
	driver      = "sqlite"
	BusyTimeout = 10 * time.Second // for the momentary lock of a backup or the sqlite3 shell
	walLimit    = 64 << 20         // bytes; a checkpoint truncates a longer WAL
)

// Config sets up a File. Path and Logger are required.
type Config struct {
	Path           string
	Evidence       []string // files that exist only after a store was used
	AcceptDataLoss bool     // open a file that lacks acknowledged writes
	Logger         *slog.Logger
}

// File is an open data file with its connections. Check, Keep and Detached are safe
// for concurrent use.
type File struct {
	Path   string  // absolute
	Writer *sql.DB // one connection
	Reader *sql.DB // read-only connections

	cfg       Config
	lock      *fileLock
	index     string // sharedIndex or privateIndex
	watermark watermark
	attached  attachment
	lost      uint64 // the Seq up to which events were accepted as lost
}

// Open takes the lock, creates the file when it is missing, opens the database in it
// and upgrades its schema. It refuses, with an error that says what to do: a file that
// another process has open, one that a newer Berth wrote, one that is not Berth's, a
// damaged one, a file system on which WAL does not work, and, as fault.Conflict unless
// Config.AcceptDataLoss is set, a file that lacks acknowledged writes. Then it calls
// prepare, which returns the position of the store. When Open fails, prepare may have
// been called, and may be called twice.
func Open(ctx context.Context, cfg Config, prepare func(ctx context.Context, f *File) (Position, error)) (*File, error) {
	f := &File{cfg: cfg}
	if err := f.open(ctx, prepare); err != nil {
		_ = f.Close() // the first error is the one to return
		return nil, err
	}
	return f, nil
}

func (f *File) open(ctx context.Context, prepare func(ctx context.Context, f *File) (Position, error)) (err error) {
	if f.Path, err = filepath.Abs(f.cfg.Path); err != nil {
		return fault.New(fault.Invalid, "%s: %w", f.cfg.Path, err)
	}
	if f.lock, err = lockFile(f.Path); err != nil {
		return err
	}
	past, err := f.readHistory()
	if err != nil {
		return err
	}
	if err := create(f.Path); err != nil {
		return err
	}
	if err := f.lock.claim(f.Path); err != nil {
		return err
	}
	// SQLite's usual build on Linux syncs with fdatasync; this one needs the setting.
	// It flushes the same data without the file's timestamps. Where there is none, fsync
	// remains.
	if _, err := sqlite.Fdatasync(true); err != nil && !errors.Is(err, sqlite.ErrFdatasyncUnavailable) {
		return err
	}
	open := func(index string) error {
		if err := f.compare(ctx, past, index); err != nil {
			return err
		}
		return f.openDatabase(ctx, index, prepare)
	}
	err = open(sharedIndex)
	if fault.Is(Coded("open", f.Path, false, err), fault.Exhausted) {
		// The index of the WAL is a file of 32 KiB that every start creates. On a full
		// disk it goes into this process's memory, so that the host can start and serve
		// the events it has.
		if err := f.closeDatabase(); err != nil {
			return err
		}
		if failed := open(privateIndex); failed != nil {
			return fmt.Errorf("%w (and with the index in memory: %w)", err, failed)
		}
		f.cfg.Logger.Warn("disk full: the event log is open with its index in memory, and no other program can read it until the next "+
			"start", "path", f.Path)
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

// openDatabase opens both pools, checks the settings that durability depends on,
// upgrades the schema and calls prepare.
func (f *File) openDatabase(ctx context.Context, index string, prepare func(ctx context.Context, f *File) (Position, error)) (err error) {
	path := f.Path
	f.index = index
	_, left, _ := stat(path + "-wal")
	recovered := left > 0 // the process before was killed
	vacuum := ""          // of a file that has pages it would write, also on a full disk
	if _, size, err := stat(path); err == nil && size == 0 {
		vacuum = "_pragma=auto_vacuum(incremental)"
	}
	f.Writer, err = f.openPool(dsn(path, index, "mode=rw", "_txlock=immediate", vacuum,
		"_pragma=journal_mode(wal)", "_pragma=synchronous(full)",
		// macOS: fsync alone does not flush the disk's cache. Ignored elsewhere.
		"_pragma=fullfsync(1)", "_pragma=checkpoint_fullfsync(1)",
		fmt.Sprintf("_pragma=journal_size_limit(%d)", walLimit),
		"_pragma=cache_size(-16384)", // KiB
	))
	if err != nil {
		return err
	}
	f.Writer.SetMaxOpenConns(1)
	f.Writer.SetMaxIdleConns(1)
	if err := f.keepWAL(ctx); err != nil {
		return err
	}
	if err := f.verify(ctx); err != nil {
		return err
	}
	if err := schema.Upgrade(ctx, f.Writer, path, schema.Latest()); err != nil {
		return err
	}
	f.Reader, err = f.openPool(dsn(path, index, "mode=rw", "_pragma=query_only(1)"))
	if err != nil {
		return err
	}
	f.Reader.SetMaxOpenConns(Readers())
	f.Reader.SetMaxIdleConns(Readers())
	if f.lost > 0 {
		if _, err := f.Writer.ExecContext(ctx, `INSERT INTO marks VALUES ('lost', ?1) ON CONFLICT DO UPDATE SET seq = max(seq, ?1)`,
			int64(min(f.lost, math.MaxInt64))); err != nil {
			return err
		}
	}
	at, err := prepare(ctx, f)
	if err != nil {
		return err
	}
	// The position may come from a WAL that a killed process had not flushed. The WAL is
	// flushed before the position counts: duplicates of these events are acknowledged
	// without a further flush, and the watermark is never ahead of the disk.
	if recovered {
		if err := syncFile(path + "-wal"); err != nil {
			return err
		}
	}
	if err := f.attached.attach(path, index == sharedIndex); err != nil {
		return err
	}
	f.watermark = watermark{name: path + WatermarkSuffix, log: f.cfg.Logger}
	f.watermark.record(at)
	f.watermark.report(f.watermark.open())
	f.lock.sign()
	return nil
}

// Readers returns the maximum number of read-only connections.
func Readers() int { return max(4, runtime.GOMAXPROCS(0)) }

// openPool returns a pool of connections to the data file.
func (f *File) openPool(dsn string) (*sql.DB, error) {
	c, err := sqlite.NewConnector(dsn)
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(connector{c, &f.attached}), nil
}

// OpenReadOnly opens a data file, which a host may be using, for queries alone.
func OpenReadOnly(path string) (*sql.DB, error) {
	return sql.Open(driver, dsn(path, "mode=ro", "_pragma=query_only(1)"))
}

// readHistory reads the files beside the data file, and refuses a data file that is
// missing or empty although a store was in use here.
func (f *File) readHistory() (history, error) {
	past, err := readHistory(f.Path, f.cfg.Evidence)
	if err != nil {
		return past, err
	}
	if past.signed {
		f.lock.sign()
	}
	if !past.empty {
		return past, nil
	}
	lacks := past.ofEmpty(f.Path)
	if err := f.accept(lacks); err != nil || lacks == nil {
		return past, err
	}
	return past, setAside(f.Path, time.Now(), f.cfg.Logger)
}

// compare refuses a data file that lacks acknowledged writes, and says that an older one is
// upgraded, which takes a while.
func (f *File) compare(ctx context.Context, past history, index string) error {
	found, err := examine(ctx, f.Path, index)
	if err != nil {
		return err
	}
	switch {
	case found.fresh() && !past.empty:
		return f.accept(past.ofEmpty(f.Path))
	case found.ours():
		if past.markErr != nil {
			f.cfg.Logger.Error("watermark not readable and created again: whether the store lacks acknowledged events is unknown",
				"error", past.markErr, "seq", found.At.Seq)
		}
		if err := f.accept(past.of(f.Path, found.At)); err != nil {
			return err
		}
		if found.Schema < schema.Latest() {
			f.cfg.Logger.Info("upgrading the store; an older Berth cannot open it afterwards", "path", f.Path, "from_schema", found.Schema,
				"to_schema", schema.Latest(), "seq", found.At.Seq)
		}
	}
	return nil
}

// accept refuses a loss or, when the operator accepts it, logs it. The log then
// continues after the last acknowledged Seq, so that no Seq is used twice.
func (f *File) accept(l *loss) error {
	switch {
	case l == nil:
		return nil
	case !f.cfg.AcceptDataLoss:
		return l.err()
	}
	f.cfg.Logger.Error("loss of acknowledged data accepted", "loss", l.what, "seq", l.seq)
	f.lost = max(f.lost, l.seq)
	return nil
}

// dsn names the file as a URI, so that its path may contain any character.
func dsn(path string, params ...string) string {
	u := url.URL{Scheme: "file", OmitHost: true, Path: path}
	text := u.String() + fmt.Sprintf("?_pragma=busy_timeout(%d)&_pragma=temp_store(memory)", BusyTimeout.Milliseconds())
	for _, p := range params {
		if p != "" {
			text += "&" + p
		}
	}
	return text
}

// create creates an empty file that only its owner can read, and flushes its name
// into the directory: SQLite flushes the content only. A file that exists keeps its
// mode.
func create(path string) error {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return nil
	}
	if err != nil {
		return fault.Disk("create the file", err)
	}
	if err := file.Close(); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// syncFile flushes a file that another descriptor has written; it need not exist.
func syncFile(path string) error {
	file, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return errors.Join(file.Sync(), file.Close())
}

// verify reads back the settings that durability depends on. SQLite answers a journal
// mode that is not available with the present one, not with an error.
func (f *File) verify(ctx context.Context) error {
	const full = "2"
	for _, want := range []struct{ pragma, value, hint string }{
		{"journal_mode", "wal", "the file system may lack shared memory; put the data directory on a local disk"},
		{"synchronous", full, ""},
	} {
		var got string
		if err := f.Writer.QueryRowContext(ctx, "PRAGMA "+want.pragma).Scan(&got); err != nil {
			return err
		}
		if got != want.value {
			return fault.New(fault.Unavailable, "%s: %s is %q, but must be %q: %s", f.Path, want.pragma, got, want.value, want.hint)
		}
	}
	return nil
}

// keepWAL makes SQLite keep the files beside the database when it is closed, with an
// empty WAL: a start then needs no inode of a disk that may have none.
func (f *File) keepWAL(ctx context.Context) error {
	c, err := f.Writer.Conn(ctx)
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

// closeDatabase undoes openDatabase, as far as it was done.
func (f *File) closeDatabase() error {
	var errs []error
	for _, db := range []*sql.DB{f.Reader, f.Writer} { // the last to close, the writer, empties the WAL
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	return errors.Join(errs...)
}

// Close closes the database and releases the lock.
func (f *File) Close() error {
	err := f.closeDatabase()
	f.watermark.close()
	if f.lock != nil {
		err = errors.Join(err, f.lock.release())
	}
	return err
}

// Acknowledge records a position, which must be durable, in the watermark. Only the
// writer calls it, before it acknowledges a commit.
func (f *File) Acknowledge(at Position) { f.watermark.record(at) }

// Detached returns why the store's files do not have their names; nil when they do.
func (f *File) Detached() error { return f.attached.lostError() }

// CheckCommit checks the names of the files that contain acknowledged writes.
func (f *File) CheckCommit() error { return f.check(eachCommit) }

// Check checks the names of all the store's files.
func (f *File) Check() error { return f.check(len(f.attached.files)) }

// check checks the names of the first n files and logs a change.
func (f *File) check(n int) error {
	lost, changed := f.attached.check(n)
	switch {
	case !changed:
	case lost != nil:
		f.cfg.Logger.Error("store takes no writes until its file has its name again; copy the open files before the host ends, which "+
			"loses them",
			"error", lost, "path", f.Path, "open_files", strings.Join(f.attached.openFiles(), " "))
	default:
		f.cfg.Logger.Info("store takes writes again: its files have their names")
	}
	return lost
}

// Keep checks the files' names and flushes the watermark. It reports whether the store
// is attached. Call it about once a second.
func (f *File) Keep() (attached bool) {
	attached = f.Check() == nil
	f.watermark.sync(attached)
	return attached
}
