package pglog

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
)

// Status implements bus.Log.
func (l *Log) Status(ctx context.Context) (st event.LogStatus, err error) {
	const doing = "read the log's size"
	if err := l.usable(ctx, doing); err != nil {
		return st, err
	}
	err = l.db.Read(ctx, doing, func(ctx context.Context, tx pgx.Tx) error {
		h, err := ReadHead(ctx, tx)
		if err != nil {
			return err
		}
		st = event.LogStatus{LastSeq: h.Seq, Events: h.Events, Bytes: h.Bytes, MaxBytes: l.maxBytes.Load(), Scheduled: h.Scheduled, ScheduledBytes: h.ScheduledBytes}
		var first, at int64
		err = tx.QueryRow(ctx, `SELECT seq, appended_at FROM events ORDER BY seq LIMIT 1`).Scan(&first, &at)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		st.FirstSeq, st.OldestAt = uint64(first), timeOf(at)
		return err
	})
	return st, err
}

// ID returns the id of the store, 32 hex digits, which a migration keeps.
func (l *Log) ID(ctx context.Context) (id string, err error) {
	err = l.db.Read(ctx, "read the id of the store", func(ctx context.Context, tx pgx.Tx) error {
		return tx.QueryRow(ctx, `SELECT store FROM head`).Scan(&id)
	})
	return id, err
}

// Event implements bus.Log.
func (l *Log) Event(ctx context.Context, id string) (rec event.Record, err error) {
	const doing = "look up an event"
	if err := l.usable(ctx, doing); err != nil {
		return rec, err
	}
	var list []event.Record
	err = l.db.Read(ctx, doing, func(ctx context.Context, tx pgx.Tx) error {
		// Its id is in the column of keys when nothing else is its key.
		rows, err := tx.Query(ctx, `SELECT seq, envelope, origin FROM (
			SELECT seq, envelope, origin, 0 AS rank FROM events WHERE event_id = $1 UNION ALL
			SELECT seq, envelope, origin, 1 FROM events WHERE idempotency_key = $1) AS named ORDER BY rank LIMIT 1`, []byte(id))
		list, err = scan(rows, err)
		return err
	})
	switch {
	case err != nil:
		return rec, unreadable(err)
	case len(list) == 0:
		return rec, fault.New(fault.NotFound, "there is no event with the id or idempotency key %q in the log", id)
	}
	return list[0], nil
}

// Events implements bus.Log.
func (l *Log) Events(ctx context.Context, q event.Query) (list []event.Record, err error) {
	const doing = "list events"
	if q.Limit < 1 || q.Limit > 1000 {
		return nil, fault.Field("limit", "is %d, but must be 1 to 1000", q.Limit)
	}
	if err := l.usable(ctx, doing); err != nil {
		return nil, err
	}
	if _, err := event.ParseType(string(q.Type)); err != nil && q.Type != "" {
		return nil, nil // no event has it, and the database refuses some texts
	}
	text, args := selection(q)
	err = l.db.Read(ctx, doing, func(ctx context.Context, tx pgx.Tx) error {
		list = nil
		for before := q.Before; ; {
			args[0], args[1] = signed(before-1), q.Limit-len(list) // 0 - 1 is the highest
			rows, err := tx.Query(ctx, text, args...)
			records, err := scan(rows, err)
			list = append(list, records...)
			var bad *event.Unreadable
			if !errors.As(err, &bad) {
				return err
			}
			if _, skipped, failed := skippedAt(ctx, tx, bad.Seq); failed != nil || !skipped {
				return errors.Join(err, failed)
			}
			before = bad.Seq
		}
	})
	return list, unreadable(err)
}

// selection returns the statement of a query. Its first two parameters are the highest Seq and
// the limit.
func selection(q event.Query) (text string, args []any) {
	text, args = `SELECT seq, envelope, origin FROM events WHERE seq <= $1`, []any{nil, nil}
	for _, f := range []struct {
		column string
		value  any
		given  bool
	}{
		{"type", string(q.Type), q.Type != ""},
		{"subject", []byte(q.Subject), q.Subject != ""},
		{"idempotency_key", []byte(q.Key), q.Key != ""},
	} {
		if f.given {
			args = append(args, f.value)
			text += ` AND ` + f.column + ` = $` + string(rune('0'+len(args)))
		}
	}
	if q.Subject != "" {
		text += ` AND subject <> ''` // the index has no others
	}
	return text + ` ORDER BY seq DESC LIMIT $2`, args
}

// SeqAt implements bus.Log.
func (l *Log) SeqAt(ctx context.Context, t time.Time) (seq uint64, err error) {
	const doing = "find a time in the log"
	if err := l.usable(ctx, doing); err != nil {
		return 0, err
	}
	err = l.db.Read(ctx, doing, func(ctx context.Context, tx pgx.Tx) error {
		h, err := ReadHead(ctx, tx)
		if err == nil {
			seq, err = seqAt(ctx, tx, h, t)
		}
		return err
	})
	return seq, err
}

// seqAt searches by halves: the times of appends never decrease along the log.
func seqAt(ctx context.Context, tx pgx.Tx, h *Head, t time.Time) (uint64, error) {
	low, high := uint64(1), h.Seq+1
	for low < high {
		mid := low + (high-low)/2
		var seq, at int64
		err := tx.QueryRow(ctx, `SELECT seq, appended_at FROM events WHERE seq >= $1 ORDER BY seq LIMIT 1`, signed(mid)).Scan(&seq, &at)
		switch {
		case errors.Is(err, pgx.ErrNoRows) || err == nil && uint64(seq) >= high:
			high = mid // there is none from mid to high
		case err != nil:
			return 0, err
		case timeOf(at).Before(t):
			low = uint64(seq) + 1
		default:
			high = mid
		}
	}
	// high may be in a gap: the next event is the one.
	var next int64
	err := tx.QueryRow(ctx, `SELECT coalesce((SELECT seq FROM events WHERE seq >= $1 ORDER BY seq LIMIT 1), $2)`, signed(high),
		signed(h.Seq+1)).Scan(&next)
	return uint64(next), err
}
