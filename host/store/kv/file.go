package kv

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"strings"

	"github.com/berth-host/berth/host/store/datafile"
)

// setSizes are how many values the statements write: the largest that is full is used.
var setSizes = [...]int{16, 4, 1}

// Statements read and write the state in the data file, on the writer's connection.
type Statements struct {
	get, usage, remove, clear *sql.Stmt
	setLimited, expired       *sql.Stmt
	set                       [len(setSizes)]*sql.Stmt // of entries that have no time limit, and had none
}

const (
	get   = `SELECT value, coalesce(until, 0) FROM kv WHERE plugin = ? AND key = ?`
	usage = `SELECT bytes FROM kv_usage WHERE plugin = ?`
)

// Prepare prepares the statements.
func (w *Statements) Prepare(ctx context.Context, db *sql.DB) error {
	statements := datafile.Statements{
		&w.get:    get,
		&w.usage:  usage,
		&w.remove: `DELETE FROM kv WHERE plugin = ? AND key = ?`,
		&w.clear:  `DELETE FROM kv WHERE plugin = ?`,
		&w.setLimited: `INSERT INTO kv (plugin, key, value, until) VALUES (?, ?, ?, nullif(?, 0))
			ON CONFLICT DO UPDATE SET value = excluded.value, until = excluded.until`,
		&w.expired: `SELECT until, plugin, key, octet_length(value) FROM kv WHERE until <= ?1 AND (until, plugin, key) > (?2, ?3, ?4)
			AND ?5 IN ('', plugin) ORDER BY until, plugin, key LIMIT ?6`,
	}
	for i, n := range setSizes {
		statements[&w.set[i]] = `INSERT INTO kv (plugin, key, value) VALUES ` + strings.Repeat(`(?, ?, ?), `, n-1) +
			`(?, ?, ?) ON CONFLICT DO UPDATE SET value = excluded.value`
	}
	return datafile.Prepare(ctx, db, statements)
}

// Conn runs prepared statements in the transaction of the store's writer.
type Conn interface {
	Exec(stmt *sql.Stmt, args ...any) (changed int64, err error)
	Query(stmt *sql.Stmt, args ...any) (*sql.Rows, error)
	Scan(stmt *sql.Stmt, dest []any, args ...any) error // the only result of a query
}

// In returns the state in a transaction.
func (w *Statements) In(c Conn) Tx { return Tx{w, c} }

// Tx is the state in a transaction: a Reader and a File.
type Tx struct {
	statements *Statements
	conn       Conn
}

// Value implements Reader.
func (t Tx) Value(key Key) (v Stored, err error) {
	err = t.conn.Scan(t.statements.get, []any{&v.Value, &v.Until}, key.Plugin, key.Name)
	if errors.Is(err, sql.ErrNoRows) {
		return Stored{}, nil
	}
	v.Found = err == nil
	return v, err
}

// Expired implements Reader.
func (t Tx) Expired(plugin string, now int64, after Expired, limit int) (list []Expired, err error) {
	var e Expired
	found, err := t.conn.Query(t.statements.expired, now, after.Until, after.Key.Plugin, after.Key.Name, plugin, limit)
	err = datafile.Each(found, err, func() { list = append(list, e) }, &e.Until, &e.Key.Plugin, &e.Key.Name, &e.Size)
	return list, err
}

// Usage implements Reader.
func (t Tx) Usage(plugin string) (bytes int64, err error) {
	err = t.conn.Scan(t.statements.usage, []any{&bytes}, plugin)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	return bytes, err
}

// Clear implements File.
func (t Tx) Clear(plugin string) error {
	_, err := t.conn.Exec(t.statements.clear, plugin)
	return err
}

// Delete implements File.
func (t Tx) Delete(key Key) error {
	_, err := t.conn.Exec(t.statements.remove, key.Plugin, key.Name)
	return err
}

// Set implements File.
func (t Tx) Set(list []Entry) error {
	args := make([]any, 0, 3*setSizes[0])
	for _, e := range list {
		if !e.Limited {
			continue
		}
		if _, err := t.conn.Exec(t.statements.setLimited, e.Key.Plugin, e.Key.Name, e.Value, e.Until); err != nil {
			return err
		}
	}
	list = slices.DeleteFunc(list, func(e Entry) bool { return e.Limited })
	for len(list) > 0 {
		size := 0
		for setSizes[size] > len(list) {
			size++
		}
		args = args[:0]
		for _, e := range list[:setSizes[size]] {
			args = append(args, e.Key.Plugin, e.Key.Name, e.Value)
		}
		if _, err := t.conn.Exec(t.statements.set[size], args...); err != nil {
			return err
		}
		list = list[setSizes[size]:]
	}
	return nil
}
