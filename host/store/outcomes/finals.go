package outcomes

import (
	"context"
	"database/sql"
	"math"
	"slices"
	"time"

	"github.com/berth-host/berth/host/store/datafile"
)

// Finals calls visit with the Seq and the time, in unix nanoseconds, of each final
// delivery of a handler above after, up to until, ascending: those in blocks and those of
// the table deliveries, which take precedence. It passes over blocks that cannot be read
// and returns them.
func (r *Reader) Finals(ctx context.Context, tx *sql.Tx, handler string, after, until uint64,
	visit func(seq uint64, at int64)) (bad []*Unreadable, err error) {
	type delivery struct {
		seq, at int64
		final   bool
	}
	var d delivery
	var list []delivery
	rows, err := tx.StmtContext(ctx, r.deliveries).QueryContext(ctx, handler, datafile.Seq(after), datafile.Seq(until))
	if err := datafile.Each(rows, err, func() { list = append(list, d) }, &d.seq, &d.at, &d.final); err != nil {
		return nil, err
	}
	before := func(seq uint64) (covered bool) { // visits the deliveries up to seq
		for len(list) > 0 && uint64(list[0].seq) <= seq {
			if covered = uint64(list[0].seq) == seq; list[0].final {
				visit(uint64(list[0].seq), list[0].at)
			}
			list = list[1:]
		}
		return covered
	}
	bad, err = r.Times(ctx, tx, handler, after, until, func(seq uint64, at int64) {
		if !before(seq) {
			visit(seq, at)
		}
	})
	before(math.MaxUint64)
	return bad, err
}

// Newest returns the time of the newest final delivery of a handler from one Seq to
// another, both included, in unix nanoseconds; 0 for none. Of a block that cannot be
// read it takes the newest outcome.
func (r *Reader) Newest(ctx context.Context, tx *sql.Tx, handler string, from, to uint64) (at int64, err error) {
	bad, err := r.Finals(ctx, tx, handler, from-1, to, func(_ uint64, t int64) { at = max(at, t) })
	for _, u := range bad {
		at = max(at, u.NewestAt)
	}
	return at, err
}

// TimesOf returns the times of those outcomes of a handler that are in blocks and have one
// of these Seqs, of which there is one at least, ascending.
func (r *Reader) TimesOf(ctx context.Context, db *sql.DB, handler string, seqs []uint64) (map[uint64]time.Time, error) {
	tx, err := db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return nil, err
	}
	defer tx.Rollback() //nolint:errcheck // it only reads
	times := make(map[uint64]time.Time)
	_, err = r.Times(ctx, tx, handler, max(seqs[0], 1)-1, seqs[len(seqs)-1], func(seq uint64, at int64) {
		if _, found := slices.BinarySearch(seqs, seq); found {
			times[seq] = Time(at)
		}
	})
	return times, err
}
