package store

import (
	"context"
	"database/sql"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/store/datafile"
	"github.com/berth-host/berth/host/store/outcomes"
)

// readStatements are prepared on the reader pool.
type readStatements struct {
	cursor, cursors, status *sql.Stmt
	deliveries              *sql.Stmt
	newestAt, nextPlain     *sql.Stmt
}

func (r *readStatements) prepare(ctx context.Context, db *sql.DB) error {
	const deliveries = `SELECT ` + outcomes.Columns + ` FROM deliveries `
	return datafile.Prepare(ctx, db, datafile.Statements{
		&r.cursor:  `SELECT seq FROM cursors WHERE name = ?`,
		&r.cursors: `SELECT name, seq FROM cursors ORDER BY name`,
		&r.status: `SELECT events, bytes, scheduled, scheduled_bytes, (SELECT max((SELECT coalesce(max(seq), 0) FROM events), (SELECT coalesce(max(seq), 0)
			FROM marks))),
			coalesce((SELECT seq FROM events ORDER BY seq LIMIT 1), 0),
				coalesce((SELECT appended_at FROM events ORDER BY seq LIMIT 1), 0) FROM log_size`,
		&r.deliveries: deliveries + `WHERE seq = ? ORDER BY handler`,
		&r.nextPlain:  `SELECT handler, seq FROM deliveries WHERE (handler, seq) > (?, ?) AND seq > ? AND ` + isPlain + ` ORDER BY handler, seq LIMIT 1`,
		&r.newestAt:   `SELECT coalesce((SELECT appended_at FROM events ORDER BY seq DESC LIMIT 1), 0)`,
	})
}

// Last returns the highest Seq that is durable, also when that event has been trimmed;
// 0 when there never was one.
func (s *Store) Last() uint64 { return s.last() }

// Wait returns nil as soon as Last is above after. It returns an error that wraps
// the context's when ctx ends first, and fault.Unavailable when the store is closed.
func (s *Store) Wait(ctx context.Context, after uint64) error {
	const doing = "wait for events"
	if s.closed() {
		return s.coded(doing, errClosed())
	}
	err := s.window.Wait(ctx, after, s.closing)
	if err == nil && s.last() <= after {
		err = errClosed()
	}
	return s.coded(doing, err)
}

const maxRead = 4096 // records that one Read returns at most

// Read returns the events from Seq from on, ascending, at most limit (at least 1; more
// than 4096 is read as 4096). None means that the log ends before from. The caller
// must not write to the result: it can be shared. Where the log is damaged the error
// wraps *event.Unreadable, until it is skipped.
func (s *Store) Read(ctx context.Context, from uint64, limit int) ([]event.Record, error) {
	const doing = "read the log"
	if limit < 1 {
		return nil, fault.New(fault.Invalid, "%s: the limit is %d, but must be at least 1", doing, limit)
	}
	if err := ctx.Err(); err != nil {
		return nil, s.coded(doing, err)
	}
	if s.closed() {
		return nil, s.coded(doing, errClosed())
	}
	limit = min(limit, maxRead)
	if records, ok := s.window.Read(from, limit); ok {
		return records, nil
	}
	records, err := s.eventReader.Read(ctx, from, limit)
	return records, s.coded(doing, err)
}
