// Package documents keeps small values of parts of the host in the table documents of a
// store. Read it after package store.
package documents

import (
	"context"
	"database/sql"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/store/datafile"
)

// Conn runs prepared statements in the transaction of the store's writer.
type Conn interface {
	Exec(stmt *sql.Stmt, args ...any) (changed int64, err error)
}

// Writer writes documents. It is not safe for concurrent use.
type Writer struct{ set, remove *sql.Stmt }

// Prepare prepares the statements on the writer's connection.
func (w *Writer) Prepare(ctx context.Context, db *sql.DB) error {
	return datafile.Prepare(ctx, db, datafile.Statements{
		&w.set:    `INSERT INTO documents (kind, id, body) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET body = excluded.body`,
		&w.remove: `DELETE FROM documents WHERE kind = ? AND id = ?`,
	})
}

// Put stores documents, each in place of the one with its kind and id, in their order; one
// without a body removes it.
func (w *Writer) Put(c Conn, list []event.Document) (err error) {
	for i := 0; i < len(list) && err == nil; i++ {
		if d := &list[i]; d.Body == "" {
			_, err = c.Exec(w.remove, d.Kind, d.ID)
		} else {
			_, err = c.Exec(w.set, d.Kind, d.ID, d.Body)
		}
	}
	return err
}

// List returns the documents of a kind, ascending by id.
func List(ctx context.Context, db *sql.DB, kind string) ([]event.Document, error) {
	var list []event.Document
	d := event.Document{Kind: kind}
	found, err := db.QueryContext(ctx, `SELECT id, body FROM documents WHERE kind = ? ORDER BY id`, kind)
	err = datafile.Each(found, err, func() { list = append(list, d) }, &d.ID, &d.Body)
	return list, err
}
