package repair

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/berth-host/berth/host/store/datafile"
	"github.com/berth-host/berth/host/store/pages"
)

// Range is a range of Seqs, both ends included.
type Range struct {
	First uint64 `json:"first"`
	Last  uint64 `json:"last"`
}

func (r Range) String() string {
	if r.First == r.Last {
		return fmt.Sprint(r.First)
	}
	return fmt.Sprintf("%d to %d", r.First, r.Last)
}

// reconciliation makes the exported entries a store again, in one transaction.
type reconciliation struct {
	*job
	ctx context.Context
	tx  *sql.Tx
	at  int64 // unix ns

	lost []Range // events
}

func (r *reconciliation) exec(text string, args ...any) (int64, error) {
	result, err := r.tx.ExecContext(r.ctx, text, args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

func (r *reconciliation) number(text string, args ...any) (n int64, err error) {
	err = r.tx.QueryRowContext(r.ctx, text, args...).Scan(&n)
	return n, err
}

func (r *reconciliation) texts(text string, args ...any) (list []string, err error) {
	found, err := r.tx.QueryContext(r.ctx, text, args...)
	var one string
	err = datafile.Each(found, err, func() { list = append(list, one) }, &one)
	return list, err
}

// lostEvents finds the events that the log had and that cannot be read.
func (r *reconciliation) lostEvents() error {
	gaps := r.gaps["events"]
	if r.im.WAL.Damaged > 0 { // pages can be as they were before, and contradict nothing
		gaps = append(slices.Clone(gaps), pages.Gap{})
	}
	if err := r.resolveAmbiguous(); err != nil || len(gaps) == 0 {
		return err
	}
	trimmed, err := r.exec(`DELETE FROM events WHERE seq IN (SELECT seq FROM uncertain)
		AND seq <= coalesce((SELECT seq FROM marks WHERE name = 'trimmed'), 0)
		AND NOT EXISTS (SELECT 1 FROM deliveries AS d WHERE d.seq = events.seq AND d.status <> 'ok' AND d.purged = 0)`)
	if err != nil {
		return err
	}
	if trimmed > 0 {
		r.report.kept["events"] -= uint64(trimmed)
	}
	for _, text := range []string{
		// A delivery that is open or a dead letter keeps its event in the log.
		`INSERT OR IGNORE INTO missing_events SELECT seq FROM deliveries WHERE status <> 'ok' AND purged = 0`,
		// Entries of the index of keys outlive their events.
		`INSERT OR IGNORE INTO missing_events SELECT seq FROM indexed_events
			WHERE seq > coalesce((SELECT seq FROM marks WHERE name = 'trimmed'), 0)
			OR seq IN (SELECT seq FROM missing_deliveries WHERE kept <> 0 OR status <> 'ok')`,
		`DELETE FROM missing_events WHERE seq IN (SELECT seq FROM events)`,
		`DELETE FROM missing_events WHERE EXISTS (SELECT 1 FROM skipped WHERE skipped.seq <= missing_events.seq AND until >= missing_events.seq)`,
	} {
		if _, err := r.exec(text); err != nil {
			return err
		}
	}
	var seq int64
	found, err := r.tx.QueryContext(r.ctx, `SELECT seq FROM missing_events ORDER BY seq`)
	if err := datafile.Each(found, err, func() { r.lost = append(r.lost, Range{uint64(seq), uint64(seq)}) }, &seq); err != nil {
		return err
	}
	exact := true
	if known := r.indexedEvents(); known < math.MaxInt64 {
		suspects, err := r.suspectEvents(gaps, known+1)
		if err != nil {
			return err
		}
		r.lost = merged(r.lost)
		for _, s := range suspects {
			if slices.ContainsFunc(r.lost, func(l Range) bool { return l.First <= s.First && s.Last <= l.Last }) {
				continue
			}
			if count([]Range{s}) > maxHandled {
				exact = false
				break
			}
			handled, err := r.handled(s)
			if err != nil {
				return err
			}
			exact = exact && uint64(len(handled)) == count([]Range{s})
		}
		r.lost = append(r.lost, suspects...)
	}
	r.lost = merged(r.lost)
	for _, lost := range r.lost {
		if _, err := r.exec(`INSERT INTO skipped VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET until = max(until, excluded.until)`,
			int64(lost.First), int64(lost.Last), r.at); err != nil {
			return err
		}
	}
	r.report.loseEvents(r.lost, exact)
	return nil
}

// maxHandled bounds the range of handled.
const maxHandled = 1 << 20

// handled returns the Seqs in a range of which a handler has an outcome: these had an event.
func (r *reconciliation) handled(in Range) (map[uint64]bool, error) {
	seqs, err := r.packed("", in)
	if err != nil {
		return nil, err
	}
	var seq int64
	found, err := r.tx.QueryContext(r.ctx, `SELECT DISTINCT seq FROM deliveries WHERE seq BETWEEN ? AND ?`, int64(in.First), int64(in.Last))
	return seqs, datafile.Each(found, err, func() { seqs[uint64(seq)] = true }, &seq)
}

// indexedEvents returns the Seq up to which an index of keys says which events the log had.
func (r *reconciliation) indexedEvents() uint64 {
	switch {
	case r.im.WAL.Damaged > 0: // the index can be as it was before
		return 0
	case r.has("events_by_key"): // before schema 11
		return math.MaxInt64
	case r.catalog.table("event_keys") != nil && r.whole("event_keys") && r.whole("key_index"):
		return r.indexed
	}
	return 0
}

// suspectEvents returns the ranges without an event in the damaged parts of the log, gaps,
// from a Seq on: no index says which of them had one.
func (r *reconciliation) suspectEvents(gaps []pages.Gap, first uint64) (list []Range, err error) {
	last, err := r.lastSeq()
	if err != nil {
		return nil, err
	}
	trimmed, err := r.number(`SELECT coalesce((SELECT seq FROM marks WHERE name = 'trimmed'), 0)`)
	if err != nil {
		return nil, err
	}
	for _, part := range seqsOf(gaps) {
		from, to := max(part.First, uint64(trimmed)+1, first), min(part.Last, last)
		if from > to {
			continue
		}
		var low, high int64
		found, err := r.tx.QueryContext(r.ctx, `WITH covered (first, last) AS (
				SELECT seq, seq FROM events WHERE seq BETWEEN ?1 AND ?2
				UNION ALL SELECT seq, until FROM skipped WHERE until >= ?1 AND seq <= ?2
				UNION ALL SELECT ?1 - 1, ?1 - 1 UNION ALL SELECT ?2 + 1, ?2 + 1),
			gaps (low, high) AS (SELECT 1 + max(last) OVER (ORDER BY first, last ROWS UNBOUNDED PRECEDING),
				lead(first) OVER (ORDER BY first, last) - 1 FROM covered)
			SELECT low, high FROM gaps WHERE low <= high`, int64(from), int64(to))
		if err := datafile.Each(found, err, func() { list = append(list, Range{uint64(low), uint64(high)}) }, &low, &high); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// seqsOf returns the Seqs in the gaps of the log, ascending.
func seqsOf(gaps []pages.Gap) (list []Range) {
	for _, gap := range gaps {
		r := Range{1, math.MaxInt64 - 1}
		if len(gap.After) > 0 {
			r.First = uint64(max(gap.After[0].(int64), 0)) + 1
		}
		if len(gap.Until) > 0 {
			r.Last = uint64(max(gap.Until[0].(int64), 0))
		}
		list = append(list, r)
	}
	return merged(list)
}

// merged returns ranges in ascending order, with those joined that overlap or adjoin.
func merged(list []Range) []Range {
	slices.SortFunc(list, func(a, b Range) int { return cmp.Compare(a.First, b.First) })
	joined := list[:0]
	for _, r := range list {
		if n := len(joined); n > 0 && r.First <= joined[n-1].Last+1 {
			joined[n-1].Last = max(joined[n-1].Last, r.Last)
			continue
		}
		joined = append(joined, r)
	}
	return joined
}

// lastSeq returns the highest Seq that anything in the store mentions: no event may
// get it again.
func (r *reconciliation) lastSeq() (uint64, error) {
	last, err := r.number(`SELECT max((SELECT coalesce(max(seq), 0) FROM events), (SELECT coalesce(max(seq), 0) FROM marks),
		(SELECT coalesce(max(seq), 0) FROM cursors), (SELECT coalesce(max(seq), 0) FROM deliveries),
		(SELECT coalesce(max(until), 0) FROM skipped), (SELECT coalesce(max(seq), 0) FROM missing_events))`)
	return max(uint64(max(last, 0)), r.mark.Seq), err
}

// resolveAmbiguous adds the entries of cursors and marks that were on pages which could be
// of several trees.
func (r *reconciliation) resolveAmbiguous() error {
	for name, condition := range map[string]string{
		"marks":   `name IN ('trimmed', 'lost')`,
		"cursors": `(name GLOB 'handler/*' OR name GLOB 'thinned-*/*')`,
	} {
		if r.whole(name) {
			continue
		}
		n, err := r.exec(`INSERT OR IGNORE INTO ` + name + ` SELECT name, seq FROM ambiguous AS a WHERE seq >= 0
			AND NOT EXISTS (SELECT 1 FROM ambiguous WHERE tree = a.tree AND NOT ` + condition + `)
			AND NOT EXISTS (SELECT 1 FROM ambiguous AS other JOIN events AS e ON e.idempotency_key = other.name AND e.seq = other.seq
				WHERE other.tree = a.tree)`)
		if err != nil {
			return err
		}
		r.report.add(name, uint64(n))
	}
	return nil
}

// lostEntries reports the lost entries of the other tables.
func (r *reconciliation) lostEntries() error {
	for _, t := range []struct{ name, index, missing, key, of string }{
		{"kv", "sqlite_autoindex_kv_1", "missing_kv", "plugin || ': ' || key", "plugin = kv.plugin AND key = kv.key"},
		{"orders", "sqlite_autoindex_orders_1", "missing_orders", "id", "id = orders.id"},
	} {
		if r.whole(t.name) {
			continue
		}
		if _, err := r.exec(`DELETE FROM ` + t.missing + ` WHERE EXISTS (SELECT 1 FROM ` + t.name + ` WHERE ` + t.missing + "." +
			strings.ReplaceAll(t.of, " AND ", " AND "+t.missing+".") + `)`); err != nil {
			return err
		}
		n, err := r.number(`SELECT count(*) FROM ` + t.missing)
		if err != nil {
			return err
		}
		examples, err := r.texts(`SELECT ` + t.key + ` FROM ` + t.missing + ` ORDER BY 1 LIMIT 20`)
		if err != nil {
			return err
		}
		r.report.loseNamed(t.name, uint64(n), r.whole(t.index), examples)
	}
	for _, t := range r.catalog.tables {
		if r.whole(t.name) || slices.Contains(derived, t.name) || slices.Contains([]string{"events", "deliveries", "outcome_blocks", "kv", "orders", "cursors"}, t.name) {
			continue
		}
		detail := fmt.Sprintf("part of the table %s cannot be read; how many entries it had is not known", t.name)
		if t.name == "replays" {
			detail = "replays under way may be lost: such a handler does not get the rest of them; start them again (berth events replay)"
		}
		r.report.lose(t.name, 0, detail)
	}
	return nil
}
