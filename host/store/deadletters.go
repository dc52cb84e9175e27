package store

import (
	"context"
	"database/sql"
	"slices"
	"time"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/store/backlog"
	"github.com/berth-host/berth/host/store/datafile"
	"github.com/berth-host/berth/host/store/deadletters"
)

// replayStatements are prepared on the writer's connection.
type replayStatements struct {
	setReplay, getReplay, deleteReplay     *sql.Stmt
	getCursor, anyDelivery, releaseHandler *sql.Stmt
}

func (l *replayStatements) prepare(ctx context.Context, db *sql.DB) error {
	return datafile.Prepare(ctx, db, datafile.Statements{
		&l.getCursor:    `SELECT seq FROM cursors WHERE name = ?`,
		&l.anyDelivery:  backlog.AnyDelivery,
		&l.setReplay:    `INSERT OR REPLACE INTO replays (handler, from_seq, to_seq, resume, started_at) VALUES (?, ?, ?, ?, ?)`,
		&l.getReplay:    `SELECT from_seq, to_seq, resume, started_at FROM replays WHERE handler = ?`,
		&l.deleteReplay: `DELETE FROM replays WHERE handler = ?`,
		&l.releaseHandler: `INSERT OR IGNORE INTO released SELECT seq FROM deliveries INDEXED BY deliveries_kept
			WHERE status <> 'ok' AND purged = 0 AND handler = ?1 AND seq <= ?2`,
	})
}

// deadBatch is the maximum number of deliveries that one group redrives, purges or
// requeues, so that publishers do not wait for many.
const deadBatch = 512

// DeadLetters returns the dead letters that a filter selects, with their events,
// newest event first: at most limit (1 to 1000), and fewer when the events are large.
// next is the cursor for more, or "". A malformed cursor is fault.Invalid.
func (s *Store) DeadLetters(ctx context.Context, f event.DeadFilter, cursor string,
	limit int) (list []event.DeadLetter, next string, err error) {
	const doing = "read dead letters"
	if limit < 1 || limit > 1000 {
		return nil, "", fault.Field("limit", "is %d, but must be 1 to 1000", limit)
	}
	position, err := event.ParseDeadPosition(cursor)
	if err != nil {
		return nil, "", err
	}
	filter, any, err := s.deadFilter(ctx, f)
	if err != nil || !any {
		return nil, "", s.coded(doing, err)
	}
	list, more, err := s.deadList.List(ctx, filter, position, limit)
	if err != nil {
		return nil, "", s.coded(doing, err)
	}
	if more {
		next = list[len(list)-1].Position().String()
	}
	return list, next, nil
}

// deadFilter looks up the event that a filter names. any is false when there is none.
func (s *Store) deadFilter(ctx context.Context, f event.DeadFilter) (filter deadletters.Filter, any bool, err error) {
	filter.DeadFilter = f
	if f.EventID == "" {
		return filter, true, nil
	}
	rec, err := s.Event(ctx, f.EventID)
	if fault.Is(err, fault.NotFound) {
		return filter, false, nil
	}
	filter.Seq = rec.Seq
	return filter, err == nil, err
}

// Redrive makes the dead letters that a filter selects pending again, without an
// attempt, and returns their number. It commits in steps: on an error, the ones
// redriven so far stay redriven. A delivery that dies again meanwhile is not redriven
// twice.
func (s *Store) Redrive(ctx context.Context, f event.DeadFilter) (int, error) {
	return s.changeDead(ctx, "redrive dead letters", f, func(g *group, p event.DeadPosition) (bool, error) {
		return s.dead.Redrive(conn{g}, p, s.now())
	})
}

// Purge discards the dead letters that a filter selects, and returns their number:
// their deliveries stay dead, but cannot be redriven, and no longer keep their events
// in the log. On an error, the ones purged so far stay purged.
func (s *Store) Purge(ctx context.Context, f event.DeadFilter) (int, error) {
	return s.changeDead(ctx, "purge dead letters", f, func(g *group, p event.DeadPosition) (bool, error) {
		changed, err := s.dead.Purge(conn{g}, p)
		if err == nil && changed && p.Seq <= g.trimmedTo() {
			_, err = g.exec(s.trim.release, datafile.Seq(p.Seq))
		}
		return changed, err
	})
}

// changeDead finds dead letters with the readers' connections, and lets the writer
// change them in batches, each once.
func (s *Store) changeDead(ctx context.Context, doing string, f event.DeadFilter,
	change func(*group, event.DeadPosition) (bool, error)) (total int, err error) {
	filter, any, err := s.deadFilter(ctx, f)
	if err != nil || !any {
		return 0, s.coded(doing, err)
	}
	var after event.DeadPosition
	for {
		batch, err := s.deadList.Positions(ctx, filter, after, deadBatch)
		if err != nil {
			return total, s.coded(doing, err)
		}
		if len(batch) == 0 {
			return total, nil
		}
		after = batch[len(batch)-1]
		count := 0
		o := &op{events: len(batch), run: func(g *group) error {
			for _, p := range batch {
				changed, err := change(g, p)
				if err != nil {
					return err
				}
				if changed {
					count++
				}
			}
			return nil
		}}
		if err := s.submit(ctx, doing, o); err != nil {
			return total, err
		}
		total += count
	}
}

// Requeue makes deliveries of a handler pending, without an attempt, and returns their
// number: those of the events of these Seqs that the handler has had, with or without an
// outcome, and that are in the log. Deliveries that are not final are unchanged, and so are
// those of events that the handler still gets by itself, also in a replay. It commits in
// steps: on an error, the ones that are pending so far remain so.
func (s *Store) Requeue(ctx context.Context, handler string, seqs []uint64) (total int, err error) {
	const doing = "requeue deliveries"
	seqs = slices.Compact(slices.Sorted(slices.Values(seqs)))
	for batch := range slices.Chunk(seqs, deadBatch) {
		packed, err := s.packedAbove(ctx, handler, batch)
		if err != nil {
			return total, s.coded(doing, err)
		}
		n := 0
		o := &op{events: len(batch), run: func(g *group) (err error) {
			p := deadletters.Progress{Handler: handler, Packed: packed}
			if p.Cursor, p.Replay, err = g.progress(handler); err == nil {
				n, err = s.dead.Requeue(conn{g}, p, batch, s.now())
			}
			return err
		}}
		if err := s.submit(ctx, doing, o); err != nil {
			return total, err
		}
		total += n
	}
	return total, nil
}

// packedAbove returns the times of a handler's outcomes in blocks, for those of the Seqs
// that are above its cursor: normally none. The writer would have to read blocks for them.
func (s *Store) packedAbove(ctx context.Context, handler string, seqs []uint64) (map[uint64]time.Time, error) {
	cursor, _, err := s.Cursor(ctx, handlerCursor(handler))
	above, _ := slices.BinarySearch(seqs, cursor+1)
	if err != nil || above == len(seqs) {
		return nil, err
	}
	return s.packed.TimesOf(ctx, s.reader, handler, seqs[above:])
}

// DeadCounts returns the number of dead letters of each handler that has any.
func (s *Store) DeadCounts(ctx context.Context) (map[string]uint64, error) {
	counts, err := s.deadList.Counts(ctx)
	return counts, s.coded("count dead letters", err)
}

// CountRedriven counts a handler's pending deliveries from one Seq to another, both
// included.
func (s *Store) CountRedriven(ctx context.Context, handler string, from, to uint64) (int, error) {
	n, err := s.deadList.CountPending(ctx, handler, from, to)
	return n, s.coded("count redriven deliveries", err)
}

// Redriven returns a handler's pending deliveries above a Seq, ascending, at
// most limit.
func (s *Store) Redriven(ctx context.Context, handler string, after uint64, limit int) ([]event.Delivery, error) {
	list, err := s.deadList.Pending(ctx, handler, after, limit)
	return list, s.coded("read redriven deliveries", err)
}
