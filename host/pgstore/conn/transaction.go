package conn

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/berth-host/berth/host/fault"
)

const (
	// transactionLimit bounds a transaction from its begin to its result, also when the
	// network swallows everything.
	transactionLimit = 10 * time.Second
	// maxRuns is how often a transaction is run that others made fail.
	maxRuns = 8
)

// Read runs fn in a transaction that only reads, and sees the database as of one moment. fn
// may run more than once. The error is wrapped with doing and has a code: see Write. One that
// the end of ctx caused wraps the context's.
func (d *DB) Read(ctx context.Context, doing string, fn func(ctx context.Context, tx pgx.Tx) error) error {
	if err := d.usable(ctx); err != nil {
		return Coded(doing, err)
	}
	limited, cancel := d.bounded(ctx)
	defer cancel()
	c, tx, err := d.begin(limited, limited, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return d.failed(doing, endedBy(ctx, err))
	}
	defer release(limited, c, tx)
	return d.failed(doing, endedBy(ctx, fn(limited, tx)))
}

// Write runs fn in a transaction, which is READ COMMITTED, after it has locked and compared
// the fence of ctx, if there is one. It runs fn again, in a new transaction, after a deadlock
// or a serialization failure: fn must set everything it returns anew. When it returns nil, the
// write is committed.
//
// The end of ctx withdraws a write that has not begun; a later one gets its result. fn uses
// the context that it is called with. Errors are wrapped with doing: an error of fn that has a
// code keeps it; fault.Exhausted is a full disk; fault.Unavailable a server that is not there
// or does not take the write now, and a COMMIT whose result is not known, after which the
// caller repeats with the same keys. Another epoch than the fence's is spec.ErrFenced.
func (d *DB) Write(ctx context.Context, doing string, fn func(ctx context.Context, tx pgx.Tx) error) error {
	if err := d.usable(ctx); err != nil {
		return Coded(doing, err)
	}
	var err error
	for range maxRuns {
		if err = d.write(ctx, fn); err == nil || !repeatable(err) {
			break
		}
	}
	return d.failed(doing, unanswered(ctx, err))
}

func (d *DB) write(ctx context.Context, fn func(ctx context.Context, tx pgx.Tx) error) error {
	whole, cancel := d.bounded(context.WithoutCancel(ctx))
	defer cancel()
	c, tx, err := d.begin(ctx, whole, pgx.TxOptions{IsoLevel: pgx.ReadCommitted, AccessMode: pgx.ReadWrite})
	if err != nil {
		return endedBy(ctx, err)
	}
	defer release(whole, c, tx)
	if err := d.checkFence(whole, tx); err != nil {
		return err
	}
	if err := fn(whole, tx); err != nil {
		return err
	}
	defer d.counts.observe(&d.counts.commits, time.Now())
	return commit(whole, tx)
}

// commit commits a transaction. Its result is not known after an error that is not the
// server's, nor after a warning: when somebody cancels the wait for the synchronous standby,
// the server commits, warns, and reports a success.
func commit(ctx context.Context, tx pgx.Tx) error {
	notes := tx.Conn().PgConn().CustomData()
	delete(notes, warned)
	err := tx.Commit(ctx)
	warning, cancelled := notes[warned]
	switch {
	case err == nil && cancelled:
		return unavailable("the commit is not confirmed by the synchronous standby: %v", warning)
	case err == nil || state(err) != "" || errors.Is(err, pgx.ErrTxCommitRollback):
		return err
	}
	return unavailable("the result of the commit is not known: %w", err)
}

// warned is the key of a connection's last warning without a code of its own.
const warned = "warned"

func noteWarning(c *pgconn.PgConn, n *pgconn.Notice) {
	if n.Code == "01000" {
		c.CustomData()[warned] = n.Message
	}
}

// begin begins a transaction. wait bounds the wait for a connection. When that was lost
// meanwhile, as all of a server that was restarted, it takes a new one.
func (d *DB) begin(wait, ctx context.Context, options pgx.TxOptions) (*pgxpool.Conn, pgx.Tx, error) {
	for again := true; ; again = false {
		c, err := d.acquire(wait)
		if err != nil {
			return nil, nil, err
		}
		tx, err := c.BeginTx(ctx, options)
		if err == nil {
			return c, tx, nil
		}
		c.Release()
		if !again || !lost(err) || wait.Err() != nil {
			return nil, nil, err
		}
		d.pool.Reset()
	}
}

// acquire returns a connection of the pool. ctx bounds the wait for it.
func (d *DB) acquire(ctx context.Context) (*pgxpool.Conn, error) {
	limited, cancel := d.bounded(ctx)
	defer cancel()
	d.counts.waiting.Add(1)
	c, err := d.pool.Acquire(limited)
	d.counts.waiting.Add(-1)
	if err != nil && d.closed.Load() {
		return nil, errClosed()
	}
	if err != nil && ctx.Err() == nil && errors.Is(limited.Err(), context.DeadlineExceeded) {
		return nil, unavailable("no connection to the PostgreSQL server was free for %v: %w", transactionLimit, err)
	}
	return c, err
}

// release ends a transaction, if it has not ended, and gives its connection back. One whose
// rollback fails is closed by that.
func release(ctx context.Context, c *pgxpool.Conn, tx pgx.Tx) {
	if ctx.Err() != nil { // a rollback needs a moment of its own
		late, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		ctx = late
	}
	tx.Rollback(ctx) //nolint:errcheck // does nothing after the commit
	c.Release()
}

// usable returns the error of a call that must not begin.
func (d *DB) usable(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := d.Closed(); err != nil {
		return err
	}
	return d.whileCutOff(d.cutoff.context().Err())
}

// failed gives the error of a transaction its code. After an error of the server that
// concerns all connections, it has the pool make new ones.
func (d *DB) failed(doing string, err error) error {
	if err == nil {
		return nil
	}
	var known *fault.Error
	switch {
	case errors.As(err, &known):
	case d.closed.Load():
		return fmt.Errorf("%s: %w", doing, errClosed())
	default:
		err = d.whileCutOff(err)
	}
	if lost(err) || state(err) == "25006" {
		d.pool.Reset() // the others are of the server before its restart, or before a failover
	}
	return Coded(doing, err)
}
