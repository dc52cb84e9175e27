package repair

import (
	"fmt"
	"math"
	"slices"

	"github.com/berth-host/berth/host/store/datafile"
	"github.com/berth-host/berth/host/store/logread"
)

// compareWatermark ignores a watermark of another store: it does not say what this one has
// acknowledged.
func (r *reconciliation) compareWatermark() error {
	if r.report.kept["identity"] == 0 || r.mark.Store == "" {
		return nil
	}
	ids, err := r.texts(`SELECT store FROM identity`)
	if err == nil && !slices.Contains(ids, r.mark.Store) {
		r.report.lose("watermark", 0, fmt.Sprintf("the watermark beside the file is of another store (id %s): which writes were acknowledged is not "+
			"known, and a start refuses the new store beside it, too", r.mark.Store))
		r.mark = datafile.Position{}
	}
	return err
}

// marks raises the end of the log to the highest Seq that was ever used.
func (r *reconciliation) marks() error {
	last, err := r.lastSeq()
	if err != nil {
		return err
	}
	astray, err := r.astray()
	if err != nil {
		return err
	}
	const ends = `SELECT max((SELECT coalesce(max(seq), 0) FROM events WHERE seq < ?), (SELECT coalesce(max(seq), 0) FROM marks))`
	end, err := r.number(ends, int64(math.MaxInt64))
	if err != nil {
		return err
	}
	sure, err := r.number(ends, astray)
	if err != nil {
		return err
	}
	r.report.Last = last
	known := uint64(sure)
	if n := len(r.lost); n > 0 {
		known = max(known, r.lost[n-1].Last)
	}
	if r.mark.Seq > known {
		r.report.loseEvents([]Range{{known + 1, r.mark.Seq}}, true)
	}
	if r.writes > 0 && r.mark.Writes > r.writes {
		r.report.lose("writes", r.mark.Writes-r.writes, fmt.Sprintf("the last %d of %d acknowledged writes are missing (outcomes, "+
			"cursors, state of plugins)", r.mark.Writes-r.writes, r.mark.Writes))
	}
	if last <= uint64(end) {
		return nil
	}
	_, err = r.exec(`INSERT INTO marks VALUES ('lost', ?1) ON CONFLICT DO UPDATE SET seq = max(seq, ?1)`, int64(last))
	return err
}

// astray returns the first Seq of events that are behind the acknowledged ones and do not
// follow them, MaxInt64 for none: the Seq is a part of the page, which has no checksum.
func (r *reconciliation) astray() (int64, error) {
	if r.mark.Seq == 0 {
		return math.MaxInt64, nil
	}
	seq, err := r.number(`SELECT coalesce(min(seq), ?2) FROM events AS e WHERE seq > max(?1, (SELECT coalesce(max(seq), 0) FROM marks) + 1)
		AND NOT EXISTS (SELECT 1 FROM events WHERE seq = e.seq - 1)
		AND NOT EXISTS (SELECT 1 FROM skipped WHERE seq < e.seq AND until >= e.seq - 1)`, int64(r.mark.Seq), int64(math.MaxInt64))
	if err == nil && seq < math.MaxInt64 {
		r.report.doubt(fmt.Sprintf("event %d does not follow the events up to %d, which were acknowledged: it may have had another Seq, and is "+
			"delivered again then", seq, r.mark.Seq))
	}
	return seq, err
}

// identity keeps the id of the store, which the watermark has as well.
func (r *reconciliation) identity() error {
	if r.report.kept["identity"] > 0 {
		return nil
	}
	if r.mark.Store == "" { // a new one, unless a migration has made it
		_, err := r.exec(`INSERT INTO identity SELECT lower(hex(randomblob(16))) WHERE NOT EXISTS (SELECT 1 FROM identity)`)
		return err
	}
	if _, err := r.exec(`DELETE FROM identity`); err != nil {
		return err
	}
	_, err := r.exec(`INSERT INTO identity VALUES (?)`, r.mark.Store)
	return err
}

// attempts removes those of trimmed events, which old content may have: no trim looks for
// them again.
func (r *reconciliation) attempts() error {
	_, err := r.exec(`DELETE FROM attempts WHERE seq <= coalesce((SELECT seq FROM marks WHERE name = 'trimmed'), 0)
		AND NOT EXISTS (SELECT 1 FROM events WHERE events.seq = attempts.seq)`)
	return err
}

// scheduled removes scheduled events that the log has, which old content may have: they were
// moved there.
func (r *reconciliation) scheduled() error {
	_, err := r.exec(`DELETE FROM scheduled WHERE idempotency_key IN (SELECT idempotency_key FROM events)`)
	return err
}

// leftovers lets the next trim examine the events again that an earlier one has left: which
// deliveries kept them may have changed.
func (r *reconciliation) leftovers() error {
	_, err := r.exec(`INSERT OR IGNORE INTO released SELECT seq FROM events
		WHERE seq <= coalesce((SELECT seq FROM marks WHERE name = 'trimmed'), 0)`)
	return err
}

// summaries makes the summaries of the complete blocks of the log again.
func (r *reconciliation) summaries() error { return logread.Summarize(r.ctx, r.tx) }
