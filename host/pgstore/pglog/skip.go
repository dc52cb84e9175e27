package pglog

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/pgstore/outcomes"
)

// maxSkip is the maximum number of Seqs that one call skips.
const maxSkip = 100_000

// Skip implements bus.Log. An event is unreadable when its envelope is not one: another program
// has written it. Damaged pages of tables are the database's own, which is restored then.
// Handlers that have not had such an event get a dead delivery of it.
func (l *Log) Skip(ctx context.Context, from, to uint64) (done event.Skipped, err error) {
	const doing = "skip events"
	switch {
	case from < 1 || from > to:
		return done, fault.Field("to", "is %d, but must be at least seq, %d, and seq at least 1", to, from)
	case to-from >= maxSkip:
		return done, fault.Field("to", "is too far from seq: at most %d events are skipped at once", maxSkip)
	}
	if err := l.usable(ctx, doing); err != nil {
		return done, err
	}
	var bad []uint64
	err = l.db.Write(ctx, doing, func(ctx context.Context, tx pgx.Tx) error {
		done = event.Skipped{From: from, To: to}
		if err := outcomes.LockTrim(ctx, tx); err != nil {
			return err
		}
		h, err := LockHead(ctx, tx)
		if err != nil {
			return err
		}
		if from > h.Seq {
			return fault.New(fault.NotFound, "the log ends at event %d", h.Seq)
		}
		if bad, err = allUnreadable(ctx, tx, from, to); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `INSERT INTO skipped VALUES ($1, $2, $3) ON CONFLICT (seq) DO UPDATE
			SET until = greatest(skipped.until, excluded.until)`, signed(from), signed(to), l.now().UnixNano()); err != nil {
			return err
		}
		if done.Handlers, err = outcomes.Skip(ctx, tx, from, to, bad, l.now()); err != nil {
			return err
		}
		return h.Save(ctx, tx)
	})
	if err != nil {
		return event.Skipped{}, err
	}
	l.log.Warn("unreadable events skipped by an operator", "from_seq", from, "to_seq", to, "unreadable", len(bad), "handlers",
		done.Handlers)
	return done, nil
}

// allUnreadable returns the Seqs of a range's events, none of which can be read.
func allUnreadable(ctx context.Context, tx pgx.Tx, from, to uint64) (bad []uint64, err error) {
	for next := from; next <= to; {
		rows, err := tx.Query(ctx, `SELECT seq, envelope, origin FROM events WHERE seq >= $1 AND seq <= $2 ORDER BY seq LIMIT 1`,
			signed(next), signed(to))
		records, err := scan(rows, err)
		var one *event.Unreadable
		switch {
		case errors.As(err, &one):
			bad = append(bad, one.Seq)
			next = one.Seq + 1
		case err != nil:
			return nil, err
		case len(records) > 0:
			return nil, fault.New(fault.Conflict, "event %d can be read: only events that cannot are skipped", records[0].Seq)
		default:
			next = to + 1
		}
	}
	if len(bad) == 0 {
		return nil, fault.New(fault.NotFound, "there is no event from %d to %d that cannot be read", from, to)
	}
	return bad, nil
}

// skippedAt returns the end of the skipped range that has a Seq, and whether there is one.
func skippedAt(ctx context.Context, tx pgx.Tx, seq uint64) (until uint64, skipped bool, err error) {
	var end int64
	err = tx.QueryRow(ctx, `SELECT until FROM skipped WHERE seq <= $1 ORDER BY seq DESC LIMIT 1`, signed(seq)).Scan(&end)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, false, nil
	}
	return uint64(end), err == nil && uint64(end) >= seq, err
}
