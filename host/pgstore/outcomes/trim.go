package outcomes

import (
	"context"
	"math"

	"github.com/jackc/pgx/v5"
)

// NotKept is the condition of a DELETE FROM events for the events that no delivery keeps in
// the log: none is open or a dead letter.
const NotKept = `NOT EXISTS (SELECT 1 FROM deliveries AS d WHERE d.seq = events.seq AND d.status <> 'ok' AND NOT d.purged)`

// Released returns events at or below the mark "trimmed" that a delivery kept and that none
// may keep any more, below before, ascending, at most limit. The transaction has called
// LockTrim; it removes those with NotKept and calls Freed with all.
func Released(ctx context.Context, tx pgx.Tx, before uint64, limit int) (seqs []int64, err error) {
	rows, err := tx.Query(ctx, `SELECT seq FROM released WHERE seq < $1 ORDER BY seq LIMIT $2`, seqOf(before), limit)
	var seq int64
	err = each(rows, err, func() { seqs = append(seqs, seq) }, &seq)
	return seqs, err
}

// Freed removes the deliveries and attempts of these events, if they are not in the log any
// more, and the events from what Released returns.
func Freed(ctx context.Context, tx pgx.Tx, seqs []int64) error {
	const orphaned = `seq = ANY ($1::bigint[]) AND NOT EXISTS (SELECT 1 FROM events AS e WHERE e.seq = `
	var b pgx.Batch
	b.Queue(`DELETE FROM deliveries AS d WHERE d.`+orphaned+`d.seq)`, seqs)
	b.Queue(`WITH gone AS (DELETE FROM attempts AS a WHERE a.`+orphaned+`a.seq) RETURNING handler, log_size)`+less, seqs)
	b.Queue(`DELETE FROM released WHERE seq = ANY ($1::bigint[])`, seqs)
	return tx.SendBatch(ctx, &b).Close()
}

// Swept removes the outcomes and attempts of the events above one Seq, up to edge, that are
// not in the log any more, and moves those of the others, which stay beyond the mark "trimmed",
// from blocks that end there into rows. The transaction has called LockTrim, has removed the
// events with NotKept, and sets the mark to edge.
func Swept(ctx context.Context, tx pgx.Tx, above, edge uint64) error {
	var b pgx.Batch
	b.Queue(`DELETE FROM deliveries AS d WHERE d.seq > $1 AND d.seq <= $2 AND NOT EXISTS (SELECT 1 FROM events AS e WHERE e.seq = d.seq)`,
		seqOf(above), seqOf(edge))
	b.Queue(`WITH gone AS (DELETE FROM attempts AS a WHERE a.seq > $1 AND a.seq <= $2
		AND NOT EXISTS (SELECT 1 FROM events AS e WHERE e.seq = a.seq) RETURNING handler, log_size)`+less, seqOf(above), seqOf(edge))
	b.Queue(`DELETE FROM outcome_blocks WHERE ctid = ANY (ARRAY (`+handlersWithBlocks+`SELECT b.ctid FROM named
		JOIN outcome_blocks AS b ON b.handler = named.handler AND b.first_seq <= $1 AND b.last_seq <= $1
		WHERE NOT EXISTS (SELECT 1 FROM events AS e WHERE e.seq >= b.first_seq AND e.seq <= b.last_seq)))`, seqOf(edge))
	if err := tx.SendBatch(ctx, &b).Close(); err != nil {
		return err
	}
	return keepLeftovers(ctx, tx, edge)
}

// keepLeftovers moves the outcomes of remaining events from the blocks that end at edge or
// below into rows. A block that cannot be read stays as long as an event of its range does.
func keepLeftovers(ctx context.Context, tx pgx.Tx, edge uint64) error {
	var frames []frame
	var f frame
	rows, err := tx.Query(ctx, handlersWithBlocks+`SELECT b.handler, b.first_seq, b.last_seq, b.newest_at, b.block FROM named CROSS JOIN LATERAL
		(SELECT * FROM outcome_blocks AS o WHERE o.handler = named.handler AND o.first_seq <= $1 AND o.last_seq <= $1) AS b
		ORDER BY b.handler, b.first_seq`, seqOf(edge))
	err = each(rows, err, func() {
		frames = append(frames, f)
		f.content = nil
	}, &f.handler, &f.first, &f.last, &f.newestAt, &f.content)
	if err != nil {
		return err
	}
	var kept Deliveries
	var moved keys
	for i := range frames {
		f := &frames[i]
		list, ok := f.load()
		if !ok {
			continue
		}
		seqs := make([]int64, len(list))
		for i := range list {
			seqs[i] = seqOf(list[i].Seq)
		}
		there, err := existing(ctx, tx, seqs)
		if err != nil {
			return err
		}
		for i := range list {
			if there[list[i].Seq] {
				d := list[i].Delivery(f.handler)
				kept.add(&d)
			}
		}
		moved.add(f.handler, f.first)
	}
	if len(moved.handlers) == 0 {
		return nil
	}
	var b pgx.Batch
	b.Queue(keepDeliveries, kept.args()...)
	b.Queue(removeBlocks, moved.handlers, moved.seqs)
	return tx.SendBatch(ctx, &b).Close()
}

// Forget removes the outcomes and attempts of a handler, which is locked, and queues the
// events below the mark "trimmed" that only it may have kept. When there are many up to passed,
// a position in the log that the handler has passed, it removes some of those only: more is true,
// and the caller commits and calls it again.
func Forget(ctx context.Context, tx pgx.Tx, handler string, trimmed, passed uint64) (more bool, err error) {
	for _, until := range []int64{seqOf(passed), math.MaxInt64} {
		parts := maxForget
		if until == math.MaxInt64 {
			parts = math.MaxInt
		}
		for _, p := range forgotten {
			if more, err := p.remove(ctx, tx, handler, seqOf(trimmed), until, &parts); more || err != nil {
				return more, err
			}
		}
	}
	_, err = tx.Exec(ctx, `DELETE FROM attempt_logs WHERE handler = $1`, handler)
	return false, err
}

const (
	forgetStep = 8192 // rows of one statement: the server bounds its time
	maxForget  = 8    // statements of one transaction, whose time is bounded as well
)

// part is a table of what Forget removes, in the order of a column that has Seqs.
type part struct{ table, column, before string }

var forgotten = []part{
	{"deliveries", "seq", `INSERT INTO released SELECT seq FROM deliveries WHERE handler = $1 AND seq > $2 AND seq <= least($3::bigint, $4::bigint)
		AND status <> 'ok' AND NOT purged ON CONFLICT DO NOTHING`},
	{"outcome_blocks", "first_seq", ""},
	{"attempts", "seq", ""},
}

// remove removes the rows of a handler up to a Seq in parts, and reports whether there are more
// than so many. Each part begins behind the one before, so that it does not pass over what that
// has removed.
func (p part) remove(ctx context.Context, tx pgx.Tx, handler string, trimmed, until int64, parts *int) (more bool, err error) {
	for above := int64(math.MinInt64); ; {
		var edge *int64
		if err := tx.QueryRow(ctx, `SELECT max(at) FROM (SELECT `+p.column+` AS at FROM `+p.table+` WHERE handler = $1 AND `+p.column+` > $2
			AND `+p.column+` <= $3 ORDER BY `+p.column+` LIMIT $4) AS next`, handler, above, until, forgetStep).Scan(&edge); err != nil || edge == nil {
			return false, err
		}
		if *parts--; *parts < 0 {
			return true, nil
		}
		var b pgx.Batch
		if p.before != "" {
			b.Queue(p.before, handler, above, *edge, trimmed)
		}
		b.Queue(`DELETE FROM `+p.table+` WHERE handler = $1 AND `+p.column+` > $2 AND `+p.column+` <= $3`, handler, above, *edge)
		if err := tx.SendBatch(ctx, &b).Close(); err != nil {
			return false, err
		}
		above = *edge
	}
}
