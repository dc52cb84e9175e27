package store

import (
	"context"
	"database/sql"
	"errors"
	"math"
	"time"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/store/datafile"
)

// readStatements are prepared on the reader pool.
type readStatements struct {
	events, event, byKey, at             *sql.Stmt
	cursor, cursors, status              *sql.Stmt
	newest, newestOfTopic                *sql.Stmt
	bounds, blocks                       *sql.Stmt
	deliveries, openDeliveries, doneSeqs *sql.Stmt
	newestDelivery, redriven, replay     *sql.Stmt
	countRedriven                        *sql.Stmt
	newestOutcome, newestAt              *sql.Stmt
	kvGet, deadCounts                    *sql.Stmt
	eventOfSeq, skippedAt                *sql.Stmt
	skippedBelow                         *sql.Stmt
}

func (r *readStatements) prepare(ctx context.Context, db *sql.DB) error {
	const deliveries = `SELECT ` + deliveryColumns + ` FROM deliveries `
	return prepare(ctx, db, []statement{
		{&r.events, `SELECT seq, envelope FROM events WHERE seq >= ? ORDER BY seq LIMIT ?`},
		{&r.eventOfSeq, `SELECT seq, envelope FROM events WHERE seq = ?`},
		{&r.skippedAt, `SELECT until FROM skipped WHERE seq <= ? ORDER BY seq DESC LIMIT 1`},
		{&r.skippedBelow, `SELECT seq FROM skipped WHERE seq < ? ORDER BY seq DESC LIMIT 1`},
		{&r.newest, `SELECT seq, envelope FROM events WHERE seq <= ? - 1 ORDER BY seq DESC LIMIT ?`}, // not < ?, which looks for ? itself: its page may be damaged,
		{&r.newestOfTopic, `SELECT seq, envelope FROM events WHERE seq >= ?1 AND seq <= ?2 - 1
			AND (?3 = '' OR type = ?3) AND (?4 = '' OR subject = ?4) ORDER BY seq DESC LIMIT ?5`},
		{&r.blocks, `SELECT stretch, topics FROM stretches WHERE stretch <= ? ORDER BY stretch DESC LIMIT ?`},
		{&r.bounds, `SELECT coalesce((SELECT min(seq) FROM events), 0), coalesce((SELECT max(seq) FROM events), 0)`},
		{&r.event, `SELECT seq, envelope FROM (
			SELECT 1 AS rank, seq, envelope FROM events WHERE event_id = ?1
			UNION ALL SELECT 2, seq, envelope FROM events WHERE idempotency_key = ?1) ORDER BY rank LIMIT 1`},
		{&r.byKey, `SELECT seq, envelope FROM events WHERE idempotency_key = ?`},
		{&r.at, `SELECT seq, appended_at FROM events WHERE seq >= ? ORDER BY seq LIMIT 1`},
		{&r.cursor, `SELECT seq FROM cursors WHERE name = ?`},
		{&r.cursors, `SELECT name, seq FROM cursors ORDER BY name`},
		{&r.status, `SELECT events, bytes, (SELECT max((SELECT coalesce(max(seq), 0) FROM events), (SELECT coalesce(max(seq), 0) FROM marks))),
			coalesce((SELECT seq FROM events ORDER BY seq LIMIT 1), 0), coalesce((SELECT appended_at FROM events ORDER BY seq LIMIT 1), 0) FROM log_size`},
		{&r.deliveries, deliveries + `WHERE seq = ? ORDER BY handler`},
		{&r.openDeliveries, deliveries + `INDEXED BY deliveries_open WHERE handler = ? AND status NOT IN ('ok', 'dead') AND status IN ('retrying', 'delivering') ORDER BY seq`},
		{&r.redriven, deliveries + `INDEXED BY deliveries_open WHERE handler = ? AND status NOT IN ('ok', 'dead') AND status = 'pending' AND seq > ? ORDER BY seq LIMIT ?`},
		{&r.countRedriven, `SELECT count(*) FROM deliveries INDEXED BY deliveries_open WHERE handler = ? AND status NOT IN ('ok', 'dead') AND status = 'pending' AND seq >= ? AND seq <= ?`},
		{&r.doneSeqs, `SELECT seq, at FROM deliveries WHERE handler = ? AND seq > ? AND seq <= ? AND status IN ('ok', 'dead') ORDER BY seq`},
		{&r.replay, `SELECT from_seq, to_seq, resume, started_at FROM replays WHERE handler = ?`},
		{&r.newestDelivery, `SELECT coalesce((SELECT max(seq) FROM deliveries WHERE handler = ?), 0)`},
		{&r.newestAt, `SELECT coalesce((SELECT appended_at FROM events ORDER BY seq DESC LIMIT 1), 0)`},
		{&r.newestOutcome, `SELECT coalesce(max(at), 0) FROM deliveries WHERE handler = ? AND seq >= ? AND seq <= ? AND status IN ('ok', 'dead')`},
		{&r.deadCounts, `SELECT handler, count(*) FROM deliveries INDEXED BY deliveries_dead WHERE status = 'dead' AND purged = 0 GROUP BY handler`},
		{&r.kvGet, `SELECT value FROM kv WHERE plugin = ? AND key = ?`},
	})
}

// sqlSeq is a Seq as SQLite can hold it. None is above that.
func sqlSeq(seq uint64) int64 { return int64(min(seq, math.MaxInt64)) }

// scanRecords reads rows of seq and envelope. On an error it answers what came
// before it as well; a row that is no event is *event.Unreadable.
func scanRecords(rows *sql.Rows, err error) ([]event.Record, error) {
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var records []event.Record
	for rows.Next() {
		var seq int64
		var envelope sql.RawBytes
		if err := rows.Scan(&seq, &envelope); err != nil {
			return records, err
		}
		ev, err := event.Parse(string(envelope))
		if err != nil {
			return records, &event.Unreadable{Seq: uint64(seq), To: uint64(seq), Err: err}
		}
		records = append(records, event.Record{Seq: uint64(seq), Event: ev})
	}
	return records, rows.Err()
}

// Event returns the event with this event id or, when there is none, with this
// idempotency key. fault.NotFound when there is neither.
func (s *Store) Event(ctx context.Context, id string) (event.Record, error) {
	const doing = "look up an event"
	if s.closed() {
		return event.Record{}, s.coded(doing, errClosed())
	}
	rows, err := s.read.event.QueryContext(ctx, id)
	records, err := scanRecords(rows, err)
	if err != nil {
		return event.Record{}, s.coded(doing, err)
	}
	if len(records) == 0 {
		return event.Record{}, fault.New(fault.NotFound, "there is no event with the id or idempotency key %q in the log", id)
	}
	return records[0], nil
}

// Events returns the newest events that q selects, newest first. fault.Invalid
// when q.Limit is not 1 to 1000.
func (s *Store) Events(ctx context.Context, q event.Query) ([]event.Record, error) {
	const doing = "list events"
	if q.Limit < 1 || q.Limit > 1000 {
		return nil, fault.Field("limit", "is %d, but must be 1 to 1000", q.Limit)
	}
	if s.closed() {
		return nil, s.coded(doing, errClosed())
	}
	records, err := s.list(ctx, q)
	if err != nil {
		return nil, s.coded(doing, err)
	}
	return records, nil
}

// SeqAt returns the Seq of the first event that was appended at or after t, or
// Last()+1 when there is none yet: where to trim or to replay from.
func (s *Store) SeqAt(ctx context.Context, t time.Time) (uint64, error) {
	const doing = "find a time in the log"
	if s.closed() {
		return 0, s.coded(doing, errClosed())
	}
	// appended_at never goes back, so a search by halves finds it without an index.
	low, high := uint64(1), s.Last()+1
	for low < high {
		mid := low + (high-low)/2
		seq, at, err := s.appendedFrom(ctx, mid)
		switch {
		case errors.Is(err, sql.ErrNoRows) || err == nil && uint64(seq) >= high:
			high = mid // nothing is left from mid to high
		case err != nil:
			return 0, s.coded(doing, err)
		case before(at, t):
			low = uint64(seq) + 1
		default:
			high = mid
		}
	}
	// high may lie in a gap; the event it stands for is the next one.
	seq, _, err := s.appendedFrom(ctx, high)
	if errors.Is(err, sql.ErrNoRows) {
		return s.Last() + 1, nil
	}
	return uint64(seq), s.coded(doing, err)
}

// appendedFrom answers the first event from a Seq on, and when it was appended. It
// passes over what was skipped.
func (s *Store) appendedFrom(ctx context.Context, from uint64) (seq, at int64, err error) {
	for {
		err = s.read.at.QueryRowContext(ctx, sqlSeq(from)).Scan(&seq, &at)
		if !datafile.Damaged(err) {
			return seq, at, err
		}
		next, skipped, failed := s.afterSkipped(ctx, from)
		if failed != nil || !skipped {
			return 0, 0, errors.Join(err, failed)
		}
		from = next
	}
}

func before(unixNano int64, t time.Time) bool { return time.Unix(0, unixNano).Before(t) }
