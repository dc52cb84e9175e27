package conn

import (
	"context"

	"github.com/jackc/pgx/v5/pgxpool"
)

// Apart returns a DB of the same database with connections of its own, at most so many: its
// calls do not wait for those that use the others. Its Close closes these only; it comes before
// that of d.
func (d *DB) Apart(conns int) (*DB, error) {
	settings := d.pool.Config()
	settings.MaxConns, settings.MinConns, settings.MinIdleConns = int32(conns), 0, 0
	pool, err := pgxpool.NewWithConfig(context.Background(), settings)
	if err != nil {
		return nil, Coded("open more connections to the PostgreSQL database", err)
	}
	return &DB{pool: pool, schema: d.schema, log: d.log, notify: d.notify, part: true, cutoff: newCutoff()}, nil
}
