package outcomes

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"slices"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/event/pack"
	"github.com/berth-host/berth/host/store/datafile"
)

// Reader reads blocks. Its methods run in a transaction of the caller, so that they see
// the same blocks, deliveries and events. It is safe for concurrent use.
type Reader struct {
	of, frames, content, existing, trimmed, deliveries *sql.Stmt
}

// NewReader prepares the statements of a Reader.
func NewReader(ctx context.Context, db *sql.DB) (*Reader, error) {
	r := &Reader{}
	return r, datafile.Prepare(ctx, db, datafile.Statements{
		&r.of: handlers + `SELECT ` + frameColumns + ` FROM named CROSS JOIN outcome_blocks AS b
			WHERE b.id = (SELECT id FROM outcome_blocks WHERE handler = named.handler AND first_seq <= ?1
				ORDER BY first_seq DESC LIMIT 1) AND b.last_seq >= ?1`,
		&r.frames: `SELECT ` + frameColumns + ` FROM outcome_blocks AS b WHERE handler = ?1 AND first_seq <= ?3 AND first_seq >=
			coalesce((SELECT first_seq FROM outcome_blocks WHERE handler = ?1 AND first_seq <= ?2 ORDER BY first_seq DESC LIMIT 1), 0)
			AND last_seq >= ?2 ORDER BY first_seq`,
		&r.content:    `SELECT block FROM outcome_blocks WHERE id = ?`,
		&r.existing:   existing,
		&r.deliveries: `SELECT seq, at, status IN ('ok', 'dead') FROM deliveries WHERE handler = ? AND seq > ? AND seq <= ? ORDER BY seq`,
		&r.trimmed:    `SELECT coalesce((SELECT seq FROM marks WHERE name = 'trimmed'), 0)`,
	})
}

// open reads and opens a block; see frame.open.
func (r *Reader) open(ctx context.Context, tx *sql.Tx, f *frame) (pack.Block, error) {
	var content []byte
	err := tx.StmtContext(ctx, r.content).QueryRowContext(ctx, f.id).Scan(&content)
	return f.open(content, err)
}

// Of returns the outcomes of one event as deliveries, by handler. The error wraps
// *Unreadable when one of them cannot be read.
func (r *Reader) Of(ctx context.Context, tx *sql.Tx, seq uint64) ([]event.Delivery, error) {
	there, err := r.inLog(ctx, tx, seq)
	if err != nil || !there {
		return nil, err
	}
	frames, err := listFrames(tx.StmtContext(ctx, r.of).QueryContext(ctx, datafile.Seq(seq)))
	if err != nil {
		return nil, err
	}
	var list []event.Delivery
	for i := range frames {
		f := &frames[i]
		block, err := r.open(ctx, tx, f)
		if err != nil {
			return nil, codedError(err)
		}
		o, found, err := block.Find(seq)
		if err != nil {
			return nil, f.unreadable(err).coded()
		}
		if found {
			list = append(list, o.Delivery(f.handler))
		}
	}
	slices.SortFunc(list, func(a, b event.Delivery) int { return cmp.Compare(a.Handler, b.Handler) })
	return list, nil
}

// codedError gives an *Unreadable its code.
func codedError(err error) error {
	var bad *Unreadable
	if errors.As(err, &bad) {
		return bad.coded()
	}
	return err
}

// inLog reports whether an event was not removed from the log.
func (r *Reader) inLog(ctx context.Context, tx *sql.Tx, seq uint64) (there bool, err error) {
	trimmed, err := r.mark(ctx, tx)
	if err != nil || seq > trimmed {
		return true, err
	}
	err = r.among(ctx, tx, datafile.List(slices.Values([]int64{datafile.Seq(seq)})), func(uint64) { there = true })
	return there, err
}

func (r *Reader) mark(ctx context.Context, tx *sql.Tx) (uint64, error) {
	var seq int64
	err := tx.StmtContext(ctx, r.trimmed).QueryRowContext(ctx).Scan(&seq)
	return uint64(seq), err
}

// among calls visit with the Seqs of a JSON list that have an event.
func (r *Reader) among(ctx context.Context, tx *sql.Tx, seqs string, visit func(seq uint64)) error {
	rows, err := tx.StmtContext(ctx, r.existing).QueryContext(ctx, seqs)
	var seq int64
	return datafile.Each(rows, err, func() { visit(uint64(seq)) }, &seq)
}

// Times calls visit with the Seq and the time, in unix nanoseconds, of each outcome of a
// handler above after, up to until, ascending. It passes over blocks that cannot be read
// and returns them.
func (r *Reader) Times(ctx context.Context, tx *sql.Tx, handler string, after, until uint64,
	visit func(seq uint64, at int64)) (bad []*Unreadable, err error) {
	if after >= until {
		return nil, nil
	}
	trimmed, err := r.mark(ctx, tx)
	if err != nil {
		return nil, err
	}
	frames, err := listFrames(tx.StmtContext(ctx, r.frames).QueryContext(ctx, handler, datafile.Seq(after+1), datafile.Seq(until)))
	if err != nil {
		return nil, err
	}
	for i := range frames {
		f := &frames[i]
		times, err := r.times(ctx, tx, f, trimmed)
		var unreadable *Unreadable
		if errors.As(err, &unreadable) {
			bad = append(bad, unreadable)
			continue
		}
		if err != nil {
			return nil, err
		}
		for _, t := range times {
			if t.seq > after && t.seq <= until {
				visit(t.seq, t.at)
			}
		}
	}
	return bad, nil
}

type outcomeTime struct {
	seq uint64
	at  int64
}

// times returns the outcomes of a block whose events were not removed.
func (r *Reader) times(ctx context.Context, tx *sql.Tx, f *frame, trimmed uint64) ([]outcomeTime, error) {
	block, err := r.open(ctx, tx, f)
	if err != nil {
		return nil, err
	}
	list := make([]outcomeTime, 0, block.Len())
	if err := block.Times(func(seq uint64, at int64) bool {
		list = append(list, outcomeTime{seq, at})
		return true
	}); err != nil {
		return nil, f.unreadable(err)
	}
	if uint64(f.first) > trimmed {
		return list, nil
	}
	seqs := func(yield func(int64) bool) {
		for _, t := range list {
			if t.seq > trimmed || !yield(datafile.Seq(t.seq)) {
				return
			}
		}
	}
	there := make(map[uint64]bool)
	if err := r.among(ctx, tx, datafile.List(seqs), func(seq uint64) { there[seq] = true }); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(list, func(t outcomeTime) bool { return t.seq <= trimmed && !there[t.seq] }), nil
}
