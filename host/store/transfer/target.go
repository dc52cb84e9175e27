package transfer

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/berth-host/berth/host/event/transfer"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/store/datafile"
	"github.com/berth-host/berth/host/store/logread"
	"github.com/berth-host/berth/host/store/schema"
)

// partialSuffix is of the name that a data file has until it is complete.
const partialSuffix = ".partial"

// Target is a data file that is filled. It implements transfer.Target.
type Target struct {
	reader
	path     string
	releases []func() error
	done     bool
	complete bool // an earlier run has made the copy
}

// OpenTarget makes the partial file of a data file that is missing, or opens it to continue.
// With restart it begins again. Store is the id of what is copied: its complete copy is opened
// to be compared once more, as after a run that was killed at its end. It takes the locks of
// both files until Close. fault.Conflict: there is another store at path, or another process
// has one of the files.
func OpenTarget(ctx context.Context, path, store string, restart bool) (t *Target, err error) {
	const doing = "make the store"
	t = &Target{path: path}
	defer func() {
		if err != nil {
			err = errors.Join(datafile.Coded(doing, path, false, err), t.Close())
		}
	}()
	if version, at, err := datafile.Examine(ctx, path); err == nil && at.Store == store && version == schema.Latest() && !restart {
		t.complete = true
		release, err := datafile.Exclude(path)
		if err != nil {
			return t, err
		}
		t.releases = append(t.releases, release)
		t.db, err = datafile.OpenReadOnly(path)
		return t, err
	}
	for _, suffix := range []string{"", "-wal", datafile.WatermarkSuffix} {
		if _, err := os.Lstat(path + suffix); !errors.Is(err, fs.ErrNotExist) {
			return t, fault.New(fault.Conflict, "%s is there: the copy is made in a data directory without a store; move %s* away, or name "+
				"another data directory", path+suffix, path)
		}
	}
	for _, name := range []string{path, path + partialSuffix} {
		release, err := datafile.Exclude(name)
		if err != nil {
			return t, err
		}
		t.releases = append(t.releases, release)
	}
	if restart {
		for _, suffix := range []string{"-wal", "-shm", ""} {
			if err := os.Remove(path + partialSuffix + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return t, err
			}
		}
	}
	if t.db, err = datafile.OpenPartial(path + partialSuffix); err != nil {
		return t, err
	}
	if err := schema.Upgrade(ctx, t.db, path+partialSuffix, schema.Latest()); err != nil {
		return t, err
	}
	return t, t.track(ctx)
}

// track makes the table of the positions. When it is missing and there are rows, a run was
// killed after it had completed the file, and before the file had its name.
func (t *Target) track(ctx context.Context) error {
	tx, err := t.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // does nothing after the commit
	var there bool
	if err := tx.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'transfer')`).Scan(&there); err != nil || there {
		return err
	}
	texts := []string{`CREATE TABLE transfer (kind TEXT PRIMARY KEY, store TEXT NOT NULL, key BLOB, entries INTEGER NOT NULL,
		done INTEGER NOT NULL) STRICT, WITHOUT ROWID`}
	var filled bool
	for _, k := range transfer.Kinds() {
		if k.Name != "head" && !filled {
			if err := tx.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM `+table(k)+`)`).Scan(&filled); err != nil {
				return err
			}
		}
	}
	if filled {
		texts = append(texts, `INSERT INTO transfer SELECT '', store, NULL, 0, 0 FROM identity`)
		for _, k := range transfer.Kinds() {
			texts = append(texts, `INSERT INTO transfer SELECT '`+k.Name+`', store, NULL, (SELECT count(*) FROM `+table(k)+`), 1 FROM identity`)
		}
	}
	for _, text := range texts {
		if _, err := tx.ExecContext(ctx, text); err != nil {
			return err
		}
	}
	return tx.Commit()
}

// Close closes the file and releases the locks. The file remains for a later run.
func (t *Target) Close() error {
	var errs []error
	if t.db != nil {
		errs = append(errs, t.db.Close())
		t.db = nil
	}
	for _, release := range t.releases {
		errs = append(errs, release())
	}
	t.releases = nil
	if t.done {
		errs = append(errs, os.Remove(t.path+partialSuffix+".lock"))
		t.done = false
	}
	return errors.Join(errs...)
}

// Begin implements transfer.Target.
func (t *Target) Begin(ctx context.Context, store string) (transfer.Progress, error) {
	if t.complete {
		return transfer.Progress{Complete: true}, nil
	}
	if _, err := t.db.ExecContext(ctx, `INSERT OR IGNORE INTO transfer VALUES ('', ?, NULL, 0, 0)`, store); err != nil {
		return transfer.Progress{}, err
	}
	positions := make(map[string]transfer.Position)
	var kind, of string
	var at transfer.Position
	rows, err := t.db.QueryContext(ctx, `SELECT kind, store, key, entries, done FROM transfer`)
	err = datafile.Each(rows, err, func() {
		positions[kind] = at
		at.Key = nil
	}, &kind, &of, &at.Key, &at.Rows, &at.Done)
	if err == nil && of != store {
		err = fault.New(fault.Conflict, "%s is the unfinished copy of another store (%s): finish that one, or begin again with --restart",
			t.path+partialSuffix, of)
	}
	return transfer.Progress{Positions: positions}, err
}

// Write implements transfer.Target.
func (t *Target) Write(ctx context.Context, k *transfer.Kind, rows []transfer.Row, at transfer.Position) error {
	tx, err := t.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // does nothing after the commit
	if k.Name == "head" {
		err = writeHead(ctx, tx, rows)
	} else {
		err = insert(ctx, tx, k, rows)
	}
	if err == nil {
		_, err = tx.ExecContext(ctx, `INSERT OR REPLACE INTO transfer SELECT ?, store, ?, ?, ? FROM transfer WHERE kind = ''`,
			k.Name, at.Key, at.Rows, at.Done)
	}
	if err != nil {
		return err
	}
	return tx.Commit()
}

// insert inserts rows of a kind.
func insert(ctx context.Context, tx *sql.Tx, k *transfer.Kind, rows []transfer.Row) error {
	stmt, err := tx.PrepareContext(ctx, insertion(k))
	if err != nil {
		return err
	}
	defer stmt.Close()
	for _, row := range rows {
		if _, err := stmt.ExecContext(ctx, arguments(k, row)...); err != nil {
			return fmt.Errorf("insert %q: %w", row[:k.Key], err)
		}
	}
	return nil
}

// writeHead stores the id of the store and the ends of its log. A log ends at its last event,
// or at a mark when that was removed.
func writeHead(ctx context.Context, tx *sql.Tx, rows []transfer.Row) error {
	for _, row := range rows {
		for _, s := range []struct {
			text string
			args []any
		}{
			{`DELETE FROM identity`, nil},
			{`INSERT INTO identity VALUES (?)`, []any{string(row[0].([]byte))}},
			{`INSERT OR REPLACE INTO marks SELECT 'lost', ?1 WHERE ?1 > 0`, []any{row[1]}},
			{`INSERT OR REPLACE INTO marks SELECT 'trimmed', ?1 WHERE ?1 > 0`, []any{row[2]}},
		} {
			if _, err := tx.ExecContext(ctx, s.text, s.args...); err != nil {
				return err
			}
		}
	}
	return nil
}

// Commit implements transfer.Target.
func (t *Target) Commit(ctx context.Context) error {
	const doing = "complete the store"
	if err := t.derive(ctx); err != nil {
		return datafile.Coded(doing, t.path, false, err)
	}
	db := t.db
	t.db = nil
	if err := db.Close(); err != nil { // it moves the WAL into the file
		return datafile.Coded(doing, t.path, false, err)
	}
	if err := datafile.Publish(t.path+partialSuffix, t.path); err != nil {
		return datafile.Coded(doing, t.path, false, err)
	}
	t.done = true
	return nil
}

// derive computes what the file has besides the rows: sizes, and the summaries of the log.
func (t *Target) derive(ctx context.Context) error {
	tx, err := t.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // does nothing after the commit
	if err := logread.Summarize(ctx, tx); err != nil {
		return err
	}
	if err := schema.Recount(ctx, tx, 1); err != nil {
		return err
	}
	for _, text := range []string{`DROP TABLE transfer`,
		`DELETE FROM marks WHERE name = 'lost' AND seq <= (SELECT coalesce(max(seq), 0) FROM events)`} {
		if _, err := tx.ExecContext(ctx, text); err != nil {
			return err
		}
	}
	return tx.Commit()
}
