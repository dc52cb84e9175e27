package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
)

// writeStatements are prepared on the writer's connection.
type writeStatements struct {
	insertEvent, findKey            *sql.Stmt
	trimEdge, trimEvents, trimRows  *sql.Stmt
	setMark, setCursor, setDelivery *sql.Stmt
	deleteCursor, deleteRows        *sql.Stmt
	kvGet, kvUsage, kvSet, kvDelete *sql.Stmt
	kvClear                         *sql.Stmt
}

func (w *writeStatements) prepare(ctx context.Context, db *sql.DB) error {
	return prepare(ctx, db, []statement{
		{&w.insertEvent, `INSERT INTO events (seq, event_id, idempotency_key, type, subject, appended_at, envelope)
			VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (idempotency_key) DO NOTHING`},
		{&w.findKey, `SELECT seq, envelope FROM events WHERE idempotency_key = ?`},
		{&w.trimEdge, `SELECT count(*), coalesce(max(seq), 0) FROM (SELECT seq FROM events WHERE seq < ? ORDER BY seq LIMIT ?)`},
		{&w.trimEvents, `DELETE FROM events WHERE seq <= ?`},
		{&w.trimRows, `DELETE FROM deliveries WHERE seq <= ?`},
		{&w.setMark, `INSERT INTO marks VALUES (?, ?) ON CONFLICT DO UPDATE SET seq = max(seq, excluded.seq)`},
		{&w.setCursor, `INSERT INTO cursors VALUES (?, ?) ON CONFLICT DO UPDATE SET seq = excluded.seq`},
		{&w.setDelivery, `INSERT OR REPLACE INTO deliveries (` + deliveryColumns + `) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`},
		{&w.deleteCursor, `DELETE FROM cursors WHERE name = ?`},
		{&w.deleteRows, `DELETE FROM deliveries WHERE handler = ?`},
		{&w.kvGet, `SELECT value FROM kv WHERE plugin = ? AND key = ?`},
		{&w.kvUsage, `SELECT bytes FROM kv_usage WHERE plugin = ?`},
		{&w.kvSet, `INSERT INTO kv VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET value = excluded.value`},
		{&w.kvDelete, `DELETE FROM kv WHERE plugin = ? AND key = ?`},
		{&w.kvClear, `DELETE FROM kv WHERE plugin = ?`},
	})
}

type statement struct {
	to   **sql.Stmt
	text string
}

func prepare(ctx context.Context, db *sql.DB, list []statement) (err error) {
	for _, st := range list {
		if *st.to, err = db.PrepareContext(ctx, st.text); err != nil {
			return err
		}
	}
	return nil
}

// Append adds events to the log, in this order. They are durable when it
// returns. Each event has its own receipt: an event whose idempotency key the
// log has already is a duplicate of that one when the content is the same, and
// otherwise in conflict (Receipt.Err, fault.Conflict); neither keeps the others
// from being stored. This holds between events of one call, too. The error is
// for the call as a whole: then no event of it was stored.
func (s *Store) Append(ctx context.Context, events []*event.Event) ([]event.Receipt, error) {
	if len(events) == 0 {
		return nil, nil
	}
	receipts := make([]event.Receipt, 0, len(events))
	o := &op{events: len(events)}
	for _, ev := range events {
		if ev == nil {
			return nil, fault.New(fault.Invalid, "append events: an event is nil")
		}
		o.bytes += len(ev.Envelope())
	}
	o.run = func(g *group) (err error) {
		receipts, err = g.append(receipts, events)
		return err
	}
	if err := s.submit(ctx, "append events", o); err != nil {
		return nil, err
	}
	return receipts, nil
}

func (g *group) append(receipts []event.Receipt, events []*event.Event) ([]event.Receipt, error) {
	insert := g.bind(g.s.write.insertEvent)
	for _, ev := range events {
		m := ev.Metadata()
		res, err := insert.Exec(int64(g.seq+1), m.EventID, m.IdempotencyKey, string(ev.Type()), m.Subject, g.at, ev.Envelope())
		if err != nil {
			return receipts, err
		}
		n, err := res.RowsAffected()
		if err != nil {
			return receipts, err
		}
		if n == 0 {
			r, err := g.duplicate(ev, m.IdempotencyKey)
			if err != nil {
				return receipts, err
			}
			receipts = append(receipts, r)
			continue
		}
		g.seq++
		g.records = append(g.records, event.Record{Seq: g.seq, Event: ev})
		receipts = append(receipts, event.Receipt{Seq: g.seq, EventID: m.EventID, IdempotencyKey: m.IdempotencyKey})
	}
	return receipts, nil
}

// duplicate answers for an event whose key the log has.
func (g *group) duplicate(ev *event.Event, key string) (event.Receipt, error) {
	var seq int64
	var envelope string
	if err := g.queryRow(g.s.write.findKey, key).Scan(&seq, &envelope); err != nil {
		return event.Receipt{}, err
	}
	first, err := event.Parse(envelope)
	if err != nil { // the file is damaged in this place; the other writes of the group are not
		return event.Receipt{Seq: uint64(seq), IdempotencyKey: key, Err: fmt.Errorf("event %d: %w", seq, err)}, nil
	}
	r := event.Receipt{Seq: uint64(seq), EventID: first.ID(), IdempotencyKey: key}
	if first.Digest() == ev.Digest() {
		r.Duplicate = true
	} else {
		r.Err = fault.New(fault.Conflict, "the idempotency key %q was used before, by event %s with other content (type, subject or data)", key, first.ID())
	}
	return r, nil
}

// Write runs fn in the writer's transaction, and appends the events it returns
// to the log in the same one: what fn changed and its events become durable
// together, or not at all. When fn fails or panics, or one of its events is in
// conflict, all of it is undone and the error is the answer; other writes of the
// group are not touched.
//
// fn must be quick, since every other write waits for it; it must use tx for
// everything, leave the transaction's end to the store, and call no method of
// the store. It runs at most once, on another goroutine, and never after Write
// has returned.
func (s *Store) Write(ctx context.Context, fn func(tx *sql.Tx) ([]*event.Event, error)) ([]event.Receipt, error) {
	var receipts []event.Receipt
	o := &op{isolated: true, events: 1}
	o.run = func(g *group) error {
		var events []*event.Event
		o.err = protect(func() (err error) {
			events, err = fn(g.tx)
			return err
		})
		if o.err != nil {
			return nil
		}
		for _, ev := range events {
			if ev == nil {
				o.err = fault.New(fault.Invalid, "an event is nil")
				return nil
			}
		}
		var err error
		if receipts, err = g.append(make([]event.Receipt, 0, len(events)), events); err != nil {
			return err
		}
		for _, r := range receipts {
			o.err = errors.Join(o.err, r.Err)
		}
		return nil
	}
	if err := s.submit(ctx, "write", o); err != nil {
		return nil, err
	}
	return receipts, nil
}

// trimStep is how many events one group removes at most, so that a long trim
// does not keep publishers waiting.
const trimStep = 512

// Trim removes the events below before, with their deliveries, oldest first,
// and answers how many events it removed. It asks nobody: the caller knows which
// events are still wanted. Keys of removed events can be used again; their Seqs
// are not. On an error, what was removed until then stays removed.
func (s *Store) Trim(ctx context.Context, before uint64) (int, error) {
	total := 0
	for {
		n := 0
		o := &op{events: trimStep}
		o.run = func(g *group) error {
			var edge int64
			if err := g.queryRow(s.write.trimEdge, sqlSeq(before), trimStep).Scan(&n, &edge); err != nil || n == 0 {
				return err
			}
			if _, err := g.exec(s.write.trimEvents, edge); err != nil {
				return err
			}
			if _, err := g.exec(s.write.trimRows, edge); err != nil {
				return err
			}
			if _, err := g.exec(s.write.setMark, "trimmed", edge); err != nil {
				return err
			}
			g.trimmed = max(g.trimmed, uint64(edge)+1)
			return nil
		}
		if err := s.submit(ctx, "trim the log", o); err != nil {
			return total, err
		}
		total += n
		if n < trimStep {
			return total, nil
		}
	}
}
