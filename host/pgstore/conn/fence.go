package conn

import (
	"context"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/berth-host/berth/host/spec"
)

// Units is the table of the units and their owners. Only a take changes an epoch, to the one after
// Epoch; it calls LockUnits before.
const Units = `CREATE TABLE units (
		name text COLLATE "C" PRIMARY KEY,
		owner text NOT NULL DEFAULT '',
		epoch bigint NOT NULL
	) WITH (fillfactor = 50);`

// Timeline is the timeline of the server in hex: a standby that is promoted begins another one. It
// is NULL where the server does not say.
const Timeline = `substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)`

// Epoch is the present epoch of a row of units. The epochs of a timeline are above BaseEpoch, and so
// above those of the timelines before: a standby that was promoted may lack takes, and outcomes
// that hosts have in memory. The owners take their units again, and load what is there.
const (
	Epoch     = `greatest(epoch, ` + BaseEpoch + `)`
	BaseEpoch = `coalesce((('x' || ` + Timeline + `)::bit(32)::bigint - 1) << 32, 0)`
)

// Advisory locks guard epochs, and not the rows of units: writes share a lock, which changes
// nothing in the table, and a take that waits for it goes before later writes. Row locks that
// are shared one after the other would let no take through.
const (
	unitKey    = `hashtextextended(current_schema() || '/' || name, 0)`
	shareUnits = `SELECT count(pg_advisory_xact_lock_shared(` + unitKey + `)) FROM unnest($1::text[]) AS name`
	lockUnits  = `SELECT pg_advisory_xact_lock(` + unitKey + `) FROM unnest($1::text[]) AS name`
)

// LockUnits waits for the open transactions under fences of units, which ascend, and lets no other
// begin until this one ends.
func LockUnits(ctx context.Context, tx pgx.Tx, units ...string) error {
	_, err := tx.Exec(ctx, lockUnits, units)
	return err
}

// Stale locks these units for the rest of the transaction, against takes only and ascending by
// name, and returns the fences whose epoch is not the present one. A unit without a row has
// epoch 0.
func Stale(ctx context.Context, tx pgx.Tx, fences []spec.Fence) ([]spec.Fence, error) {
	if len(fences) == 0 {
		return nil, nil
	}
	var b pgx.Batch
	stale := QueueStale(&b, fences)
	if err := tx.SendBatch(ctx, &b).Close(); err != nil {
		return nil, err
	}
	return stale(), nil
}

// QueueStale adds the statements of Stale to a batch. stale returns the fences after the batch
// was closed.
func QueueStale(b *pgx.Batch, fences []spec.Fence) (stale func() []spec.Fence) {
	if len(fences) == 0 {
		return func() []spec.Fence { return nil }
	}
	names := make([]string, len(fences))
	for i, f := range fences {
		names[i] = f.Unit
	}
	slices.Sort(names)
	names = slices.Compact(names)
	present := make(map[string]uint64, len(fences))
	b.Queue(shareUnits, names)
	// A statement after the one that locks sees what the last take has committed.
	b.Queue(`SELECT name, `+Epoch+` FROM units WHERE name = ANY ($1)`, names).Query(func(rows pgx.Rows) error {
		var name string
		var epoch int64
		_, err := pgx.ForEachRow(rows, []any{&name, &epoch}, func() error {
			present[name] = uint64(epoch)
			return nil
		})
		return err
	})
	return func() []spec.Fence { return spec.Stale(fences, func(unit string) uint64 { return present[unit] }) }
}

// checkFence refuses a transaction whose context has a fence of another epoch.
func (d *DB) checkFence(ctx context.Context, tx pgx.Tx) error {
	f, fenced := spec.FenceOf(ctx)
	if !fenced {
		return nil
	}
	stale, err := Stale(ctx, tx, []spec.Fence{f})
	if err == nil && len(stale) > 0 {
		return d.Refuse(f)
	}
	return err
}
