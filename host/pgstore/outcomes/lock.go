package outcomes

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// The keys of the advisory locks are hashes with a seed of this package, so that they are
// others than those of other programs in the same database. Handlers whose hashes are equal
// wait for each other. The keys are locked in ascending order.
const (
	lockHandlers = `SELECT pg_advisory_xact_lock(key) FROM (SELECT DISTINCT hashtextextended(current_schema() || '/' || name, 4163) AS key
		FROM unnest($1::text[]) AS name ORDER BY key) AS keys`
	trimKey  = `hashtextextended(current_schema()::text, 4163)`
	lockTrim = `SELECT pg_advisory_xact_lock(` + trimKey + `)`
	keepTrim = `SELECT pg_advisory_xact_lock_shared(` + trimKey + `)`
)

// LockTrim waits for the writes of outcomes that are under way and keeps others waiting until
// the transaction ends. A transaction that removes events calls it after it has locked units
// and before anything else, such as the row of head.
func LockTrim(ctx context.Context, tx pgx.Tx) error {
	_, err := tx.Exec(ctx, lockTrim)
	return err
}

// Lock waits for the other writes of these handlers, keeps later ones waiting until the
// transaction ends, and returns the mark "trimmed", which does not change until then. A
// transaction calls it at most once, after it has locked units.
func Lock(ctx context.Context, tx pgx.Tx, handlers ...string) (trimmed uint64, err error) {
	var b pgx.Batch
	queueLock(&b, handlers, &trimmed)
	return trimmed, tx.SendBatch(ctx, &b).Close()
}

// queueLock adds the statements of Lock to a batch.
func queueLock(b *pgx.Batch, handlers []string, trimmed *uint64) {
	b.Queue(keepTrim)
	b.Queue(lockHandlers, handlers)
	b.Queue(`SELECT trimmed FROM head`).QueryRow(func(row pgx.Row) error {
		var mark int64
		err := row.Scan(&mark)
		*trimmed = uint64(mark)
		return err
	})
}

// existing returns those of the Seqs that have an event.
func existing(ctx context.Context, tx pgx.Tx, seqs []int64) (map[uint64]bool, error) {
	there := make(map[uint64]bool)
	if len(seqs) == 0 {
		return there, nil
	}
	rows, err := tx.Query(ctx, `SELECT seq FROM events WHERE seq = ANY ($1::bigint[])`, seqs)
	var seq int64
	err = each(rows, err, func() { there[uint64(seq)] = true }, &seq)
	return there, err
}

// each scans each row of a query into dest and calls visit. rows and err are the results of
// the query.
func each(rows pgx.Rows, err error, visit func(), dest ...any) error {
	if err != nil {
		return err
	}
	_, err = pgx.ForEachRow(rows, dest, func() error {
		visit()
		return nil
	})
	return err
}
