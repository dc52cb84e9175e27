package datafile

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/store/schema"
)

// history is the evidence beside a data file of what the file must contain.
type history struct {
	mark    Position // of the watermark
	marked  bool     // the watermark can be read
	markErr error    // it exists and cannot be read
	files   []string // evidence of a store, without its position
	wal     []string // files that SQLite leaves beside a file that was not closed
	empty   bool     // the data file is missing or has no byte
	signed  bool     // the lock file has a process id
}

// readHistory reads the files beside a data file. evidence names further files of the
// data directory that exist only after a store was used.
func readHistory(path string, evidence []string) (h history, err error) {
	h.mark, h.marked, h.markErr = ReadWatermark(path)
	if h.markErr != nil {
		h.marked = false
		h.files = append(h.files, path+WatermarkSuffix)
	}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		h.empty = true
	case err != nil:
		return h, fault.New(fault.Unavailable, "%w", err)
	default:
		h.empty = info.Size() == 0
	}
	// The lock file has a process id from when the store is complete, so that a
	// first start that was killed does not count.
	if info, err := os.Stat(lockName(path)); err == nil && info.Size() > 0 {
		h.signed = true
		h.files = append(h.files, lockName(path))
	}
	for _, name := range []string{path + "-wal", path + "-shm"} {
		if info, err := os.Stat(name); err == nil && info.Size() > 0 {
			h.wal = append(h.wal, name)
		}
	}
	for _, name := range evidence {
		switch _, err := os.Lstat(name); {
		case err == nil:
			h.files = append(h.files, name)
		case !errors.Is(err, fs.ErrNotExist):
			return h, fault.New(fault.Unavailable, "%w", err)
		}
	}
	return h, nil
}

// loss describes the acknowledged writes that a data file lacks; nil for none.
type loss struct {
	what   string // for a person
	seq    uint64 // the highest acknowledged Seq, 0 when it is not known
	advice string
}

const acceptHint = "--accept-data-loss continues without the lost data"

// ofEmpty returns the loss of a data file that is missing, has no byte or has no
// table. A file with a header and no table may have a WAL of its own, from a first
// start that was killed.
func (h *history) ofEmpty(path string) *loss {
	files := h.files
	if h.empty {
		files = slices.Concat(files, h.wal)
	}
	acknowledged := h.marked && (h.mark.Seq > 0 || h.mark.Writes > 0)
	if !acknowledged && len(files) == 0 {
		return nil
	}
	state := "is empty"
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		state = "is missing"
	}
	l := &loss{what: fmt.Sprintf("%s %s, but a store was in use here", path, state),
		advice: fmt.Sprintf("put it back, together with %s-wal if there was one, or restore a backup; %s and starts with an empty log",
			filepath.Base(path), acceptHint)}
	if acknowledged {
		l.seq = h.mark.Seq
		l.what += ": " + h.mark.events()
	}
	if len(files) > 0 {
		names := make([]string, len(files))
		for i, name := range files {
			names[i] = filepath.Base(name)
		}
		l.what += fmt.Sprintf(" (found %s)", strings.Join(names, ", "))
	}
	return l
}

// of returns the loss of a store at this position.
func (h *history) of(path string, at Position) *loss {
	if !h.marked {
		return nil
	}
	m := h.mark
	l := &loss{seq: m.Seq}
	switch {
	case at.Store != "" && at.Store != m.Store:
		l.what = fmt.Sprintf("%s is another store (id %s, last event %d) than the one that was in use here (id %s): of that one %s",
			path, at.Store, at.Seq, m.Store, m.events())
		l.advice = "put the former file back, or use another data directory; " + acceptHint + " and takes this store"
	case at.Seq < m.Seq:
		l.what = fmt.Sprintf("%s ends at event %d, but event %d was acknowledged: the events %d to %d are missing", path, at.Seq, m.Seq,
			at.Seq+1, m.Seq)
		l.advice = fmt.Sprintf("if %s-wal was moved or deleted, put it back; if an older copy was put in the file's place, put the "+
			"newer one back; %s", filepath.Base(path), acceptHint)
	case at.Store != "" && at.Writes < m.Writes:
		l.what = fmt.Sprintf("%s has every event, but lacks the last %d of %d acknowledged writes (outcomes, cursors, state of "+
			"plugins)", path, m.Writes-at.Writes, m.Writes)
		l.advice = fmt.Sprintf("if %s-wal was moved or deleted, put it back; if an older copy was put in the file's place, put the "+
			"newer one back; %s: events can be delivered again", filepath.Base(path), acceptHint)
	default:
		return nil
	}
	return l
}

// events describes the acknowledged part of the log.
func (p Position) events() string {
	if p.Seq == 0 {
		return fmt.Sprintf("%d writes were acknowledged, and no event", p.Writes)
	}
	return fmt.Sprintf("the events up to %d were acknowledged", p.Seq)
}

func (l *loss) err() error { return fault.New(fault.Conflict, "%s: %s", l.what, l.advice) }

// setAside renames the files that remain of a store whose data file is missing: SQLite
// would delete them.
func setAside(path string, now time.Time, log *slog.Logger) error {
	for _, suffix := range []string{"-wal", "-shm"} {
		name := path + suffix
		aside := fmt.Sprintf("%s.lost-%s", name, now.UTC().Format("20060102T150405.000000000Z"))
		switch err := os.Rename(name, aside); {
		case err == nil:
			log.Warn("file of the lost store set aside", "path", aside)
		case !errors.Is(err, fs.ErrNotExist):
			return fault.New(fault.Unavailable, "%w", err)
		}
	}
	return nil
}

// head is the state of a data file before it is changed.
type head struct {
	Application, Schema, objects int
	At                           Position
}

// fresh reports whether the file has nothing in it.
func (f head) fresh() bool { return f.Schema == 0 && f.Application == 0 && f.objects == 0 }

// ours reports whether this program knows the file's tables.
func (f head) ours() bool {
	return f.Application == schema.ApplicationID && f.Schema > 0 && f.Schema <= schema.Latest()
}

// Examine returns the schema and the position of a data file. It changes nothing.
func Examine(ctx context.Context, path string) (schema int, at Position, err error) {
	f, err := examine(ctx, path, sharedIndex)
	return f.Schema, f.At, err
}

// examine reads a data file's header and, when it is one of Berth's, its position.
// It changes nothing: a connection that can write would empty the WAL. One with the
// private index has to write; it moves the WAL's content into the data file.
func examine(ctx context.Context, path, index string) (f head, err error) {
	mode := "mode=ro"
	if index == privateIndex {
		mode = "mode=rw" // a reader alone makes the file of the index
	}
	pool, err := sql.Open(driver, dsn(path, index, mode, "_pragma=query_only(1)"))
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, pool.Close()) }()
	db, err := pool.Conn(ctx)
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := db.Raw(keepFiles); err != nil {
		return f, err
	}
	err = db.QueryRowContext(ctx, `SELECT application_id, user_version, (SELECT count(*) FROM sqlite_schema)
		FROM pragma_application_id, pragma_user_version`).Scan(&f.Application, &f.Schema, &f.objects)
	if err != nil || !f.ours() {
		return f, err
	}
	var seq, writes int64
	err = db.QueryRowContext(ctx, `SELECT max((SELECT coalesce(max(seq), 0) FROM events), (SELECT coalesce(max(seq), 0)
		FROM marks))`).Scan(&seq)
	if err == nil && f.Schema >= schema.Identity {
		err = db.QueryRowContext(ctx, `SELECT store, writes FROM identity, log_size`).Scan(&f.At.Store, &writes)
	}
	f.At.Seq, f.At.Writes = uint64(seq), uint64(writes)
	return f, err
}
