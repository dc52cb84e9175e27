package store

import (
	"context"
	"database/sql"
	"errors"
	"os"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/store/datafile"
	"github.com/berth-host/berth/host/store/schema"
)

// Damage is what Check has found.
type Damage struct {
	Pages  []string            // what SQLite says of its pages and indexes, the first 20
	Events []*event.Unreadable // what cannot be read and was not skipped, the first 20 places
}

const (
	maxDamage     = 20
	fullCheckUpTo = 256 << 20 // bytes; in larger files indexes are not compared with their tables
)

// Check reads all of a data file and changes nothing; a host may be using it.
// It takes seconds for each GiB: ctx bounds it.
func Check(ctx context.Context, path string) (found Damage, err error) {
	db, err := datafile.OpenReadOnly(path)
	if err != nil {
		return found, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if found.Pages, err = checkPages(ctx, db, path); err != nil {
		return found, err
	}
	version, at, err := datafile.Examine(ctx, path)
	if err != nil || version < schema.Skipped {
		return found, err // what cannot be read is among the pages; an older file is upgraded first
	}
	s := &Store{path: path, reader: db, closing: make(chan struct{}), last: func() uint64 { return at.Seq }}
	if err := s.read.prepare(ctx, db); err != nil {
		return found, err
	}
	for from := uint64(1); len(found.Events) < maxDamage; {
		bad, err := s.Unreadable(ctx, from)
		if err != nil || bad == nil {
			return found, err
		}
		found.Events, from = append(found.Events, bad), bad.To+1
	}
	return found, nil
}

func checkPages(ctx context.Context, db *sql.DB, path string) (problems []string, err error) {
	check := "PRAGMA quick_check(20)"
	if info, err := os.Stat(path); err == nil && info.Size() <= fullCheckUpTo {
		check = "PRAGMA integrity_check(20)"
	}
	rows, err := db.QueryContext(ctx, check)
	if datafile.Damaged(err) {
		return []string{err.Error()}, nil
	}
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			return problems, err
		}
		if text != "ok" {
			problems = append(problems, text)
		}
	}
	if err := rows.Err(); datafile.Damaged(err) {
		return append(problems, err.Error()), nil
	} else if err != nil {
		return problems, err
	}
	return problems, nil
}
