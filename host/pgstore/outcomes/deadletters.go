package outcomes

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/berth-host/berth/host/event"
)

// arrays returns positions as two columns.
func arrays(list []event.DeadPosition) (handlers []string, seqs []int64) {
	for _, p := range list {
		handlers, seqs = append(handlers, p.Handler), append(seqs, seqOf(p.Seq))
	}
	return handlers, seqs
}

// DeadLetters returns the dead letters at these positions with their events, in this order.
func DeadLetters(ctx context.Context, tx pgx.Tx, positions []event.DeadPosition) (list []event.DeadLetter, err error) {
	handlers, seqs := arrays(positions)
	rows, err := tx.Query(ctx, `SELECT `+columns+`, e.envelope, e.origin FROM unnest($1::text[], $2::bigint[]) WITH ORDINALITY AS u (handler, seq, n)
		JOIN deliveries AS d ON d.handler = u.handler AND d.seq = u.seq JOIN events AS e ON e.seq = d.seq ORDER BY u.n`, handlers, seqs)
	var s scanned
	var envelope, origin []byte
	var failed error
	err = each(rows, err, func() {
		d := s.delivery()
		ev, err := event.ParseStored(string(envelope), event.ParseOrigin(string(origin)))
		if err != nil {
			failed = fmt.Errorf("event %d: %w", d.Seq, err)
			return
		}
		list = append(list, d.DeadLetter(ev))
	}, s.dest(&envelope, &origin)...)
	if err == nil {
		err = failed
	}
	return list, err
}

// atDead are the dead letters at positions. Each is looked up by itself: a join would also be
// possible the other way round, from all dead letters, and the statistics of a table in which
// many deliveries have just died advise that.
const atDead = ` WHERE d.ctid = ANY (ARRAY (SELECT found.ctid FROM unnest($1::text[], $2::bigint[]) AS u (handler, seq) CROSS JOIN LATERAL
	(SELECT o.ctid FROM deliveries AS o WHERE o.handler = u.handler AND o.seq = u.seq AND o.status = 'dead' AND NOT o.purged LIMIT 1) AS found))`

// Redrive makes the dead letters at these positions pending, and returns the number of those
// that are any. Their handlers are locked.
func Redrive(ctx context.Context, tx pgx.Tx, positions []event.DeadPosition, at time.Time) (int, error) {
	handlers, seqs := arrays(positions)
	done, err := tx.Exec(ctx, `UPDATE deliveries AS d SET status = 'pending', attempts = 0, result = '', error_class = '', error_message = '',
		duration = 0, fuel = 0, at = $3, due = 0, first_at = 0, digest = ''`+atDead, handlers, seqs, unixNano(at))
	return int(done.RowsAffected()), err
}

// Purge discards the dead letters at these positions, and returns the number of those that are
// any. Their handlers are locked.
func Purge(ctx context.Context, tx pgx.Tx, positions []event.DeadPosition, trimmed uint64) (int, error) {
	handlers, seqs := arrays(positions)
	var n int
	err := tx.QueryRow(ctx, `WITH purged AS (UPDATE deliveries AS d SET purged = true`+atDead+` RETURNING d.seq),
		freed AS (INSERT INTO released SELECT DISTINCT seq FROM purged WHERE seq <= $3 ON CONFLICT DO NOTHING)
		SELECT count(*) FROM purged`, handlers, seqs, seqOf(trimmed)).Scan(&n)
	return n, err
}

// Had is an event of the log and a handler's row for it.
type Had struct {
	Seq          uint64
	Found, Final bool // there is a row; its status is final
	At           time.Time
}

// HadOf returns those of the events that are in the log, ascending.
func HadOf(ctx context.Context, tx pgx.Tx, handler string, seqs []uint64) (list []Had, err error) {
	rows, err := tx.Query(ctx, `SELECT e.seq, d.seq IS NOT NULL, coalesce(d.status IN ('ok', 'dead'), false), coalesce(d.at, 0)
		FROM events AS e LEFT JOIN deliveries AS d ON d.handler = $1 AND d.seq = e.seq WHERE e.seq = ANY ($2::bigint[]) ORDER BY e.seq`,
		handler, seqsOf(seqs))
	var h Had
	var seq, at int64
	err = each(rows, err, func() {
		h.Seq, h.At = uint64(seq), timeOf(at)
		list = append(list, h)
	}, &seq, &h.Found, &h.Final, &at)
	return list, err
}

// Store stores deliveries, each in place of the row that is there. Their handlers are locked.
func Store(ctx context.Context, tx pgx.Tx, list []event.Delivery) error {
	var b pgx.Batch
	queueDeliveries(&b, list)
	if b.Len() == 0 {
		return nil
	}
	return tx.SendBatch(ctx, &b).Close()
}
