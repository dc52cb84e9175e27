package store

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/store/datafile"
	"github.com/berth-host/berth/host/store/outcomes"
)

// deadStatements are prepared on the writer's connection.
type deadStatements struct {
	redrive, purge                         *sql.Stmt
	setReplay, getReplay, deleteReplay     *sql.Stmt
	getCursor, anyDelivery, releaseHandler *sql.Stmt
}

func (l *deadStatements) prepare(ctx context.Context, db *sql.DB) error {
	const one = ` WHERE handler = ? AND seq = ? AND status = 'dead' AND purged = 0`
	return datafile.Prepare(ctx, db, datafile.Statements{
		&l.redrive: `UPDATE deliveries SET status = 'pending', attempts = 0, result = '', error_class = '', error_message = '',
			duration = 0, fuel = 0, at = ?, due = 0, first_at = 0, digest = ''` + one,
		&l.purge:        `UPDATE deliveries SET purged = 1` + one,
		&l.getCursor:    `SELECT seq FROM cursors WHERE name = ?`,
		&l.anyDelivery:  anyDelivery,
		&l.setReplay:    `INSERT OR REPLACE INTO replays (handler, from_seq, to_seq, resume, started_at) VALUES (?, ?, ?, ?, ?)`,
		&l.getReplay:    `SELECT from_seq, to_seq, resume, started_at FROM replays WHERE handler = ?`,
		&l.deleteReplay: `DELETE FROM replays WHERE handler = ?`,
		&l.releaseHandler: `INSERT OR IGNORE INTO released SELECT seq FROM deliveries INDEXED BY deliveries_kept
			WHERE status <> 'ok' AND purged = 0 AND handler = ?1 AND seq <= ?2`,
	})
}

const (
	// deadBatch is the maximum number of dead letters that one group changes, so that
	// publishers do not wait for many.
	deadBatch = 512
	// maxDeadPageBytes ends a page of dead letters, which contains their events.
	maxDeadPageBytes = 16 << 20
)

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
	list, more, err := s.deadLetters(ctx, f, position, limit)
	if err != nil {
		return nil, "", s.coded(doing, err)
	}
	if more {
		next = list[len(list)-1].Position().String()
	}
	return list, next, nil
}

func (s *Store) deadLetters(ctx context.Context, f event.DeadFilter, after event.DeadPosition,
	limit int) (list []event.DeadLetter, more bool, err error) {
	rows, err := s.selectDead(ctx, "d."+strings.ReplaceAll(outcomes.Columns, ", ", ", d.")+", e.envelope", f, after, limit+1)
	if err != nil || rows == nil {
		return nil, false, err
	}
	defer rows.Close()
	bytes := 0
	for rows.Next() {
		if len(list) == limit || bytes > maxDeadPageBytes {
			return list, true, nil
		}
		var d event.Delivery
		var envelope string
		if err := outcomes.ScanDelivery(rows, &d, &envelope); err != nil {
			return nil, false, err
		}
		ev, err := event.Parse(envelope)
		if err != nil {
			return nil, false, fmt.Errorf("event %d: %w", d.Seq, err)
		}
		list = append(list, d.DeadLetter(ev))
		bytes += len(envelope)
	}
	return list, false, rows.Err()
}

// selectDead queries columns of the dead letters (d) that f selects and their events
// (e), in the list's order after a position. It returns nil when f names an event that
// does not exist.
func (s *Store) selectDead(ctx context.Context, columns string, f event.DeadFilter, after event.DeadPosition,
	limit int) (*sql.Rows, error) {
	index := "deliveries_kept"
	if f.Handler != "" {
		index = "deliveries_dead"
	}
	text := `SELECT ` + columns + ` FROM deliveries AS d INDEXED BY ` + index + ` CROSS JOIN events AS e ON e.seq = d.seq
		WHERE d.status <> 'ok' AND d.status = 'dead' AND d.purged = 0`
	var args []any
	where := func(condition string, values ...any) {
		text += " AND " + condition
		args = append(args, values...)
	}
	if f.EventID != "" {
		rec, err := s.Event(ctx, f.EventID)
		if fault.Is(err, fault.NotFound) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		where("d.seq = ?", datafile.Seq(rec.Seq))
	}
	if f.Handler != "" {
		where("d.handler = ?", f.Handler)
	}
	if after != (event.DeadPosition{}) {
		where("(d.seq, d.handler) < (?, ?)", datafile.Seq(after.Seq), after.Handler)
	}
	if f.Type != "" {
		where("e.type = ?", f.Type)
	}
	if f.Subject != "" {
		where("e.subject = ?", f.Subject)
	}
	if f.Class != "" {
		where("d.error_class = ?", string(f.Class))
	}
	if !f.Since.IsZero() {
		where("d.at >= ?", f.Since.UnixNano())
	}
	if !f.Until.IsZero() {
		where("d.at < ?", f.Until.UnixNano())
	}
	return s.reader.QueryContext(ctx, text+` ORDER BY d.seq DESC, d.handler DESC LIMIT ?`, append(args, limit)...)
}

// Redrive makes the dead letters that a filter selects pending again, without an
// attempt, and returns their number. It commits in steps: on an error, the ones
// redriven so far stay redriven. A delivery that dies again meanwhile is not redriven
// twice.
func (s *Store) Redrive(ctx context.Context, f event.DeadFilter) (int, error) {
	return s.changeDead(ctx, "redrive dead letters", f, func(g *group, p event.DeadPosition) (int64, error) {
		return g.exec(s.dead.redrive, s.now().UnixNano(), p.Handler, datafile.Seq(p.Seq))
	})
}

// Purge discards the dead letters that a filter selects, and returns their number:
// their deliveries stay dead, but cannot be redriven, and no longer keep their events
// in the log. On an error, the ones purged so far stay purged.
func (s *Store) Purge(ctx context.Context, f event.DeadFilter) (int, error) {
	return s.changeDead(ctx, "purge dead letters", f, func(g *group, p event.DeadPosition) (int64, error) {
		n, err := g.exec(s.dead.purge, p.Handler, datafile.Seq(p.Seq))
		if err == nil && n > 0 && p.Seq <= g.trimmedTo() {
			_, err = g.exec(s.trim.release, datafile.Seq(p.Seq))
		}
		return n, err
	})
}

// changeDead finds dead letters with the readers' connections, and lets the writer
// change them in batches, each once.
func (s *Store) changeDead(ctx context.Context, doing string, f event.DeadFilter,
	change func(*group, event.DeadPosition) (int64, error)) (total int, err error) {
	var after event.DeadPosition
	for {
		batch, err := s.deadPositions(ctx, f, after)
		if err != nil {
			return total, s.coded(doing, err)
		}
		if len(batch) == 0 {
			return total, nil
		}
		after = batch[len(batch)-1]
		changed := 0
		o := &op{events: len(batch), run: func(g *group) error {
			for _, p := range batch {
				n, err := change(g, p)
				if err != nil {
					return err
				}
				changed += int(n)
			}
			return nil
		}}
		if err := s.submit(ctx, doing, o); err != nil {
			return total, err
		}
		total += changed
	}
}

func (s *Store) deadPositions(ctx context.Context, f event.DeadFilter, after event.DeadPosition) ([]event.DeadPosition, error) {
	rows, err := s.selectDead(ctx, "d.seq, d.handler", f, after, deadBatch)
	if err != nil || rows == nil {
		return nil, err
	}
	var list []event.DeadPosition
	var seq int64
	var handler string
	err = datafile.Each(rows, nil, func() { list = append(list, event.DeadPosition{Seq: uint64(seq), Handler: handler}) }, &seq, &handler)
	return list, err
}

// DeadCounts returns the number of dead letters of each handler that has any.
func (s *Store) DeadCounts(ctx context.Context) (map[string]uint64, error) {
	counts := make(map[string]uint64)
	var handler string
	var n uint64
	rows, err := s.read.deadCounts.QueryContext(ctx)
	err = datafile.Each(rows, err, func() { counts[handler] = n }, &handler, &n)
	return counts, s.coded("count dead letters", err)
}

// CountRedriven counts a handler's pending deliveries from one Seq to another, both
// included.
func (s *Store) CountRedriven(ctx context.Context, handler string, from, to uint64) (n int, err error) {
	const doing = "count redriven deliveries"
	err = s.read.countRedriven.QueryRowContext(ctx, handler, datafile.Seq(from), datafile.Seq(to)).Scan(&n)
	return n, s.coded(doing, err)
}

// Redriven returns a handler's pending deliveries above a Seq, ascending, at
// most limit.
func (s *Store) Redriven(ctx context.Context, handler string, after uint64, limit int) ([]event.Delivery, error) {
	const doing = "read redriven deliveries"
	rows, err := s.read.redriven.QueryContext(ctx, handler, datafile.Seq(after), limit)
	list, err := outcomes.ScanDeliveries(rows, err)
	return list, s.coded(doing, err)
}
