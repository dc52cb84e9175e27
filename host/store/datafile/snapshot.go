package datafile

import (
	"context"
	"database/sql"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/store/schema"
)

// Snapshot describes a copy of a data file.
type Snapshot struct {
	Schema int      // migrations that the file has had
	At     Position // of the copy
}

const (
	shortWAL   = 1000 // pages: SQLite's default for a checkpoint by the writer
	maxCatchUp = 16   // checkpoints after a copy
)

// CopyTo writes a consistent copy of the database, without free pages, into a file, which
// must be empty, while others read and write the database. It is one read transaction:
// meanwhile the WAL grows by what others write. A damaged page ends it with an error. It
// does not flush the copy.
func (f *File) CopyTo(ctx context.Context, target string) (s Snapshot, err error) {
	pool, err := f.openPool(dsn(f.Path, f.index, "mode=rw")) // VACUUM INTO is refused with query_only
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, pool.Close()) }()
	db, err := pool.Conn(ctx)
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := db.Raw(keepFiles); err != nil {
		return s, err
	}
	_, err = db.ExecContext(ctx, "VACUUM INTO ?", target)
	catchUp(context.WithoutCancel(ctx), db)
	if err != nil {
		return s, err
	}
	s.Schema, s.At, err = Examine(ctx, target)
	return s, err
}

// catchUp moves the WAL, which has grown during a copy, into the file while others write.
// Otherwise the next transaction of the writer would move all of it, and publishers would
// wait. A failure has no effect: the writer tries again.
func catchUp(ctx context.Context, db *sql.Conn) {
	for range maxCatchUp {
		var busy, total, moved int64
		err := db.QueryRowContext(ctx, "PRAGMA wal_checkpoint(PASSIVE)").Scan(&busy, &total, &moved)
		if err != nil || busy > 0 || total-moved <= shortWAL {
			return
		}
	}
}

// CopyUnused is File.CopyTo for a data file that no host uses. It does not upgrade the
// file. fault.NotFound: there is none. fault.Conflict: a process uses it, or it lacks
// acknowledged writes. fault.Invalid: it is not one of Berth's, or its schema is too old or
// too new.
func CopyUnused(ctx context.Context, path, target string) (s Snapshot, err error) {
	f := &File{}
	defer func() { err = Coded("copy the store", f.Path, false, errors.Join(err, f.Close())) }()
	if f.Path, err = filepath.Abs(path); err != nil {
		return s, fault.New(fault.Invalid, "%s: %w", path, err)
	}
	if _, err := os.Stat(f.Path); errors.Is(err, fs.ErrNotExist) {
		return s, fault.New(fault.NotFound, "%w", err)
	}
	if f.lock, err = lockFile(f.Path); err != nil {
		return s, err
	}
	if err := f.lock.claim(f.Path); err != nil {
		return s, err
	}
	past, err := readHistory(f.Path, nil)
	if err != nil {
		return s, err
	}
	found, err := examine(ctx, f.Path, sharedIndex)
	switch {
	case err != nil:
		return s, err
	case !found.ours():
		return s, fault.New(fault.Invalid, "%s is not a store of Berth, or of a newer one (schema %d, this one knows %d)", f.Path, found.Schema,
			schema.Latest())
	case found.Schema < schema.Identity:
		return s, fault.New(fault.Invalid, "%s has the schema %d of an old version: start a host with it once, which upgrades it", f.Path,
			found.Schema)
	}
	if lacks := past.of(f.Path, found.At); lacks != nil {
		return s, lacks.err()
	}
	return f.CopyTo(ctx, target)
}

// Adopt gives a copy of a store another id, and writes the watermark of its position: files
// of the store that was copied are not taken for its own from then on. No host may use the
// copy. Adopt flushes both files, and not their names.
func Adopt(ctx context.Context, path string) (at Position, err error) {
	const doing = "give the copy of the store an id"
	pool, err := sql.Open(driver, dsn(path, "mode=rw", "_pragma=synchronous(full)", "_pragma=fullfsync(1)"))
	if err != nil {
		return at, Coded(doing, path, false, err)
	}
	if _, err := pool.ExecContext(ctx, `UPDATE identity SET store = lower(hex(randomblob(16)))`); err != nil {
		return at, Coded(doing, path, false, errors.Join(err, pool.Close()))
	}
	if err := pool.Close(); err != nil {
		return at, Coded(doing, path, false, err)
	}
	if _, at, err = Examine(ctx, path); err != nil {
		return at, Coded(doing, path, false, err)
	}
	f, err := os.OpenFile(path+WatermarkSuffix, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return at, fault.Disk("create the watermark", err)
	}
	_, err = f.Write(appendWatermark(nil, at))
	return at, fault.Disk("write the watermark", errors.Join(err, f.Sync(), f.Close()))
}
