package conn

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// Statement runs one statement in a transaction of its own, with one round trip, and calls row
// for its results. It does not look at the fence of ctx. After a lost connection the statement
// runs once more: it must be harmless twice, and row must set everything anew. Errors are as of
// Read.
func (d *DB) Statement(ctx context.Context, doing, sql string, args []any, row func(rows pgx.Rows) error) error {
	if err := d.usable(ctx); err != nil {
		return coded(doing, err)
	}
	limited, cancel := context.WithTimeout(ctx, transactionLimit)
	defer cancel()
	for again := true; ; again = false {
		err := d.statement(limited, sql, args, row)
		if err == nil || !again || !lost(err) || limited.Err() != nil {
			return d.failed(doing, endedBy(ctx, err))
		}
		d.pool.Reset() // all connections of a server that was restarted are lost
	}
}

func (d *DB) statement(ctx context.Context, sql string, args []any, row func(rows pgx.Rows) error) error {
	c, err := d.acquire(ctx)
	if err != nil {
		return err
	}
	defer c.Release()
	rows, err := c.Query(ctx, sql, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	if err := row(rows); err != nil {
		return err
	}
	rows.Close()
	return rows.Err()
}
