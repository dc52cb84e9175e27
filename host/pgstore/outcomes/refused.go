package outcomes

import (
	"context"
	"errors"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Try runs fn so that the transaction remains of use when the database refuses what fn stores
// for its content, which is refused.
func Try(ctx context.Context, tx pgx.Tx, fn func(ctx context.Context, tx pgx.Tx) error) (refused, err error) {
	inner, err := tx.Begin(ctx)
	if err != nil {
		return nil, err
	}
	if err = fn(ctx, inner); err == nil {
		return nil, inner.Commit(ctx)
	}
	if !Refused(err) {
		return nil, err
	}
	return err, inner.Rollback(ctx)
}

// Refused reports whether an error says that the database refuses a value: it would do so
// again, so that a retry does not help. These are the classes data exception, integrity
// constraint and program limit.
func Refused(err error) bool {
	var e *pgconn.PgError
	if !errors.As(err, &e) || len(e.Code) < 2 {
		return false
	}
	return slices.Contains([]string{"22", "23", "54"}, e.Code[:2])
}
