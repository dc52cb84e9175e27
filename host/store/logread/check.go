package logread

import (
	"context"
	"database/sql"
	"errors"
	"os"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/store/datafile"
	"github.com/berth-host/berth/host/store/outcomes"
	"github.com/berth-host/berth/host/store/schema"
)

// Damage is the result of Check.
type Damage struct {
	Pages  []string            // SQLite's findings about its pages and indexes, the first 20
	Events []*event.Unreadable // ranges that cannot be read and were not skipped, the first 20

	Outcomes []*outcomes.Unreadable // blocks of outcomes that cannot be read, the first 20
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
		return found, err // Pages has the damage; an older file is upgraded first
	}
	if version >= schema.Blocks {
		if found.Outcomes, err = outcomes.Check(ctx, db, maxDamage); err != nil {
			return found, err
		}
	}
	r, err := New(ctx, Config{DB: db, Earlier: version < schema.Attempts, Last: func() uint64 { return at.Seq },
		Coded: func(doing string, err error) error { return datafile.Coded(doing, path, false, err) }})
	if err != nil {
		return found, err
	}
	for from := uint64(1); len(found.Events) < maxDamage; {
		bad, err := r.Unreadable(ctx, from)
		if err != nil || bad == nil {
			return found, err
		}
		found.Events, from = append(found.Events, bad), bad.To+1
	}
	return found, nil
}

// CheckPages is the part of Check about pages and indexes.
func CheckPages(ctx context.Context, path string) (problems []string, err error) {
	db, err := datafile.OpenReadOnly(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return checkPages(ctx, db, path)
}

func checkPages(ctx context.Context, db *sql.DB, path string) (problems []string, err error) {
	check := "PRAGMA quick_check(20)"
	if info, err := os.Stat(path); err == nil && info.Size() <= fullCheckUpTo {
		check = "PRAGMA integrity_check(20)"
	}
	rows, err := db.QueryContext(ctx, check)
	var text string
	err = datafile.Each(rows, err, func() {
		if text != "ok" {
			problems = append(problems, text)
		}
	}, &text)
	if datafile.Damaged(err) {
		return append(problems, err.Error()), nil
	}
	return problems, err
}
