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
		&t.edge:               `SELECT count(*), coalesce(max(seq), 0) FROM (SELECT seq FROM events WHERE seq > ? AND seq < ? ORDER BY seq LIMIT ?)`,
		&t.events:             `DELETE FROM events WHERE seq > ? AND seq <= ?` + notKept,
		&t.deliveries:         `DELETE FROM deliveries WHERE seq > ? AND seq <= ?` + orphaned,
		&t.releasedEdge:       `SELECT count(*), coalesce(max(seq), 0) FROM (SELECT seq FROM released WHERE seq < ? ORDER BY seq LIMIT ?)`,
		&t.releasedEvents:     `DELETE FROM events` + released + notKept,
		&t.releasedDeliveries: `DELETE FROM deliveries` + released + orphaned,
		&t.clearQueue:         `DELETE FROM released WHERE seq <= ?`,
		&t.release:            `INSERT OR IGNORE INTO released VALUES (?)`,
		&t.blocks:             `DELETE FROM stretches WHERE stretch >= ? >> 8 AND stretch < ? >> 8` + empty,
		&t.releasedBlocks:     `DELETE FROM stretches WHERE stretch IN (SELECT seq >> 8 FROM released WHERE seq <= ?)` + empty,
		&t.restamp:            `UPDATE events SET appended_at = ? WHERE seq IN (SELECT seq FROM events WHERE seq >= ? ORDER BY seq LIMIT ?)`,
		&t.there:              `SELECT EXISTS (SELECT 1 FROM events WHERE seq = ?)`,
	})
}

// trimStep is how many events one group looks at, at most.
const trimStep = 512

// Trim removes the events below before, with their deliveries, oldest first,
// and answers how many events it removed. An event stays, with all its
// deliveries, as long as one of these is a dead letter or is not final. Besides
// that it asks nobody: the caller knows which events are still wanted. Keys of
// removed events can be used again; their Seqs are not. On an error, what was
// removed until then stays removed. Trim also mends times of the future; see restamp.
// It goes in small transactions and pauses between them, so that publishers do not
// wait for a long trim; see pace.
//
// Every event is looked at once. The mark "trimmed" says how far that went:
// what is left up to there are leftovers, each with something that keeps it.
// When that ends, the event's Seq goes into the table released in the same
// transaction, and the next Trim looks at it again.
func (s *Store) Trim(ctx context.Context, before uint64) (total int, err error) {
	if err := s.restamp(ctx); err != nil {
		return 0, err
	}
	p := newPace(trimStep)
	for {
		step := p.step
		var looked, removed int64
		err := s.paced(ctx, "trim the log", p, func(g *group) error {
			freedOf, freed, err := g.trimReleased(before, step)
			if err != nil {
				return err
			}
			sweptOf, swept, err := g.sweep(before, step)
			looked, removed = max(freedOf, sweptOf), freed+swept
			return err
		})
		if err != nil {
			return total, err
		}
		total += int(removed)
		if looked < int64(step) {
			return total, nil
		}
		if err := s.pause(ctx, "trim the log", p); err != nil {
			return total, err
		}
	}
}

// trimReleased removes leftovers that nothing keeps any more, and answers how
// many it looked at and removed.
func (g *group) trimReleased(before uint64, step int) (looked, removed int64, err error) {
	t := &g.s.trim
	var edge int64
	if err := g.queryRow(t.releasedEdge, datafile.Seq(before), step).Scan(&looked, &edge); err != nil || looked == 0 {
		return 0, 0, err
	}
	if removed, err = g.exec(t.releasedEvents, edge); err != nil {
		return 0, 0, err
	}
	if _, err := g.exec(t.releasedDeliveries, edge); err != nil {
		return 0, 0, err
	}
	if _, err := g.exec(t.releasedBlocks, edge); err != nil {
		return 0, 0, err
	}
	_, err = g.exec(t.clearQueue, edge)
	g.removed = true
	return looked, removed, err
}

// sweep goes on from the mark, and answers like trimReleased.
func (g *group) sweep(before uint64, step int) (looked, removed int64, err error) {
	t := &g.s.trim
	from, edge := datafile.Seq(g.trimmedTo()), int64(0)
	if err := g.queryRow(t.edge, from, datafile.Seq(before), step).Scan(&looked, &edge); err != nil || looked == 0 {
		return 0, 0, err
	}
	if removed, err = g.exec(t.events, from, edge); err != nil {
		return 0, 0, err
	}
	if _, err := g.exec(t.deliveries, from, edge); err != nil {
		return 0, 0, err
	}
	if _, err := g.exec(g.s.write.setMark, "trimmed", edge); err != nil {
		return 0, 0, err
	}
	if _, err := g.exec(t.blocks, from, edge); err != nil {
		return 0, 0, err
	}
	g.trimmed, g.removed = max(g.trimmed, uint64(edge)+1), true
	return looked, removed, nil
}

// trimmedTo is the mark "trimmed", as this group sees it.
func (g *group) trimmedTo() uint64 {
	if g.trimmed > 0 {
		return max(g.s.trimmed.Load(), g.trimmed-1)
	}
	return g.s.trimmed.Load()
}

// leftover is asked before a delivery at or below the mark is stored: whether
// its event is there. When the delivery is ok, the event may be free to go.
func (g *group) leftover(d *event.Delivery) (there bool, err error) {
	if err := g.queryRow(g.s.trim.there, datafile.Seq(d.Seq)).Scan(&there); err != nil || !there {
		return false, err
	}
	if d.Status == event.StatusOK {
		_, err = g.exec(g.s.trim.release, datafile.Seq(d.Seq))
	}
	return true, err
}
