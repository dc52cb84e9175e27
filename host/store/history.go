package store

import (
	"cmp"
	"context"
	"database/sql"
	"slices"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/event/pack"
	"github.com/berth-host/berth/host/store/datafile"
	"github.com/berth-host/berth/host/store/outcomes"
)

// conn lets the packages outcomes and kv run their statements in the group.
type conn struct{ g *group }

func (c conn) Exec(stmt *sql.Stmt, args ...any) (changed int64, err error) {
	return c.g.exec(stmt, args...)
}

func (c conn) Query(stmt *sql.Stmt, args ...any) (*sql.Rows, error) {
	return c.g.bind(stmt).Query(args...)
}

func (c conn) Scan(stmt *sql.Stmt, dest []any, args ...any) error {
	return c.g.queryRow(stmt, args...).Scan(dest...)
}

// saveRuns stores plain successes.
func (g *group) saveRuns(rs *pack.Runs) error {
	singles, err := g.s.blocks.SaveRuns(conn{g}, g.trimmedTo(), rs)
	for i := range singles {
		if err != nil {
			return err
		}
		d := singles[i].Delivery(singles[i].Handler)
		err = g.setDelivery(&d)
	}
	return err
}

// keepLeftovers moves outcomes of events that stay in the log beyond the mark "trimmed",
// edge, from blocks to the table deliveries.
func (g *group) keepLeftovers(edge int64) error {
	leftovers, err := g.s.blocks.Trim(conn{g}, uint64(edge))
	for i := range leftovers {
		if err != nil {
			return err
		}
		d := leftovers[i].Delivery(leftovers[i].Handler)
		_, err = g.exec(g.s.write.addDelivery, outcomes.Values(&d)...)
	}
	return err
}

// history returns the deliveries of one event, by handler.
func (s *Store) history(ctx context.Context, seq uint64) (list []event.Delivery, err error) {
	tx, err := s.reader.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return nil, err
	}
	defer tx.Rollback() //nolint:errcheck // it only reads
	rows, err := tx.StmtContext(ctx, s.read.deliveries).QueryContext(ctx, datafile.Seq(seq))
	if list, err = outcomes.ScanDeliveries(rows, err); err != nil {
		return nil, err
	}
	packed, err := s.packed.Of(ctx, tx, seq)
	if err != nil || len(packed) == 0 {
		return list, err
	}
	byHandler := func(a, b event.Delivery) int { return cmp.Compare(a.Handler, b.Handler) }
	for _, d := range packed {
		if n, found := slices.BinarySearchFunc(list, d, byHandler); !found {
			list = slices.Insert(list, n, d)
		}
	}
	return list, nil
}

// newestFinal returns the time of the newest final delivery of a handler from one Seq to
// another; see outcomes.Reader.Newest.
func (s *Store) newestFinal(ctx context.Context, handler string, from, to uint64) (at int64, err error) {
	tx, err := s.reader.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return 0, err
	}
	defer tx.Rollback() //nolint:errcheck // it only reads
	return s.packed.Newest(ctx, tx, handler, from, to)
}
