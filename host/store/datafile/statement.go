package datafile

import (
	"context"
	"database/sql"
	"iter"
	"math"
	"strconv"
)

// Statements are the texts of statements, by where they are prepared.
type Statements map[**sql.Stmt]string

// Prepare prepares statements.
func Prepare(ctx context.Context, db *sql.DB, list Statements) (err error) {
	for to, text := range list {
		if *to, err = db.PrepareContext(ctx, text); err != nil {
			return err
		}
	}
	return nil
}

// Seq is a Seq as SQLite stores it. No Seq of a log is above the maximum.
func Seq(seq uint64) int64 { return int64(min(seq, math.MaxInt64)) }

// Each scans each row of a query into dest and calls visit. rows and err are the
// results of the query.
func Each(rows *sql.Rows, err error, visit func(), dest ...any) error {
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := rows.Scan(dest...); err != nil {
			return err
		}
		visit()
	}
	return rows.Err()
}

// List returns numbers as a JSON list, for json_each.
func List(numbers iter.Seq[int64]) string {
	text := []byte{'['}
	for n := range numbers {
		if len(text) > 1 {
			text = append(text, ',')
		}
		text = strconv.AppendInt(text, n, 10)
	}
	return string(append(text, ']'))
}
