package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/store/datafile"
	"github.com/berth-host/berth/host/store/keys"
	"github.com/berth-host/berth/host/store/logwrite"
	"github.com/berth-host/berth/host/store/outcomes"
)

// writeStatements are prepared on the writer's connection.
type writeStatements struct {
	findKey                         *sql.Stmt
	setMark, setCursor, setDelivery *sql.Stmt
	setBlock, addDelivery           *sql.Stmt
	deliveriesFrom                  *sql.Stmt
	addSize, size                   *sql.Stmt
	deleteCursor, deleteDeliveries  *sql.Stmt
	skip, handlersBefore            *sql.Stmt
	skipDelivery, purgeSeq          *sql.Stmt
}

func (w *writeStatements) prepare(ctx context.Context, db *sql.DB) error {
	return datafile.Prepare(ctx, db, datafile.Statements{
		&w.findKey:          `SELECT envelope FROM events WHERE seq = ? AND idempotency_key = ?`,
		&w.setBlock:         `INSERT OR REPLACE INTO stretches VALUES (?, ?)`,
		&w.addSize:          `UPDATE log_size SET events = events + ?, bytes = bytes + ?, writes = writes + 1`,
		&w.size:             `SELECT events, bytes, scheduled + cancelled, scheduled_bytes FROM log_size`,
		&w.setMark:          `INSERT INTO marks VALUES (?, ?) ON CONFLICT DO UPDATE SET seq = max(seq, excluded.seq)`,
		&w.setCursor:        `INSERT INTO cursors VALUES (?, ?) ON CONFLICT DO UPDATE SET seq = excluded.seq`,
		&w.setDelivery:      `INSERT OR REPLACE INTO deliveries (` + outcomes.Columns + `) VALUES (` + outcomes.Parameters + `)`,
		&w.addDelivery:      `INSERT OR IGNORE INTO deliveries (` + outcomes.Columns + `) VALUES (` + outcomes.Parameters + `)`,
		&w.deliveriesFrom:   `SELECT ` + outcomes.Columns + ` FROM deliveries WHERE handler = ? AND seq >= ? ORDER BY seq LIMIT ?`,
		&w.deleteCursor:     `DELETE FROM cursors WHERE name = ?`,
		&w.deleteDeliveries: `DELETE FROM deliveries WHERE handler = ?`,
		&w.skip:             `INSERT INTO skipped VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET until = max(until, excluded.until)`,
		&w.handlersBefore: `SELECT substr(name, 9) AS handler FROM cursors WHERE name GLOB 'handler/*' AND seq < ?1
			UNION SELECT handler FROM deliveries WHERE seq >= ?2 AND seq <= ?3 AND status NOT IN ('ok', 'dead') ORDER BY handler`,
		&w.skipDelivery: `INSERT INTO deliveries (` + outcomes.Columns + `, purged)
			SELECT ?1, ?2, 'dead', 0, '', 'unreadable', 'the event cannot be read, and an operator skipped it', 0, 0, ?3, 0, 0, '', 1
			WHERE coalesce((SELECT seq FROM cursors WHERE name = ?4), 0) < ?2
				OR EXISTS (SELECT 1 FROM deliveries WHERE handler = ?1 AND seq = ?2 AND status NOT IN ('ok', 'dead'))
			ON CONFLICT DO UPDATE SET status = 'dead', result = '', error_class = excluded.error_class,
				error_message = excluded.error_message, at = excluded.at, due = 0, purged = 1 WHERE status NOT IN ('ok', 'dead')`,
		&w.purgeSeq: `UPDATE deliveries SET purged = 1 WHERE seq = ? AND status = 'dead' AND purged = 0`,
	})
}

// Append adds events to the log, in this order. They are durable when it returns. Each
// event has its own receipt: an event whose idempotency key the log has already is a
// duplicate when the content is the same, and otherwise in conflict (Receipt.Err,
// fault.Conflict); neither prevents the others from being stored. The same holds
// between events of one call. The error is for the call as a whole: then no event was
// stored. fault.Exhausted with a RetryAfter when the log would exceed Config.MaxBytes,
// fault.Exhausted without one when the disk is full.
func (s *Store) Append(ctx context.Context, events []*event.Event) ([]event.Receipt, error) {
	if len(events) == 0 {
		return nil, nil
	}
	o := &op{events: len(events)}
	for _, ev := range events {
		if ev != nil {
			o.size += ev.Size()
		}
	}
	var err error
	if o.append, o.bytes, err = newInsertions(events); err != nil {
		return nil, fmt.Errorf("append events: %w", err)
	}
	s.hash(o.append)
	if err := s.submit(ctx, "append events", o); err != nil {
		return nil, err
	}
	return resolved(o.receipts), nil
}

// insertion is an event with the values of its INSERT. Callers prepare it, because
// every write waits for the writer.
type insertion struct {
	ev           *event.Event
	key          string
	keys         []keys.Entry // of the index; the writer sets their Seq
	values       logwrite.Values
	receiptOfNew event.Receipt
}

func newInsertions(events []*event.Event) (list []insertion, bytes int, err error) {
	list = make([]insertion, len(events))
	for i, ev := range events {
		if ev == nil {
			return nil, 0, fault.New(fault.Invalid, "event %d of %d is nil", i+1, len(events))
		}
		m := ev.Metadata()
		list[i] = insertion{
			ev:           ev,
			key:          m.IdempotencyKey,
			values:       logwrite.NewValues(ev),
			receiptOfNew: event.Receipt{EventID: m.EventID, IdempotencyKey: m.IdempotencyKey},
		}
		bytes += len(ev.Envelope())
	}
	return list, bytes, nil
}

// append appends the events whose keys the log does not have, and returns the receipts of
// all. Those that are not due yet are scheduled.
func (g *group) append(list []insertion) ([]event.Receipt, error) {
	g.s.hash(list)
	merged, err := g.merged(list)
	if err != nil {
		return nil, err
	}
	later, err := g.scheduled(list)
	if err != nil {
		return nil, err
	}
	receipts := make([]event.Receipt, 0, len(list))
	added := make([]*logwrite.Values, 0, len(list))
	first := len(g.records)
	for i := range list {
		in := &list[i]
		r, known, err := g.known(in, merged[in.keys[0].Hash])
		if err == nil && !known && later != nil {
			r, known, err = g.schedule(in, later)
		}
		if err != nil {
			return nil, err
		}
		if !known {
			r = g.assign(in)
			added = append(added, &in.values)
		}
		receipts = append(receipts, r)
	}
	dead := g.dead
	g.dead = nil
	if err := g.s.keys.Remove(g.bind, dead); err != nil {
		return nil, err
	}
	return receipts, g.s.events.Insert(conn{g}, added, g.records[first:], g.at)
}

// assign gives an event its Seq.
func (g *group) assign(in *insertion) event.Receipt {
	g.seq++
	r := in.receiptOfNew
	r.Seq = g.seq
	g.records = append(g.records, event.Record{Seq: g.seq, Event: in.ev.WithoutDeferral()})
	g.added += in.ev.Size()
	g.index(in)
	return r
}

// unresolved is the error of a receipt for an event whose key the log has with other
// bytes. Whether both have the same content takes long to compare for large events.
// The caller of Append compares, because every other write waits for the writer.
type unresolved struct {
	first event.Record
	again *event.Event
}

// Error implements error.
func (u *unresolved) Error() string {
	return "the receipt of event " + u.again.ID() + " is not resolved"
}

// resolved replaces the unresolved receipts.
func resolved(receipts []event.Receipt) []event.Receipt {
	for i, r := range receipts {
		if u, ok := r.Err.(*unresolved); ok {
			receipts[i] = event.Repeated(u.first, u.again)
			receipts[i].Due, receipts[i].Cancelled = r.Due, r.Cancelled
		}
	}
	return receipts
}

// Write runs fn in the writer's transaction, and appends the events that fn returns to
// the log in the same transaction: both become durable together, or neither. When fn
// fails or panics, or one of its events is in conflict, everything is rolled back and
// the error is returned; other writes of the group are not affected.
//
// fn must be quick, since every other write waits for it; it must use tx for
// everything, return the first error of tx, leave the end of the transaction to the
// store, and call no method of the store. It runs at most once, on another goroutine,
// and never after Write has returned.
func (s *Store) Write(ctx context.Context, fn func(tx *sql.Tx) ([]*event.Event, error)) ([]event.Receipt, error) {
	var receipts []event.Receipt
	o := &op{isolated: true, events: 1}
	o.run = func(g *group) error {
		// Some errors of the file end the whole transaction, and the statements after them
		// would be committed alone. fn may have ignored such an error; then this second
		// savepoint does not exist any more.
		if _, err := g.tx.Exec("SAVEPOINT alive"); err != nil {
			return err
		}
		var events []*event.Event
		o.err = protect(func() (err error) {
			events, err = fn(g.tx)
			return err
		})
		if o.err != nil {
			return nil
		}
		if _, err := g.tx.Exec("RELEASE alive"); err != nil {
			return fault.New(fault.Unavailable, "the transaction ended during a write: %w", err)
		}
		list, _, err := newInsertions(events)
		if err != nil {
			o.err = err
			return nil
		}
		size := int64(0)
		for _, ev := range events {
			size += ev.Size()
		}
		if o.err = g.admit(size); o.err != nil {
			return nil
		}
		if receipts, err = g.append(list); err != nil {
			return err
		}
		for _, r := range resolved(receipts) {
			o.err = errors.Join(o.err, r.Err)
		}
		return nil
	}
	if err := s.submit(ctx, "write", o); err != nil {
		return nil, err
	}
	return receipts, nil
}
