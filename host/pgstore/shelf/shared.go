package shelf

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/pgstore/conn"
	"github.com/berth-host/berth/host/spec"
)

// Shared returns the shared documents of a kind, ascending by id.
func (s *Shelf) Shared(ctx context.Context, kind string) ([]spec.SharedDocument, error) {
	var list []spec.SharedDocument
	err := s.db.Query(ctx, "read shared documents",
		`SELECT id, body, revision FROM shared WHERE kind = $1 AND body IS NOT NULL ORDER BY id`, []any{kind},
		func(rows pgx.Rows) error {
			list = nil
			d := spec.SharedDocument{Kind: kind}
			_, err := pgx.ForEachRow(rows, []any{&d.ID, &d.Body, &d.Revision}, func() error {
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

// Share stores a shared document, in place of the one with its kind and id, and returns its new
// revision. The present one must have the revision d.Revision; 0 means that there is none.
// Otherwise fault.Conflict. A nil Body removes it; then the revision is 0. The revision of the
// kind grows in the same transaction. After an error of unknown result a caller reads the document
// before it repeats the call, which can conflict with its own.
func (s *Shelf) Share(ctx context.Context, d spec.SharedDocument) (revision uint64, err error) {
	const doing = "store a shared document"
	if d.Kind == "" || d.ID == "" {
		return 0, fault.New(fault.Invalid, "%s: it needs a kind and an id", doing)
	}
	err = s.db.Write(ctx, doing, func(ctx context.Context, tx pgx.Tx) error {
		revision, err = Put(ctx, tx, d)
		return err
	})
	if err != nil {
		return 0, err
	}
	s.db.Notify(conn.Cluster)
	if d.Body == nil {
		return 0, nil
	}
	return revision, nil
}

// Put is Share in a transaction of the caller, who notifies the cluster after the commit. It returns
// the revision of the row, also of a removed document.
func Put(ctx context.Context, tx pgx.Tx, d spec.SharedDocument) (revision uint64, err error) {
	// The row of the kind is locked by its change; what follows sees all changes before.
	if _, err := tx.Exec(ctx, `INSERT INTO revisions (kind, revision) VALUES ($1, 1)
		ON CONFLICT (kind) DO UPDATE SET revision = revisions.revision + 1`, d.Kind); err != nil {
		return 0, err
	}
	var last uint64 // of the row, also of a removed document
	var there bool
	err = tx.QueryRow(ctx, `SELECT revision, body IS NOT NULL FROM shared WHERE kind = $1 AND id = $2`, d.Kind, d.ID).Scan(&last, &there)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return 0, err
	}
	present := last
	if !there {
		present = 0
	}
	if present != d.Revision {
		return 0, fault.New(fault.Conflict, "%s %s has revision %d, not %d: another host has changed it; read it again", d.Kind,
			fault.Quote(d.ID), present, d.Revision)
	}
	if revision = last + 1; d.Body == nil && !there {
		return revision, nil
	}
	_, err = tx.Exec(ctx, `INSERT INTO shared (kind, id, body, revision) VALUES ($1, $2, $3, $4)
		ON CONFLICT (kind, id) DO UPDATE SET body = excluded.body, revision = excluded.revision`, d.Kind, d.ID, d.Body, revision)
	return revision, err
}
