package repair

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/store/datafile"
	"github.com/berth-host/berth/host/store/pages"
)

const (
	handlerPrefix = "handler/"
	openStatus    = `status NOT IN ('ok', 'dead')`
	// maxDeadDeliveries is the number of lost events up to which each handler gets a dead
	// delivery for each.
	maxDeadDeliveries = 100_000
)

// openDeliveries restores what can be known of lost deliveries. An index says which
// ones were open, to be attempted again, and which were dead letters: these are made again,
// without the record of their attempts. Without it every event without an outcome may have
// been open, and the handlers' cursors go back.
func (r *reconciliation) openDeliveries() error {
	if r.whole("deliveries") {
		return nil
	}
	if _, err := r.exec(`DELETE FROM missing_deliveries WHERE EXISTS (SELECT 1 FROM deliveries AS d
		WHERE d.handler = missing_deliveries.handler AND d.seq = missing_deliveries.seq)`); err != nil {
		return err
	}
	n, err := r.number(`SELECT count(*) FROM missing_deliveries`)
	if err != nil {
		return err
	}
	const lost = "a repair of the store lost the record of the attempts"
	again, err := r.exec(`INSERT INTO deliveries (handler, seq, status, attempts, result, error_class, error_message, duration, fuel, at, due)
		SELECT handler, seq, coalesce(status, 'retrying'), coalesce(status, '') <> 'pending', '', CASE status WHEN 'pending' THEN '' ELSE ?1 END,
			CASE status WHEN 'pending' THEN '' ELSE ?2 END, 0, 0, ?3, 0 FROM missing_deliveries
		WHERE (kept = 1 OR status IN ('pending', 'retrying', 'delivering', 'dead')) AND seq IN (SELECT seq FROM events)`,
		string(event.ClassUnreadable), lost, r.at)
	if err != nil {
		return err
	}
	r.report.loseDeliveries(uint64(n), uint64(again), r.whole("deliveries_by_seq"))
	if r.has("deliveries_open") || r.has("deliveries_kept") {
		return nil
	}
	return r.rewind(r.gaps["deliveries"])
}

// has reports whether all of an index was read.
func (r *reconciliation) has(index string) bool {
	return r.catalog.index(index) != nil && r.whole(index)
}

// rewind moves cursors back to before the deliveries that are lost.
func (r *reconciliation) rewind(gaps []pages.Gap) error {
	positions, err := r.positions()
	if err != nil {
		return err
	}
	for _, handler := range sorted(positions) {
		was, to := positions[handler], uint64(math.MaxUint64)
		for _, gap := range gaps {
			if after, concerned := concerns(gap, handler); concerned {
				to = min(to, after)
			}
		}
		if to >= was {
			continue
		}
		if err := r.setCursor(handler, to); err != nil {
			return err
		}
		// A replay passes over the events between its end and the position before it; none of
		// these may be passed over now. One that is over would begin again.
		if _, err := r.exec(`DELETE FROM replays WHERE handler = ? AND to_seq <= ?`, handler, int64(was)); err != nil {
			return err
		}
		if _, err := r.exec(`UPDATE replays SET resume = to_seq WHERE handler = ?`, handler); err != nil {
			return err
		}
		reason := fmt.Sprintf("records of its deliveries are lost: it gets the events %d to %d again whose outcome is not recorded", to+1, was)
		r.report.moved(handler, to, reason)
	}
	return nil
}

// concerns reports whether a gap in the deliveries may have had some of a handler, and the
// Seq after which they are.
func concerns(gap pages.Gap, handler string) (after uint64, concerned bool) {
	if name, seq, ok := deliveryKey(gap.Until); ok && (handler > name || handler == name && seq == 0) {
		return 0, false
	}
	name, seq, ok := deliveryKey(gap.After)
	switch {
	case !ok || name < handler:
		return 0, true
	case name > handler:
		return 0, false
	}
	if until, last, ok := deliveryKey(gap.Until); ok && until == name && last == seq {
		return seq - 1, true // one refused entry
	}
	return seq, true
}

// deliveryKey reads the handler and the Seq of a key of the deliveries.
func deliveryKey(key []any) (handler string, seq uint64, ok bool) {
	if len(key) < 2 {
		return "", 0, false
	}
	handler, ok = key[0].(string)
	n, isSeq := key[1].(int64)
	return handler, uint64(max(n, 0)), ok && isSeq
}

// positions returns the cursors of the handlers.
func (r *reconciliation) positions() (map[string]uint64, error) {
	list := make(map[string]uint64)
	var name string
	var seq int64
	found, err := r.tx.QueryContext(r.ctx, `SELECT name, seq FROM cursors WHERE name GLOB 'handler/*'`)
	return list, datafile.Each(found, err, func() { list[strings.TrimPrefix(name, handlerPrefix)] = uint64(seq) }, &name, &seq)
}

func sorted(positions map[string]uint64) []string {
	list := make([]string, 0, len(positions))
	for name := range positions {
		list = append(list, name)
	}
	slices.Sort(list)
	return list
}

func (r *reconciliation) setCursor(handler string, seq uint64) error {
	_, err := r.exec(`INSERT INTO cursors VALUES (?, ?) ON CONFLICT DO UPDATE SET seq = excluded.seq`, handlerPrefix+handler,
		int64(min(seq, math.MaxInt64)))
	return err
}

// cursors gives the handlers whose cursor is lost a new one at the start of the log: they
// get the events again whose outcome is not recorded.
func (r *reconciliation) cursors() error {
	if r.whole("cursors") {
		return nil
	}
	positions, err := r.positions()
	if err != nil {
		return err
	}
	for _, t := range r.catalog.tables {
		if t.position("handler") < 0 {
			continue
		}
		names, err := r.texts(`WITH RECURSIVE names (name) AS (SELECT min(handler) FROM ` + t.name + `
			UNION ALL SELECT (SELECT min(handler) FROM ` + t.name + ` WHERE handler > name) FROM names WHERE name IS NOT NULL)
			SELECT name FROM names WHERE name IS NOT NULL`)
		if err != nil {
			return err
		}
		for _, name := range names {
			if _, known := positions[name]; known {
				continue
			}
			positions[name] = 0
			if err := r.setCursor(name, 0); err != nil {
				return err
			}
			r.report.moved(name, 0, "its position is lost: it gets every event again whose outcome is not recorded")
		}
	}
	r.report.lose("cursors", 0, "positions of handlers may be lost; a handler without any recorded outcome starts like a new one: "+
		"compare the list of handlers, and replay what one has missed (berth events replay)")
	return nil
}

// deliveriesWithoutEvent ends the deliveries whose event is lost, and records a dead
// delivery of it for each handler that has not had it, as berth events skip does.
func (r *reconciliation) deliveriesWithoutEvent() error {
	const orphaned = `NOT EXISTS (SELECT 1 FROM events WHERE events.seq = deliveries.seq)`
	const reason = "the event cannot be read, and a repair skipped it"
	if !r.whole("deliveries") { // old content may have deliveries of trimmed events
		if _, err := r.exec(`DELETE FROM deliveries WHERE status = 'ok' AND ` + orphaned +
			` AND seq <= coalesce((SELECT seq FROM marks WHERE name = 'trimmed'), 0)
			AND NOT EXISTS (SELECT 1 FROM skipped WHERE skipped.seq <= deliveries.seq AND until >= deliveries.seq)`); err != nil {
			return err
		}
	}
	open, err := r.exec(`UPDATE deliveries SET status = 'dead', result = '', error_class = ?, error_message = ?, at = ?, due = 0, purged = 1
		WHERE `+openStatus+` AND `+orphaned, string(event.ClassUnreadable), reason, r.at)
	if err != nil {
		return err
	}
	dead, err := r.exec(`UPDATE deliveries SET purged = 1 WHERE status = 'dead' AND purged = 0 AND ` + orphaned)
	if err != nil {
		return err
	}
	if open > 0 {
		r.report.lose("deliveries", uint64(open), fmt.Sprintf("%d deliveries waited for an attempt; their events are lost, and they are dead now", open))
	}
	if dead > 0 {
		r.report.lose("dead letters", uint64(dead), lost(uint64(dead), true, "dead letter", "dead letters")+" with the event")
	}
	if count(r.lost) > maxDeadDeliveries {
		return nil
	}
	positions, err := r.positions()
	if err != nil {
		return err
	}
	for _, handler := range sorted(positions) {
		for _, lost := range r.lost {
			handled, err := r.packed(handler, lost)
			if err != nil {
				return err
			}
			for seq := max(lost.First, positions[handler]+1); seq <= lost.Last; seq++ {
				if handled[seq] {
					continue
				}
				if _, err := r.exec(`INSERT OR IGNORE INTO deliveries (handler, seq, status, attempts, result, error_class, error_message,
					duration, fuel, at, due, purged) VALUES (?, ?, 'dead', 0, '', ?, ?, 0, 0, ?, 0, 1)`,
					handler, int64(seq), string(event.ClassUnreadable), reason, r.at); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func count(ranges []Range) (n uint64) {
	for _, r := range ranges {
		n += r.Last - r.First + 1
	}
	return n
}
