package conn

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// WriteOne runs a statement that writes and returns one row, which it scans into dest, as a
// transaction of its own in one round trip. It does not look at the fence of ctx. Its errors
// are those of Write; pgx.ErrNoRows is in the chain when there is no row, and then what the
// statement did is committed. It runs once.
func (d *DB) WriteOne(ctx context.Context, doing, sql string, args, dest []any) error {
	if err := d.usable(ctx); err != nil {
		return Coded(doing, err)
	}
	c, err := d.acquire(ctx)
	if err != nil {
		return d.failed(doing, endedBy(ctx, err))
	}
	defer c.Release()
	defer d.counts.observe(&d.counts.commits, time.Now())
	return d.failed(doing, unanswered(ctx, d.writeOne(ctx, c, sql, args, dest)))
}

func (d *DB) writeOne(ctx context.Context, c *pgxpool.Conn, sql string, args, dest []any) error {
	whole, cancel := d.bounded(context.WithoutCancel(ctx))
	defer cancel()
	notes := c.Conn().PgConn().CustomData()
	delete(notes, warned)
	err := c.QueryRow(whole, sql, args...).Scan(dest...)
	if warning, cancelled := notes[warned]; cancelled && err == nil {
		return unavailable("the commit is not confirmed by the synchronous standby: %v", warning)
	}
	if err != nil && state(err) == "" && lost(err) {
		return unavailable("the result of the write is not known: %w", err)
	}
	return err
}

// State returns the SQLSTATE in the chain of an error, or "".
func State(err error) string { return state(err) }
