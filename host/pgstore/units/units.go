package units

import (
	"context"
	"errors"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/pgstore/conn"
	"github.com/berth-host/berth/host/pgstore/outcomes"
	"github.com/berth-host/berth/host/pgstore/shelf"
	"github.com/berth-host/berth/host/spec"
)

// Units are the units of handlers in a database.
type Units struct{ db *conn.DB }

// New returns the units in a database. They have nothing to be closed.
func New(db *conn.DB) *Units { return &Units{db} }

const (
	freeUnits = `SELECT name FROM units WHERE name = ANY ($1::text[]) AND owner <> '' ORDER BY name`
	lockRows  = `SELECT FROM units WHERE name = ANY ($1::text[]) ORDER BY name FOR UPDATE`
	endEpochs = `INSERT INTO units (name, epoch) SELECT name, ` + conn.BaseEpoch + ` + 1 FROM unnest($1::text[]) AS name
		ON CONFLICT (name) DO UPDATE SET epoch = greatest(units.epoch, ` + conn.BaseEpoch + `) + 1`
	// A replay needs no look: it has set the cursor back, and ends at the cut.
	readStates = `SELECT n.unit, coalesce(u.owner, ''), coalesce(c.seq, 0), c.seq IS NOT NULL,
			EXISTS (SELECT FROM deliveries AS d WHERE d.handler = n.unit AND d.status NOT IN ('ok', 'dead'))
		FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS n (unit, position, i)
		LEFT JOIN units AS u ON u.name = n.unit LEFT JOIN cursors AS c ON c.name = n.position ORDER BY n.i`
	// The highest Seq that a unit has read or has an outcome of, or had read before its replay.
	readCut = `SELECT max(greatest(c.seq,
			(SELECT d.seq FROM deliveries AS d WHERE d.handler = n.unit ORDER BY d.seq DESC LIMIT 1),
			(SELECT b.last_seq FROM outcome_blocks AS b WHERE b.handler = n.unit ORDER BY b.first_seq DESC LIMIT 1),
			(SELECT r.resume FROM replays AS r WHERE r.handler = n.unit AND r.to_seq > c.seq)))
		FROM unnest($1::text[], $2::text[]) AS n (unit, position) JOIN cursors AS c ON c.name = n.position`
)

// UnitStates implements shards.Store.
func (u *Units) UnitStates(ctx context.Context, units []string) (list []spec.UnitState, err error) {
	err = u.db.Query(ctx, "read the progress of units", readStates, []any{units, positions(units)}, func(rows pgx.Rows) error {
		list, err = scan(rows)
		return err
	})
	if err != nil {
		return nil, err
	}
	return list, nil
}

func scan(rows pgx.Rows) (list []spec.UnitState, err error) {
	var s spec.UnitState
	var cursor int64
	_, err = pgx.ForEachRow(rows, []any{&s.Name, &s.Owner, &cursor, &s.Found, &s.Open}, func() error {
		s.Cursor = uint64(cursor)
		list = append(list, s)
		return nil
	})
	return list, err
}

// positions returns the names of the cursors of units.
func positions(units []string) []string {
	names := make([]string, len(units))
	for i, unit := range units {
		names[i] = event.HandlerCursors(unit).Position
	}
	return names
}

// CutUnits implements shards.Store.
func (u *Units) CutUnits(ctx context.Context, units []string, document func(cut uint64) spec.SharedDocument) error {
	return u.change(ctx, "decide where the shards of a handler change", units, nil, func(ctx context.Context, tx pgx.Tx, states []spec.UnitState) error {
		for _, s := range states {
			if !s.Found {
				return fault.New(fault.Conflict, "unit %s has no position in the log yet", s.Name)
			}
		}
		var cut int64
		if err := tx.QueryRow(ctx, readCut, units, positions(units)).Scan(&cut); err != nil {
			return err
		}
		_, err := shelf.Put(ctx, tx, document(uint64(cut)))
		return err
	})
}

// BeginUnits implements shards.Store.
func (u *Units) BeginUnits(ctx context.Context, former, next []string, cut uint64, d spec.SharedDocument) error {
	return u.change(ctx, "change the shards of a handler", former, next, func(ctx context.Context, tx pgx.Tx, states []spec.UnitState) error {
		lowest := states[0].Cursor
		for _, s := range states {
			lowest = min(lowest, s.Cursor)
			if !s.Found || s.Cursor < cut || s.Open {
				return fault.New(fault.Conflict, "unit %s has not ended: it is at %d of %d, and has open deliveries: %t", s.Name, s.Cursor, cut, s.Open)
			}
		}
		all := spec.EveryUnit(spec.PluginOf(former[0]))
		var gone []string
		for _, unit := range all {
			names := event.HandlerCursors(unit)
			gone = append(gone, names.Position, names.SampledFrom, names.SampledTo)
		}
		if _, err := tx.Exec(ctx, `DELETE FROM cursors WHERE name = ANY ($1::text[])`, gone); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `DELETE FROM replays WHERE handler = ANY ($1::text[])`, all); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `INSERT INTO cursors (name, seq) SELECT name, $2 FROM unnest($1::text[]) AS name`, positions(next), int64(lowest)); err != nil {
			return err
		}
		_, err := shelf.Put(ctx, tx, d)
		return err
	})
}

// EndUnits implements shards.Store.
func (u *Units) EndUnits(ctx context.Context, units []string, d spec.SharedDocument) error {
	return u.change(ctx, "forget the shards of a handler", units, nil, func(ctx context.Context, tx pgx.Tx, _ []spec.UnitState) error {
		plugin := spec.PluginOf(units[0])
		claimed, err := hasPosition(ctx, tx, plugin)
		if err == nil && claimed {
			err = fault.New(fault.Conflict, "%s has a position in the log again", plugin)
		}
		if err == nil {
			_, err = shelf.Put(ctx, tx, d)
		}
		return err
	})
}

// hasPosition reports whether a unit of a plugin has a position.
func hasPosition(ctx context.Context, tx pgx.Tx, plugin string) (found bool, err error) {
	err = tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM cursors WHERE name = ANY ($1::text[]))`, positions(spec.EveryUnit(plugin))).Scan(&found)
	return found, err
}

// change runs fn in a transaction in which units are free, and in a new epoch. It locks the handlers
// of further ones as well. fault.Conflict: a unit is not free.
func (u *Units) change(ctx context.Context, doing string, units, further []string, fn func(context.Context, pgx.Tx, []spec.UnitState) error) error {
	sorted := slices.Sorted(slices.Values(units))
	handlers := append(slices.Concat(units, further), spec.PluginOf(units[0]))
	err := u.db.Write(ctx, doing, func(ctx context.Context, tx pgx.Tx) error {
		if err := conn.LockUnits(ctx, tx, sorted...); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, lockRows, sorted); err != nil {
			return err
		}
		var owned string
		if err := tx.QueryRow(ctx, freeUnits, sorted).Scan(&owned); err == nil {
			return fault.New(fault.Conflict, "a host runs unit %s", owned)
		} else if !errors.Is(err, pgx.ErrNoRows) {
			return err
		}
		if _, err := tx.Exec(ctx, endEpochs, sorted); err != nil {
			return err
		}
		if _, err := outcomes.Lock(ctx, tx, handlers...); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, readStates, units, positions(units))
		if err != nil {
			return err
		}
		states, err := scan(rows)
		if err != nil {
			return err
		}
		return fn(ctx, tx, states)
	})
	if err == nil {
		u.db.Notify(conn.Cluster)
	}
	return err
}

// Claim gives those units of a plugin their first position that have none, unless a former unit has one.
// layout returns the units by the document of this kind for the plugin, nil when there is none.
func (u *Units) Claim(ctx context.Context, plugin, kind string, seq uint64, layout func(document []byte) ([]string, error)) error {
	return u.db.Write(ctx, "claim positions in the log", func(ctx context.Context, tx pgx.Tx) error {
		if _, err := outcomes.Lock(ctx, tx, plugin); err != nil {
			return err
		}
		var document []byte
		err := tx.QueryRow(ctx, `SELECT body FROM shared WHERE kind = $1 AND id = $2`, kind, plugin).Scan(&document)
		if err != nil && !errors.Is(err, pgx.ErrNoRows) {
			return err
		}
		units, err := layout(document)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `INSERT INTO cursors (name, seq) SELECT name, $2 FROM unnest($1::text[]) AS name
			WHERE NOT EXISTS (SELECT FROM cursors AS former WHERE former.name = ANY ($3::text[]) AND former.name <> ALL ($1::text[]))
			ON CONFLICT DO NOTHING`, positions(units), int64(seq), positions(spec.EveryUnit(plugin)))
		return err
	})
}
