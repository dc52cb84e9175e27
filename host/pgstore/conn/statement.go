package conn

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// Pipeline runs the statements that fill queues in one transaction and one round trip; each sees
// what was committed when it began. It does not look at the fence of ctx. After a lost
// connection it runs once more: the statements must be harmless twice, and fill and its
// callbacks must set everything anew. Errors are as of Read.
func (d *DB) Pipeline(ctx context.Context, doing string, fill func(b *pgx.Batch)) error {
	if err := d.usable(ctx); err != nil {
		return Coded(doing, err)
	}
	limited, cancel := d.bounded(ctx)
	defer cancel()
	for again := true; ; again = false {
		err := d.pipeline(limited, fill)
		if err == nil || !again || !lost(err) || limited.Err() != nil {
			return d.failed(doing, endedBy(ctx, err))
		}
		d.pool.Reset() // all connections of a server that was restarted are lost
	}
}

func (d *DB) pipeline(ctx context.Context, fill func(b *pgx.Batch)) error {
	c, err := d.acquire(ctx)
	if err != nil {
		return err
	}
	defer c.Release()
	defer d.counts.observe(&d.counts.queries, time.Now())
	b := new(pgx.Batch)
	fill(b)
	return c.SendBatch(ctx, b).Close()
}

// Query is a Pipeline of one statement. row is called for its results.
func (d *DB) Query(ctx context.Context, doing, sql string, args []any, row func(rows pgx.Rows) error) error {
	return d.Pipeline(ctx, doing, func(b *pgx.Batch) { b.Queue(sql, args...).Query(row) })
}
