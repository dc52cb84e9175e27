package outcomes

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/berth-host/berth/host/event"
)

// Skip gives each handler that has not had one of the unreadable events, or has it open, a dead
// delivery of it, and returns the handlers by name. Without their events these are no dead
// letters. The transaction has called LockTrim; from and to are the range that is skipped.
func Skip(ctx context.Context, tx pgx.Tx, from, to uint64, unreadable []uint64, now time.Time) (handlers []string, err error) {
	rows, err := tx.Query(ctx, `SELECT substr(name, 9) COLLATE "C" AS handler FROM cursors WHERE starts_with(name, 'handler/') AND seq < $1
		UNION SELECT handler FROM deliveries WHERE seq >= $2 AND seq <= $3 AND status NOT IN ('ok', 'dead') ORDER BY handler`,
		seqOf(unreadable[len(unreadable)-1]), seqOf(from), seqOf(to))
	var name string
	if err := each(rows, err, func() { handlers = append(handlers, name) }, &name); err != nil {
		return nil, err
	}
	var b pgx.Batch
	b.Queue(`UPDATE deliveries SET purged = true WHERE seq = ANY ($1::bigint[]) AND status = 'dead' AND NOT purged`, seqsOf(unreadable))
	for _, name := range handlers {
		handled := make(map[uint64]bool)
		if _, err := times(ctx, tx, name, from-1, to, nil, func(seq uint64, _ int64) { handled[seq] = true }); err != nil {
			return nil, err
		}
		var seqs []int64
		for _, seq := range unreadable {
			if !handled[seq] {
				seqs = append(seqs, seqOf(seq))
			}
		}
		b.Queue(`INSERT INTO deliveries AS d (handler, seq, status, attempts, result, error_class, error_message, duration, fuel, at, due, first_at,
				digest, purged)
			SELECT $1::text, u.at, 'dead', 0, '', $4::text, 'the event cannot be read, and an operator skipped it', 0, 0, $3::bigint, 0, 0, '', true
			FROM unnest($2::bigint[]) AS u (at) WHERE u.at > coalesce((SELECT c.seq FROM cursors AS c WHERE c.name = 'handler/' || $1::text), 0)
				OR EXISTS (SELECT 1 FROM deliveries AS o WHERE o.handler = $1 AND o.seq = u.at AND o.status NOT IN ('ok', 'dead'))
			ON CONFLICT (handler, seq) DO UPDATE SET status = 'dead', result = '', error_class = excluded.error_class,
				error_message = excluded.error_message, at = excluded.at, due = 0, purged = true WHERE d.status NOT IN ('ok', 'dead')`,
			name, seqs, now.UnixNano(), string(event.ClassUnreadable))
	}
	return handlers, tx.SendBatch(ctx, &b).Close()
}
