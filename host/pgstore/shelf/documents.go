package shelf

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/pgstore/conn"
)

// Shelf has the documents and modules. It is safe for concurrent use.
type Shelf struct{ db *conn.DB }

// New returns the Shelf in a database.
func New(db *conn.DB) *Shelf { return &Shelf{db} }

// PutDocuments stores documents; see bus.State.
func (s *Shelf) PutDocuments(ctx context.Context, list []event.Document) error {
	const doing = "store documents"
	for _, d := range list {
		if err := event.CheckDocument(d); err != nil {
			return fmt.Errorf("%s: %w", doing, err)
		}
	}
	return s.db.Write(ctx, doing, func(ctx context.Context, tx pgx.Tx) error {
		var batch pgx.Batch
		for _, d := range list {
			if d.Body == "" {
				batch.Queue(`DELETE FROM documents WHERE kind = $1 AND id = $2`, d.Kind, d.ID)
			} else {
				batch.Queue(`INSERT INTO documents (kind, id, body) VALUES ($1, $2, $3)
					ON CONFLICT (kind, id) DO UPDATE SET body = excluded.body`, d.Kind, d.ID, []byte(d.Body))
			}
		}
		if batch.Len() == 0 {
			return nil
		}
		return tx.SendBatch(ctx, &batch).Close()
	})
}

// Documents returns the documents of a kind, ascending by id.
func (s *Shelf) Documents(ctx context.Context, kind string) ([]event.Document, error) {
	var list []event.Document
	err := s.db.Query(ctx, "read documents", `SELECT id, body FROM documents WHERE kind = $1 ORDER BY id`, []any{kind},
		func(rows pgx.Rows) error {
			list = nil
			d := event.Document{Kind: kind}
			var body []byte
			_, err := pgx.ForEachRow(rows, []any{&d.ID, &body}, func() error {
				d.Body = string(body)
				list = append(list, d)
				return nil
			})
			return err
		})
	if err != nil {
		return nil, err
	}
	return list, nil
}
