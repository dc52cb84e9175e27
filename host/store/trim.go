package store

import (
	"context"
	"database/sql"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/store/datafile"
)

// trimStatements are prepared on the writer's connection.
type trimStatements struct {
	edge, events, deliveries                 *sql.Stmt
	releasedEdge, releasedEvents, clearQueue *sql.Stmt
	releasedDeliveries, release, there       *sql.Stmt
	blocks, releasedBlocks                   *sql.Stmt
	restamp                                  *sql.Stmt
}

func (t *trimStatements) prepare(ctx context.Context, db *sql.DB) error {
	const (
		notKept = ` AND NOT EXISTS (SELECT 1 FROM deliveries AS d INDEXED BY deliveries_kept
			WHERE d.seq = events.seq AND d.status <> 'ok' AND d.purged = 0)`
		orphaned = ` AND NOT EXISTS (SELECT 1 FROM events WHERE events.seq = deliveries.seq)`
		released = ` WHERE seq IN (SELECT seq FROM released WHERE seq <= ?)`
		empty    = ` AND NOT EXISTS (SELECT 1 FROM events WHERE seq >= stretch << 8 AND seq < (stretch + 1) << 8)`
	)
	return datafile.Prepare(ctx, db, datafile.Statements{
		&t.edge: `SELECT count(*), coalesce(max(seq), 0) FROM (SELECT seq FROM events WHERE seq > ? AND seq < ?
			ORDER BY seq LIMIT ?)`,
		&t.events:             `DELETE FROM events WHERE seq > ? AND seq <= ?` + notKept,
		&t.deliveries:         `DELETE FROM deliveries WHERE seq > ? AND seq <= ?` + orphaned,
		&t.releasedEdge:       `SELECT count(*), coalesce(max(seq), 0) FROM (SELECT seq FROM released WHERE seq < ? ORDER BY seq LIMIT ?)`,
		&t.releasedEvents:     `DELETE FROM events` + released + notKept,
		&t.releasedDeliveries: `DELETE FROM deliveries` + released + orphaned,
		&t.clearQueue:         `DELETE FROM released WHERE seq <= ?`,
		&t.release:            `INSERT OR IGNORE INTO released VALUES (?)`,
		&t.blocks:             `DELETE FROM stretches WHERE stretch >= ? >> 8 AND stretch < ? >> 8` + empty,
		&t.releasedBlocks:     `DELETE FROM stretches WHERE stretch IN (SELECT seq >> 8 FROM released WHERE seq <= ?)` + empty,
		&t.restamp: `UPDATE events SET appended_at = ? WHERE seq IN (SELECT seq FROM events WHERE seq >= ?
			ORDER BY seq LIMIT ?)`,
		&t.there: `SELECT EXISTS (SELECT 1 FROM events WHERE seq = ?)`,
	})
}

// trimStep is the maximum number of events that one group examines.
const trimStep = 512

// Trim removes the events below before, with their deliveries, oldest first, and
// returns the number of removed events. An event stays, with all its deliveries, as
// long as one of these is a dead letter or is not final. Trim applies no other rule:
// the caller knows which events are still needed. Keys of removed events can be used
// again; their Seqs are not. On an error, the events removed so far stay removed. Trim
// also replaces future timestamps; see restamp. It runs in small transactions with
// pauses between them, so that publishers do not wait for a long trim; see pace.
//
// Every event is examined once. The mark "trimmed" is the position reached: the events
// that remain up to there are leftovers, each with a delivery that keeps it. When the
// last such delivery ends, the same transaction adds the event's Seq to the table
// released, and the next Trim examines it again.
//
// The entries of removed events in the index of keys remain until sweepKeys.
func (s *Store) Trim(ctx context.Context, before uint64) (total int, err error) {
	if err := s.restamp(ctx); err != nil {
		return 0, err
	}
	p := newPace(trimStep)
	for {
		step := p.step
		var examined, removed int64
		err := s.paced(ctx, "trim the log", p, func(g *group) error {
			freedOf, freed, err := g.trimReleased(before, step)
			if err != nil {
				return err
			}
			sweptOf, swept, err := g.sweep(before, step)
			examined, removed = max(freedOf, sweptOf), freed+swept
			return err
		})
		if err != nil {
			return total, err
		}
		total += int(removed)
		if examined < int64(step) {
			return total, nil
		}
		if err := s.pause(ctx, "trim the log", p); err != nil {
			return total, err
		}
	}
}

// trimReleased removes leftovers that no delivery keeps any more, and returns the
// numbers of examined and removed events.
func (g *group) trimReleased(before uint64, step int) (examined, removed int64, err error) {
	t := &g.s.trim
	var edge int64
	if err := g.queryRow(t.releasedEdge, datafile.Seq(before), step).Scan(&examined, &edge); err != nil || examined == 0 {
		return 0, 0, err
	}
	if removed, err = g.exec(t.releasedEvents, edge); err != nil {
		return 0, 0, err
	}
	if _, err := g.exec(t.releasedDeliveries, edge); err != nil {
		return 0, 0, err
	}
	if err := g.s.attempts.RemoveReleased(conn{g}, edge); err != nil {
		return 0, 0, err
	}
	if _, err := g.exec(t.releasedBlocks, edge); err != nil {
		return 0, 0, err
	}
	_, err = g.exec(t.clearQueue, edge)
	g.removed = true
	return examined, removed, err
}

// sweep continues from the mark, and returns the same as trimReleased.
func (g *group) sweep(before uint64, step int) (examined, removed int64, err error) {
	t := &g.s.trim
	from, edge := datafile.Seq(g.trimmedTo()), int64(0)
	if err := g.queryRow(t.edge, from, datafile.Seq(before), step).Scan(&examined, &edge); err != nil || examined == 0 {
		return 0, 0, err
	}
	if removed, err = g.exec(t.events, from, edge); err != nil {
		return 0, 0, err
	}
	if _, err := g.exec(t.deliveries, from, edge); err != nil {
		return 0, 0, err
	}
	if err := g.s.attempts.RemoveTo(conn{g}, from, edge); err != nil {
		return 0, 0, err
	}
	if err := g.keepLeftovers(edge); err != nil {
		return 0, 0, err
	}
	if _, err := g.exec(g.s.write.setMark, "trimmed", edge); err != nil {
		return 0, 0, err
	}
	if _, err := g.exec(t.blocks, from, edge); err != nil {
		return 0, 0, err
	}
	g.trimmed, g.removed = max(g.trimmed, uint64(edge)+1), true
	return examined, removed, nil
}

// trimmedTo returns the mark "trimmed", as this group sees it.
func (g *group) trimmedTo() uint64 {
	if g.trimmed > 0 {
		return max(g.s.trimmed.Load(), g.trimmed-1)
	}
	return g.s.trimmed.Load()
}

// leftover reports whether the event of a delivery at or below the mark exists. Call
// it before storing the delivery: an event whose delivery becomes ok may be released.
func (g *group) leftover(d *event.Delivery) (there bool, err error) {
	if err := g.queryRow(g.s.trim.there, datafile.Seq(d.Seq)).Scan(&there); err != nil || !there {
		return false, err
	}
	if d.Status == event.StatusOK {
		_, err = g.exec(g.s.trim.release, datafile.Seq(d.Seq))
	}
	return true, err
}
