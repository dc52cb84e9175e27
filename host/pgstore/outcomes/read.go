package outcomes

import (
	"cmp"
	"context"
	"errors"
	"math"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/berth-host/berth/host/event"
)

// handlersWithBlocks is a table expression: the handlers that have blocks, found with one
// look-up in the index for each.
const handlersWithBlocks = `WITH RECURSIVE named (handler) AS ((SELECT handler FROM outcome_blocks ORDER BY handler LIMIT 1) UNION ALL
	SELECT (SELECT b.handler FROM outcome_blocks AS b WHERE b.handler > named.handler ORDER BY b.handler LIMIT 1) FROM named
		WHERE named.handler IS NOT NULL) `

// Of returns the deliveries of one event, by handler.
func Of(ctx context.Context, tx pgx.Tx, seq uint64) ([]event.Delivery, error) {
	deliveries, err := list(ctx, tx, `SELECT `+columns+` FROM deliveries AS d WHERE d.seq = $1 ORDER BY d.handler`, seqOf(seq))
	if err != nil {
		return nil, err
	}
	trimmed, err := mark(ctx, tx)
	if err != nil {
		return nil, err
	}
	if seq <= trimmed {
		if there, err := existing(ctx, tx, []int64{seqOf(seq)}); err != nil || !there[seq] {
			return deliveries, err
		}
	}
	var frames []frame
	var f frame
	rows, err := tx.Query(ctx, handlersWithBlocks+`SELECT b.handler, b.first_seq, b.last_seq, b.newest_at, b.block FROM named CROSS JOIN LATERAL
		(SELECT * FROM outcome_blocks AS o WHERE o.handler = named.handler AND o.first_seq <= $1 ORDER BY o.first_seq DESC LIMIT 1) AS b
		WHERE b.last_seq >= $1`, seqOf(seq))
	err = each(rows, err, func() {
		frames = append(frames, f)
		f.content = nil
	}, &f.handler, &f.first, &f.last, &f.newestAt, &f.content)
	if err != nil {
		return nil, err
	}
	byHandler := func(a, b event.Delivery) int { return cmp.Compare(a.Handler, b.Handler) }
	for i := range frames {
		f := &frames[i]
		if n, found := slices.BinarySearchFunc(deliveries, event.Delivery{Handler: f.handler}, byHandler); !found {
			d, found, err := f.find(seq)
			if err != nil {
				return nil, err
			}
			if found {
				deliveries = slices.Insert(deliveries, n, d)
			}
		}
	}
	return deliveries, nil
}

// find returns the outcome of a Seq as a delivery.
func (f *frame) find(seq uint64) (d event.Delivery, found bool, err error) {
	block, err := f.open()
	var bad *Unreadable
	if errors.As(err, &bad) {
		return d, false, bad.coded()
	}
	o, found, err := block.Find(seq)
	if err != nil {
		return d, false, f.unreadable(err).coded()
	}
	if !found {
		return d, false, nil
	}
	return o.Delivery(f.handler), true, nil
}

// mark returns the mark "trimmed".
func mark(ctx context.Context, tx pgx.Tx) (uint64, error) {
	var seq int64
	err := tx.QueryRow(ctx, `SELECT trimmed FROM head`).Scan(&seq)
	return uint64(seq), err
}

const (
	blocksPerRead = 64      // in memory at once
	rowsPerRead   = 1 << 16 // of one statement
)

// times calls visit with the Seq and the time, in Unix nanoseconds, of each outcome in blocks
// of a handler above after, up to until, ascending. It passes over blocks whose newest outcome
// is not younger than newer returns, if that is not nil, and over those that cannot be read,
// which it returns.
func times(ctx context.Context, tx pgx.Tx, handler string, after, until uint64, newer func() int64,
	visit func(seq uint64, at int64)) (bad []*Unreadable, err error) {
	trimmed, err := mark(ctx, tx)
	if err != nil {
		return nil, err
	}
	oldest := int64(math.MinInt64)
	for after < until {
		if newer != nil {
			oldest = newer()
		}
		var frames []frame
		f := frame{handler: handler}
		rows, err := tx.Query(ctx, `SELECT first_seq, last_seq, newest_at, block FROM outcome_blocks WHERE handler = $1 AND first_seq <= $3
			AND first_seq >= coalesce((SELECT max(first_seq) FROM outcome_blocks WHERE handler = $1 AND first_seq <= $2), 0)
			AND last_seq >= $2 AND newest_at > $4 ORDER BY first_seq LIMIT $5`,
			handler, seqOf(after+1), seqOf(until), oldest, blocksPerRead)
		if err := each(rows, err, func() {
			frames = append(frames, f)
			f.content = nil
		}, &f.first, &f.last, &f.newestAt, &f.content); err != nil {
			return nil, err
		}
		for i := range frames {
			list, err := frames[i].times(ctx, tx, trimmed)
			var unreadable *Unreadable
			if errors.As(err, &unreadable) {
				bad = append(bad, unreadable)
				continue
			}
			if err != nil {
				return nil, err
			}
			for _, t := range list {
				if t.seq > after && t.seq <= until {
					visit(t.seq, t.at)
				}
			}
		}
		if len(frames) < blocksPerRead {
			break
		}
		after = uint64(frames[len(frames)-1].last)
	}
	return bad, nil
}

type outcomeTime struct {
	seq uint64
	at  int64
}

// times returns the outcomes of a block whose events were not removed.
func (f *frame) times(ctx context.Context, tx pgx.Tx, trimmed uint64) ([]outcomeTime, error) {
	block, err := f.open()
	if err != nil {
		return nil, err
	}
	list := make([]outcomeTime, 0, block.Len())
	var low []int64
	if err := block.Times(func(seq uint64, at int64) bool {
		list = append(list, outcomeTime{seq, at})
		if seq <= trimmed {
			low = append(low, seqOf(seq))
		}
		return true
	}); err != nil {
		return nil, f.unreadable(err)
	}
	if len(low) == 0 {
		return list, nil
	}
	there, err := existing(ctx, tx, low)
	return slices.DeleteFunc(list, func(t outcomeTime) bool { return t.seq <= trimmed && !there[t.seq] }), err
}

// Finals calls visit with the Seq and the time of each final delivery of a handler above
// after, up to until, ascending: those in blocks and the rows of deliveries, which take
// precedence. It passes over blocks that cannot be read and returns them.
func Finals(ctx context.Context, tx pgx.Tx, handler string, after, until uint64, visit func(seq uint64, at time.Time)) ([]*Unreadable, error) {
	return finals(ctx, tx, handler, after, until, nil, func(seq uint64, at int64) { visit(seq, timeOf(at)) })
}

// finals is Finals without blocks that have no outcome younger than newer returns; see times.
func finals(ctx context.Context, tx pgx.Tx, handler string, after, until uint64, newer func() int64,
	visit func(seq uint64, at int64)) ([]*Unreadable, error) {
	type delivery struct {
		seq, at int64
		final   bool
	}
	var d delivery
	var list []delivery
	for above, more := seqOf(after), true; more; { // the server bounds the time of a statement
		n := len(list)
		rows, err := tx.Query(ctx, `SELECT seq, at, status IN ('ok', 'dead') FROM deliveries WHERE handler = $1 AND seq > $2 AND seq <= $3
			ORDER BY seq LIMIT $4`, handler, above, seqOf(until), rowsPerRead)
		if err := each(rows, err, func() { list = append(list, d) }, &d.seq, &d.at, &d.final); err != nil {
			return nil, err
		}
		if more = len(list)-n == rowsPerRead; more {
			above = d.seq
		}
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
	bad, err := times(ctx, tx, handler, after, until, newer, func(seq uint64, at int64) {
		if !before(seq) {
			visit(seq, at)
		}
	})
	before(math.MaxInt64)
	return bad, err
}

// Newest returns the time of the newest final delivery of a handler from one Seq to another,
// both included, or than if none is newer. It reads only blocks that may have a newer one. Of
// a block that cannot be read it takes the newest outcome.
func Newest(ctx context.Context, tx pgx.Tx, handler string, from, to uint64, than time.Time) (time.Time, error) {
	newest := unixNano(than)
	bad, err := finals(ctx, tx, handler, from-1, to, func() int64 { return newest }, func(_ uint64, at int64) { newest = max(newest, at) })
	for _, u := range bad {
		newest = max(newest, u.NewestAt)
	}
	return timeOf(newest), err
}

// PackedTimes returns the times of those outcomes of a handler in blocks that have one of
// these Seqs, which ascend.
func PackedTimes(ctx context.Context, tx pgx.Tx, handler string, seqs []uint64) (map[uint64]time.Time, error) {
	found := make(map[uint64]time.Time)
	if len(seqs) == 0 {
		return found, nil
	}
	_, err := times(ctx, tx, handler, max(seqs[0], 1)-1, seqs[len(seqs)-1], nil, func(seq uint64, at int64) {
		if _, wanted := slices.BinarySearch(seqs, seq); wanted {
			found[seq] = timeOf(at)
		}
	})
	return found, err
}

// Open returns the deliveries of a handler that wait for another attempt, ascending by Seq.
func Open(ctx context.Context, tx pgx.Tx, handler string) ([]event.Delivery, error) {
	return list(ctx, tx, `SELECT `+columns+` FROM deliveries AS d WHERE d.handler = $1 AND d.status NOT IN ('ok', 'dead')
		AND d.status IN ('retrying', 'delivering') ORDER BY d.seq`, handler)
}

// Pending returns the pending deliveries of a handler above a Seq, ascending, at most limit.
func Pending(ctx context.Context, tx pgx.Tx, handler string, after uint64, limit int) ([]event.Delivery, error) {
	return list(ctx, tx, `SELECT `+columns+` FROM deliveries AS d WHERE d.handler = $1 AND d.status NOT IN ('ok', 'dead') AND d.status = 'pending'
		AND d.seq > $2 ORDER BY d.seq LIMIT $3`, handler, seqOf(after), limit)
}

// CountPending counts the pending deliveries of a handler from one Seq to another, both
// included.
func CountPending(ctx context.Context, tx pgx.Tx, handler string, from, to uint64) (n int, err error) {
	err = tx.QueryRow(ctx, `SELECT count(*) FROM deliveries WHERE handler = $1 AND status NOT IN ('ok', 'dead') AND status = 'pending'
		AND seq >= $2 AND seq <= $3`, handler, seqOf(from), seqOf(to)).Scan(&n)
	return n, err
}

// Any reports whether a handler has an outcome of either form.
func Any(ctx context.Context, tx pgx.Tx, handler string) (found bool, err error) {
	err = tx.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM deliveries WHERE handler = $1) OR EXISTS (SELECT 1 FROM outcome_blocks WHERE handler = $1)`,
		handler).Scan(&found)
	return found, err
}
