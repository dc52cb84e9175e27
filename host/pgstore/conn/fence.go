package conn

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/berth-host/berth/host/spec"
)

// Units is the table of the units and their owners. Only a take changes an epoch.
const Units = `CREATE TABLE units (
		name text COLLATE "C" PRIMARY KEY,
		owner text NOT NULL DEFAULT '',
		epoch bigint NOT NULL
	) WITH (fillfactor = 50);`

// Stale locks the rows of these units for the rest of the transaction, against takes only and
// ascending by name, and returns the fences whose epoch is not the present one. A unit
// without a row has epoch 0.
func Stale(ctx context.Context, tx pgx.Tx, fences []spec.Fence) ([]spec.Fence, error) {
	if len(fences) == 0 {
		return nil, nil
	}
	names := make([]string, len(fences))
	for i, f := range fences {
		names[i] = f.Unit
	}
	rows, err := tx.Query(ctx, `SELECT name, epoch FROM units WHERE name = ANY ($1) ORDER BY name FOR SHARE`, names)
	if err != nil {
		return nil, err
	}
	present := make(map[string]uint64, len(fences))
	var name string
	var epoch int64
	if _, err := pgx.ForEachRow(rows, []any{&name, &epoch}, func() error {
		present[name] = uint64(epoch)
		return nil
	}); err != nil {
		return nil, err
	}
	return spec.Stale(fences, func(unit string) uint64 { return present[unit] }), nil
}

// checkFence refuses a transaction whose context has a fence of another epoch.
func checkFence(ctx context.Context, tx pgx.Tx) error {
	f, fenced := spec.FenceOf(ctx)
	if !fenced {
		return nil
	}
	stale, err := Stale(ctx, tx, []spec.Fence{f})
	if err == nil && len(stale) > 0 {
		return fmt.Errorf("unit %s, epoch %d: %w", f.Unit, f.Epoch, spec.ErrFenced)
	}
	return err
}
