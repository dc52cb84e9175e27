package pglog

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/berth-host/berth/host/event"
)

// Head is the row of the table head. The transaction that has it changes its fields, and
// stores them with Save or Insert.
type Head struct {
	Store                string // identifies the log
	Seq                  uint64 // the highest that was given
	Events, Bytes        int64  // as in event.LogStatus
	At                   int64  // of the last append, unix ns
	Trimmed              uint64 // see Log.Trim
	Scheduled, Cancelled int64  // events in the table scheduled
	ScheduledBytes       int64  // of those that are not cancelled; Bytes includes them
	// Now is the time of the transaction. LockHead sets the present one.
	Now time.Time
}

const headColumns = `store, seq, events, bytes, at, trimmed, scheduled, cancelled, scheduled_bytes`

func readHead(ctx context.Context, tx pgx.Tx, suffix string) (*Head, error) {
	h := &Head{Now: time.Now()}
	var seq, trimmed int64
	err := tx.QueryRow(ctx, `SELECT `+headColumns+` FROM head`+suffix).Scan(&h.Store, &seq, &h.Events, &h.Bytes, &h.At, &trimmed,
		&h.Scheduled, &h.Cancelled, &h.ScheduledBytes)
	h.Seq, h.Trimmed = uint64(seq), uint64(trimmed)
	return h, err
}

// LockHead locks the row head until the transaction ends, and returns it as it is then.
// Statements of the transaction after it see all events up to Head.Seq.
func LockHead(ctx context.Context, tx pgx.Tx) (*Head, error) { return readHead(ctx, tx, ` FOR UPDATE`) }

// ReadHead returns the row as the transaction sees it.
func ReadHead(ctx context.Context, tx pgx.Tx) (*Head, error) { return readHead(ctx, tx, ``) }

// Save stores the fields of a locked row. It is called also when none has changed: the commit
// then waits for what the transaction has seen.
func (h *Head) Save(ctx context.Context, tx pgx.Tx) error {
	_, err := tx.Exec(ctx, `UPDATE head SET seq = $1, events = $2, bytes = $3, at = $4, trimmed = $5, scheduled = $6, cancelled = $7,
		scheduled_bytes = $8`, int64(h.Seq), h.Events, h.Bytes, h.At, int64(h.Trimmed), h.Scheduled, h.Cancelled, h.ScheduledBytes)
	return err
}

// keyed is the event, of the log or scheduled, that has an idempotency key.
type keyed struct {
	record event.Record
	later  *event.Scheduled // nil when it is in the log
}

func (h keyed) receipt(ev *event.Event) event.Receipt {
	if h.later != nil {
		return h.later.Repeated(ev)
	}
	return event.Repeated(h.record, ev)
}

// Find returns a receipt for each of the events whose key an event of the log or a scheduled
// one has: a duplicate, or Receipt.Err for one of other content. The receipt of a key that is
// not taken has no key. It does not compare the events with each other. The row head is locked.
func Find(ctx context.Context, tx pgx.Tx, events []*event.Event) ([]event.Receipt, error) {
	taken, err := find(ctx, tx, events)
	if err != nil {
		return nil, err
	}
	receipts := make([]event.Receipt, len(events))
	for i, ev := range events {
		if by, found := taken[ev.Metadata().IdempotencyKey]; found {
			receipts[i] = by.receipt(ev)
		}
	}
	return receipts, nil
}

// find returns who has the keys of these events.
func find(ctx context.Context, tx pgx.Tx, events []*event.Event) (map[string]keyed, error) {
	keys := make([][]byte, len(events))
	for i, ev := range events {
		keys[i] = []byte(ev.Metadata().IdempotencyKey)
	}
	taken := make(map[string]keyed)
	rows, err := tx.Query(ctx, `SELECT seq, envelope, origin, 0, 0, 0 FROM events WHERE idempotency_key = ANY ($1)
		UNION ALL SELECT 0, envelope, origin, due, accepted_at, cancelled_at FROM scheduled WHERE idempotency_key = ANY ($1)`, keys)
	if err != nil {
		return nil, err
	}
	var seq, due, accepted, cancelled int64
	var envelope, origin []byte
	_, err = pgx.ForEachRow(rows, []any{&seq, &envelope, &origin, &due, &accepted, &cancelled}, func() error {
		ev, err := event.ParseStored(string(envelope), event.ParseOrigin(string(origin)))
		if err != nil {
			return fmt.Errorf("the event that has the idempotency key of a new one: %w", err)
		}
		by := keyed{record: event.Record{Seq: uint64(seq), Event: ev}}
		if seq == 0 {
			by.later = &event.Scheduled{Event: ev, Due: timeOf(due), Accepted: timeOf(accepted)}
			if cancelled > 0 {
				by.later.Cancelled = timeOf(cancelled)
			}
		}
		taken[ev.Metadata().IdempotencyKey] = by
		return nil
	})
	return taken, err
}

func timeOf(ns int64) time.Time { return time.Unix(0, ns).UTC() }

// Insert adds events whose keys are not taken, and of which no two have one key, and saves the
// row: those that are due by Head.Now to the log, with the next Seqs, the others to the table
// scheduled. It returns their receipts, in this order. The row head is locked.
func Insert(ctx context.Context, tx pgx.Tx, h *Head, events []*event.Event) ([]event.Receipt, error) {
	receipts := make([]event.Receipt, len(events))
	var now, later columns
	var dues []int64
	at := max(h.At, h.Now.UnixNano())
	for i, ev := range events {
		m := ev.Metadata()
		receipts[i] = event.Receipt{EventID: m.EventID, IdempotencyKey: m.IdempotencyKey}
		h.Bytes += ev.Size()
		if due := dueAt(ev, h.Now); !due.IsZero() {
			later.add(ev)
			dues = append(dues, due.UnixNano())
			h.ScheduledBytes += ev.Size()
			receipts[i].Due = timeOf(due.UnixNano())
			continue
		}
		h.Seq++
		receipts[i].Seq = h.Seq
		now.add(ev)
	}
	h.Events += int64(now.n())
	h.Scheduled += int64(later.n())
	if now.n() > 0 {
		h.At = at
		if _, err := tx.Exec(ctx, insertEvents, now.values(int64(h.Seq)-int64(now.n()), at)...); err != nil {
			return nil, err
		}
	}
	if later.n() > 0 {
		if _, err := tx.Exec(ctx, insertScheduled, later.scheduled(dues, h.Now.UnixNano())...); err != nil {
			return nil, err
		}
	}
	return receipts, h.Save(ctx, tx)
}

// dueAt returns when an event is due, and the zero time if that is now.
func dueAt(ev *event.Event, now time.Time) time.Time {
	d := ev.Deferral()
	if d.IsZero() {
		return time.Time{}
	}
	if due := d.Due(now); due.After(now) {
		return due
	}
	return time.Time{}
}

const (
	unnested = `unnest($3::bytea[], $4::bytea[], $5::text[], $6::bytea[], $7::bytea[], $8::bytea[])
		WITH ORDINALITY AS e (id, key, type, subject, envelope, origin, n)`
	insertEvents = `INSERT INTO events (seq, event_id, idempotency_key, type, subject, appended_at, envelope, origin)
		SELECT $1::bigint + e.n, e.id, e.key, e.type, e.subject, $2::bigint, e.envelope, e.origin FROM ` + unnested
	// The id of a scheduled event is never NULL.
	insertScheduled = `INSERT INTO scheduled (due, accepted_at, event_id, idempotency_key, type, subject, envelope, origin)
		SELECT e.due, $1::bigint, coalesce(e.id, e.key), e.key, e.type, e.subject, e.envelope, e.origin
		FROM unnest($2::bigint[], $3::bytea[], $4::bytea[], $5::text[], $6::bytea[], $7::bytea[], $8::bytea[])
			WITH ORDINALITY AS e (due, id, key, type, subject, envelope, origin, n) ORDER BY e.n`
)

// columns are the values of events as arrays of their columns.
type columns struct {
	ids, keys, subjects, envelopes, origins [][]byte
	types                                   []string
}

func (c *columns) n() int { return len(c.keys) }

func (c *columns) add(ev *event.Event) {
	m := ev.Metadata()
	var id []byte
	if m.EventID != m.IdempotencyKey {
		id = []byte(m.EventID)
	}
	c.ids, c.keys, c.types = append(c.ids, id), append(c.keys, []byte(m.IdempotencyKey)), append(c.types, string(ev.Type()))
	c.subjects, c.envelopes = append(c.subjects, []byte(m.Subject)), append(c.envelopes, []byte(ev.Envelope()))
	c.origins = append(c.origins, []byte(ev.Origin().Encode()))
}

// values returns the parameters of insertEvents and appendEvents.
func (c *columns) values(first ...any) []any {
	return append(first, c.ids, c.keys, c.types, c.subjects, c.envelopes, c.origins)
}

func (c *columns) scheduled(dues []int64, accepted int64) []any { return c.values(accepted, dues) }
