// Package logread reads the events of a store's data file: pages of the log, single
// events, lists by type and subject. It passes over the damaged parts that an operator
// has skipped, and reports the others as *event.Unreadable.
//
// Read this file first, then damage.go and topics.go.
package logread

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/store/datafile"
)

// Config sets up a Reader. All fields are required, Lookup by Event and by a query with a key.
type Config struct {
	DB    *sql.DB
	Last  func() uint64                       // the highest Seq of the log
	Coded func(doing string, err error) error // wraps an error with the operation and gives it a code
	// Lookup returns the Seqs of the events that may have a key or id, with others.
	Lookup func(ctx context.Context, text string) ([]uint64, error)
	// Earlier says that the file has a schema before schema.Attempts: its events have no
	// origin.
	Earlier bool
}

// Reader reads the log of a data file. It is safe for concurrent use.
type Reader struct {
	cfg Config

	events, named, byKey, at, newest, newestOfTopic     *sql.Stmt
	bounds, blocks, eventOfSeq, skippedAt, skippedBelow *sql.Stmt
}

// New returns a Reader.
func New(ctx context.Context, cfg Config) (*Reader, error) {
	r := &Reader{cfg: cfg}
	record := `seq, envelope, origin`
	if cfg.Earlier {
		record = `seq, envelope, ''`
	}
	return r, datafile.Prepare(ctx, cfg.DB, datafile.Statements{
		&r.events:       `SELECT ` + record + ` FROM events WHERE seq >= ? ORDER BY seq LIMIT ?`,
		&r.eventOfSeq:   `SELECT ` + record + ` FROM events WHERE seq = ?`,
		&r.skippedAt:    `SELECT until FROM skipped WHERE seq <= ? ORDER BY seq DESC LIMIT 1`,
		&r.skippedBelow: `SELECT seq FROM skipped WHERE seq < ? ORDER BY seq DESC LIMIT 1`,
		// Not < ?, which looks for ? itself: its page may be damaged.
		&r.newest: `SELECT ` + record + ` FROM events WHERE seq <= ? - 1 ORDER BY seq DESC LIMIT ?`,
		&r.newestOfTopic: `SELECT ` + record + ` FROM events WHERE seq >= ?1 AND seq <= ?2 - 1
			AND (?3 = '' OR type = ?3) AND (?4 = '' OR subject = ?4) ORDER BY seq DESC LIMIT ?5`,
		&r.blocks: `SELECT stretch, topics FROM stretches WHERE stretch <= ? ORDER BY stretch DESC LIMIT ?`,
		&r.bounds: `SELECT coalesce((SELECT min(seq) FROM events), 0), coalesce((SELECT max(seq) FROM events), 0)`,
		&r.named:  `SELECT event_id IS ?2, ` + record + ` FROM events WHERE seq = ?1 AND (event_id = ?2 OR idempotency_key = ?2)`,
		&r.byKey:  `SELECT ` + record + ` FROM events WHERE seq = ?1 AND idempotency_key = ?2`,
		&r.at:     `SELECT seq, appended_at FROM events WHERE seq >= ? ORDER BY seq LIMIT 1`,
	})
}

// scanRecords reads rows of seq, envelope and origin. With an error it also returns the
// records before it; a row that is no event is *event.Unreadable.
func scanRecords(rows *sql.Rows, err error) ([]event.Record, error) {
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var records []event.Record
	var before event.Origin // of the event before, which often has the same
	var encoded string
	for rows.Next() {
		var seq int64
		var envelope, origin sql.RawBytes
		if err := rows.Scan(&seq, &envelope, &origin); err != nil {
			return records, err
		}
		if string(origin) != encoded {
			encoded = string(origin)
			before = event.ParseOrigin(encoded)
		}
		rec, err := parseRecord(uint64(seq), string(envelope), before)
		if err != nil {
			return records, err
		}
		records = append(records, rec)
	}
	return records, rows.Err()
}

func parseRecord(seq uint64, envelope string, origin event.Origin) (event.Record, error) {
	ev, err := event.ParseStored(envelope, origin)
	if err != nil {
		return event.Record{}, &event.Unreadable{Seq: seq, To: seq, Err: err}
	}
	return event.Record{Seq: seq, Event: ev}, nil
}

// Event returns the event with this event id or, when there is none, with this
// idempotency key. fault.NotFound when there is neither.
func (r *Reader) Event(ctx context.Context, id string) (event.Record, error) {
	const doing = "look up an event"
	rec, found, err := r.eventOf(ctx, id)
	if err != nil {
		return event.Record{}, r.cfg.Coded(doing, err)
	}
	if !found {
		return event.Record{}, fault.New(fault.NotFound, "there is no event with the id or idempotency key %q in the log", id)
	}
	return rec, nil
}

func (r *Reader) eventOf(ctx context.Context, id string) (rec event.Record, found bool, err error) {
	seqs, err := r.cfg.Lookup(ctx, id)
	if err != nil {
		return rec, false, err
	}
	for _, seq := range seqs {
		var isID bool
		var envelope, origin string
		err := r.named.QueryRowContext(ctx, datafile.Seq(seq), id).Scan(&isID, &seq, &envelope, &origin)
		if errors.Is(err, sql.ErrNoRows) || err == nil && found && !isID {
			continue
		}
		if err != nil {
			return rec, false, err
		}
		if rec, err = parseRecord(seq, envelope, event.ParseOrigin(origin)); err != nil {
			return rec, false, err
		}
		if found = true; isID {
			break
		}
	}
	return rec, found, nil
}

// recordsOfKey returns the event with an idempotency key, if there is one.
func (r *Reader) recordsOfKey(ctx context.Context, key string) ([]event.Record, error) {
	seqs, err := r.cfg.Lookup(ctx, key)
	if err != nil {
		return nil, err
	}
	for _, seq := range seqs {
		rows, err := r.byKey.QueryContext(ctx, datafile.Seq(seq), key)
		if records, err := scanRecords(rows, err); err != nil || len(records) > 0 {
			return records, err
		}
	}
	return nil, nil
}

// Events returns the newest events that q selects, newest first. fault.Invalid
// when q.Limit is not 1 to 1000.
func (r *Reader) Events(ctx context.Context, q event.Query) ([]event.Record, error) {
	const doing = "list events"
	if q.Limit < 1 || q.Limit > 1000 {
		return nil, fault.Field("limit", "is %d, but must be 1 to 1000", q.Limit)
	}
	records, err := r.list(ctx, q)
	if err != nil {
		return nil, r.cfg.Coded(doing, err)
	}
	return records, nil
}

// SeqAt returns the Seq of the first event that was appended at or after t, or
// Last()+1 when there is none yet.
func (r *Reader) SeqAt(ctx context.Context, t time.Time) (uint64, error) {
	const doing = "find a time in the log"
	// appended_at never decreases: a binary search needs no index.
	low, high := uint64(1), r.cfg.Last()+1
	for low < high {
		mid := low + (high-low)/2
		seq, at, err := r.appendedFrom(ctx, mid)
		switch {
		case errors.Is(err, sql.ErrNoRows) || err == nil && uint64(seq) >= high:
			high = mid // no event is from mid to high
		case err != nil:
			return 0, r.cfg.Coded(doing, err)
		case before(at, t):
			low = uint64(seq) + 1
		default:
			high = mid
		}
	}
	// high may lie in a gap: the next event is the one.
	seq, _, err := r.appendedFrom(ctx, high)
	if errors.Is(err, sql.ErrNoRows) {
		return r.cfg.Last() + 1, nil
	}
	return uint64(seq), r.cfg.Coded(doing, err)
}

// appendedFrom returns the first event from a Seq on, and when it was appended. It
// passes over skipped events.
func (r *Reader) appendedFrom(ctx context.Context, from uint64) (seq, at int64, err error) {
	for {
		err = r.at.QueryRowContext(ctx, datafile.Seq(from)).Scan(&seq, &at)
		if !datafile.Damaged(err) {
			return seq, at, err
		}
		next, skipped, failed := r.afterSkipped(ctx, from)
		if failed != nil || !skipped {
			return 0, 0, errors.Join(err, failed)
		}
		from = next
	}
}

func before(unixNano int64, t time.Time) bool { return time.Unix(0, unixNano).Before(t) }
