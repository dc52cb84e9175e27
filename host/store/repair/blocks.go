package repair

import (
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/event/pack"
	"github.com/berth-host/berth/host/store/datafile"
)

// blocks makes the blocks of outcomes fit together again: those of one handler do not
// overlap. A page whose newest content is lost can have a block that was merged into
// another one since. If any overlap, so do two of which one begins after the other.
func (r *reconciliation) blocks() error {
	if r.catalog.table("outcome_blocks") == nil || r.whole("outcome_blocks") {
		return nil
	}
	if _, err := r.exec(`DELETE FROM outcome_blocks WHERE last_seq <= coalesce((SELECT seq FROM marks WHERE name = 'trimmed'), 0)`); err != nil {
		return err
	}
	for {
		var larger, smaller int64
		err := r.tx.QueryRowContext(r.ctx, `SELECT CASE WHEN larger THEN id ELSE next END, CASE WHEN larger THEN next ELSE id END FROM (
			SELECT id, last_seq, lead(id) OVER of AS next, lead(first_seq) OVER of AS until,
				(outcomes, id) > (lead(outcomes) OVER of, lead(id) OVER of) AS larger
			FROM outcome_blocks WINDOW of AS (PARTITION BY handler ORDER BY first_seq)) WHERE until <= last_seq LIMIT 1`).Scan(&larger, &smaller)
		if errors.Is(err, sql.ErrNoRows) {
			break
		}
		if err == nil {
			err = r.unpack(smaller, larger)
		}
		if err != nil {
			return err
		}
	}
	if _, err := r.exec(`DELETE FROM missing_blocks WHERE EXISTS (SELECT 1 FROM outcome_blocks AS b
		WHERE b.handler = missing_blocks.handler AND b.first_seq = missing_blocks.seq)`); err != nil {
		return err
	}
	n, err := r.number(`SELECT count(*) FROM missing_blocks`)
	if err != nil {
		return err
	}
	examples, err := r.texts(`SELECT handler || ' from event ' || seq FROM missing_blocks ORDER BY 1 LIMIT 20`)
	if err != nil {
		return err
	}
	r.report.loseBlocks(uint64(n), r.whole("outcome_blocks_by_first"), examples)
	return r.showLost()
}

// showLost lets the history show that results are not kept for the events of lost blocks:
// without it these look as if the handler had never had them. A block ends before the next
// one of its handler, or at the handler's position.
func (r *reconciliation) showLost() error {
	type outcomes struct {
		handler  string
		from, to int64
	}
	var list []outcomes
	var one outcomes
	found, err := r.tx.QueryContext(r.ctx, `SELECT handler, min(seq), max(max(seq, coalesce(
			(SELECT min(first_seq) - 1 FROM outcome_blocks AS b WHERE b.handler = missing_blocks.handler AND b.first_seq > missing_blocks.seq),
			(SELECT c.seq FROM cursors AS c WHERE c.name = ? || missing_blocks.handler), seq)))
		FROM missing_blocks GROUP BY handler`, handlerPrefix)
	if err := datafile.Each(found, err, func() { list = append(list, one) }, &one.handler, &one.from, &one.to); err != nil {
		return err
	}
	for _, lost := range list {
		names := event.HandlerCursors(lost.handler)
		if _, err := r.exec(`INSERT INTO cursors VALUES (?, ?) ON CONFLICT DO UPDATE
			SET seq = CASE seq WHEN 0 THEN excluded.seq ELSE min(seq, excluded.seq) END`, names.SampledFrom, lost.from); err != nil {
			return err
		}
		if _, err := r.exec(`INSERT INTO cursors VALUES (?, ?) ON CONFLICT DO UPDATE SET seq = max(seq, excluded.seq)`, names.SampledTo, lost.to); err != nil {
			return err
		}
	}
	return nil
}

// unpack replaces a block by deliveries, without the outcomes that another block has.
func (r *reconciliation) unpack(id, other int64) error {
	handler, list, err := r.block(id)
	if err != nil {
		return err
	}
	_, has, err := r.block(other)
	if err != nil {
		return err
	}
	if _, err := r.exec(`DELETE FROM outcome_blocks WHERE id = ?`, id); err != nil {
		return err
	}
	for i := range list {
		if _, found := slices.BinarySearchFunc(has, list[i].Seq, func(o pack.Outcome, seq uint64) int {
			return int(int64(o.Seq) - int64(seq))
		}); found {
			continue
		}
		d := list[i].Delivery(handler)
		if _, err := r.exec(`INSERT OR IGNORE INTO deliveries (handler, seq, status, attempts, result, error_class, error_message, duration,
			fuel, at, due, first_at, digest) SELECT ?1, ?2, ?3, 1, ?4, '', '', ?5, ?6, ?7, 0, ?8, ?9 WHERE ?2 IN (SELECT seq FROM events)`,
			handler, int64(d.Seq), string(d.Status), d.Result, int64(d.Duration), int64(d.Fuel), d.At.UnixNano(), d.FirstAttempt.UnixNano(),
			d.SHA256); err != nil {
			return err
		}
	}
	return nil
}

func (r *reconciliation) block(id int64) (handler string, list []pack.Outcome, err error) {
	var content []byte
	if err := r.tx.QueryRowContext(r.ctx, `SELECT handler, block FROM outcome_blocks WHERE id = ?`, id).Scan(&handler, &content); err != nil {
		return "", nil, err
	}
	if list, err = outcomesOf(content); err != nil { // it was checked
		err = fmt.Errorf("block %d: %w", id, err)
	}
	return handler, list, err
}

// packed returns the Seqs in a range of which a handler, "" for any, has an outcome in a
// block.
func (r *reconciliation) packed(handler string, in Range) (map[uint64]bool, error) {
	seqs := make(map[uint64]bool)
	var ids []int64
	var id int64
	found, err := r.tx.QueryContext(r.ctx, `SELECT id FROM outcome_blocks WHERE ?1 IN ('', handler) AND first_seq <= ?2 AND last_seq >= ?3`, handler,
		int64(in.Last), int64(in.First))
	if err := datafile.Each(found, err, func() { ids = append(ids, id) }, &id); err != nil {
		return nil, err
	}
	for _, id := range ids {
		_, list, err := r.block(id)
		if err != nil {
			return nil, err
		}
		for i := range list {
			if seq := list[i].Seq; seq >= in.First && seq <= in.Last {
				seqs[seq] = true
			}
		}
	}
	return seqs, nil
}
