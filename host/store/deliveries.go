package store

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
)

const deliveryColumns = `handler, seq, status, attempts, result, error_class, error_message, duration, fuel, at, due`

// handlerCursor is the name of a handler's cursor.
func handlerCursor(handler string) string { return "handler/" + handler }

// Cursor returns the Seq of a named cursor, and whether there is one.
func (s *Store) Cursor(ctx context.Context, name string) (seq uint64, found bool, err error) {
	const doing = "read a cursor"
	if s.closed() {
		return 0, false, s.coded(doing, errClosed())
	}
	var n int64
	err = s.read.cursor.QueryRowContext(ctx, name).Scan(&n)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, false, nil
	}
	return uint64(n), err == nil, s.coded(doing, err)
}

// SetCursor makes or moves a cursor, also back. It is durable when it returns.
func (s *Store) SetCursor(ctx context.Context, c event.Cursor) error {
	return s.submit(ctx, "set a cursor", &op{events: 1, run: func(g *group) error {
		_, err := g.exec(s.write.setCursor, c.Name, sqlSeq(c.Seq))
		return err
	}})
}

// SaveDeliveries stores deliveries, each in the place of the one with the same
// handler and Seq, appends their children to the log, and moves cursors, in one
// transaction. It is durable when it returns. A child that the log has already
// is left out. When one is in conflict, none of its delivery's are appended, the
// delivery is stored as Delivery.Refuse makes it, and answered as refused.
func (s *Store) SaveDeliveries(ctx context.Context, rows []event.Delivery, cursors []event.Cursor) (refused []event.Delivery, err error) {
	o := &op{events: len(rows) + len(cursors)}
	for i := range rows {
		o.bytes += len(rows[i].Result) + len(rows[i].ErrorMessage)
		o.events += len(rows[i].Children)
		for _, child := range rows[i].Children {
			o.bytes += len(child.Envelope())
		}
	}
	if o.events == 0 {
		return nil, nil
	}
	o.run = func(g *group) error {
		for i := range rows {
			d := &rows[i]
			if len(d.Children) > 0 {
				conflict, err := g.appendAll(d.Children)
				if err != nil {
					return err
				}
				if conflict != nil {
					refused = append(refused, d.Refuse(conflict))
					d = &refused[len(refused)-1]
				}
			}
			if _, err := g.exec(s.write.setDelivery, d.Handler, sqlSeq(d.Seq), string(d.Status), d.Attempts, d.Result,
				string(d.ErrorClass), d.ErrorMessage, int64(d.Duration), int64(d.Fuel), unixNano(d.At), unixNano(d.Due)); err != nil {
				return err
			}
		}
		for _, c := range cursors {
			if _, err := g.exec(s.write.setCursor, c.Name, sqlSeq(c.Seq)); err != nil {
				return err
			}
		}
		return nil
	}
	if err := s.submit(ctx, "save deliveries", o); err != nil {
		return nil, err
	}
	return refused, nil
}

// appendAll appends events, or none of them when one is in conflict.
func (g *group) appendAll(events []*event.Event) (conflict, err error) {
	rows, _, err := newRows(events)
	if err != nil {
		return nil, err
	}
	if _, err := g.tx.Exec("SAVEPOINT children"); err != nil {
		return nil, err
	}
	before := g.mark()
	receipts, err := g.append(rows)
	if err != nil {
		return nil, err
	}
	for _, r := range receipts {
		conflict = errors.Join(conflict, r.Err)
	}
	if conflict != nil {
		if _, err := g.tx.Exec("ROLLBACK TO children"); err != nil {
			return nil, errors.Join(conflict, err)
		}
		g.reset(before)
	}
	_, err = g.tx.Exec("RELEASE children")
	return conflict, err
}

// Deliveries returns what is kept of one event's deliveries, by handler.
func (s *Store) Deliveries(ctx context.Context, seq uint64) ([]event.Delivery, error) {
	const doing = "read deliveries"
	if s.closed() {
		return nil, s.coded(doing, errClosed())
	}
	rows, err := s.read.deliveries.QueryContext(ctx, sqlSeq(seq))
	list, err := scanDeliveries(rows, err)
	return list, s.coded(doing, err)
}

// DeadLetters returns the dead deliveries of a handler, or of all when handler
// is "", of events below before (0 for all), newest event first. It answers at
// most limit (1 to 1000) of them; with all handlers, the last event's are
// complete, which can be a few more. The next page is before the last Seq.
func (s *Store) DeadLetters(ctx context.Context, handler string, before uint64, limit int) ([]event.Delivery, error) {
	const doing = "read dead letters"
	if limit < 1 || limit > 1000 {
		return nil, fault.Field("limit", "is %d, but must be 1 to 1000", limit)
	}
	if s.closed() {
		return nil, s.coded(doing, errClosed())
	}
	if before == 0 {
		before = ^uint64(0)
	}
	stmt, args := s.read.deadOfHandler, []any{handler, sqlSeq(before), limit}
	if handler == "" {
		stmt, args = s.read.deadOfAll, args[1:]
	}
	rows, err := stmt.QueryContext(ctx, args...)
	list, err := scanDeliveries(rows, err)
	return list, s.coded(doing, err)
}

// LoadBacklog returns where a handler stands, as of one moment.
func (s *Store) LoadBacklog(ctx context.Context, handler string) (event.Backlog, error) {
	const doing = "read a handler's backlog"
	if s.closed() {
		return event.Backlog{}, s.coded(doing, errClosed())
	}
	b, err := s.backlog(ctx, handler)
	return b, s.coded(doing, err)
}

func (s *Store) backlog(ctx context.Context, handler string) (b event.Backlog, err error) {
	tx, err := s.reader.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return b, err
	}
	defer tx.Rollback() //nolint:errcheck // it only reads
	var cursor int64
	switch err = tx.Stmt(s.read.cursor).QueryRowContext(ctx, handlerCursor(handler)).Scan(&cursor); {
	case err == nil:
		b.Found, b.Cursor = true, uint64(cursor)
	case errors.Is(err, sql.ErrNoRows):
		if err = tx.Stmt(s.read.anyRow).QueryRowContext(ctx, handler).Scan(&b.Found); err != nil || !b.Found {
			return b, err
		}
	default:
		return b, err
	}
	rows, err := tx.Stmt(s.read.openRows).QueryContext(ctx, handler)
	if b.Open, err = scanDeliveries(rows, err); err != nil {
		return event.Backlog{}, err
	}
	rows, err = tx.Stmt(s.read.doneSeqs).QueryContext(ctx, handler, cursor)
	if err != nil {
		return event.Backlog{}, err
	}
	defer rows.Close()
	for rows.Next() {
		var seq int64
		if err := rows.Scan(&seq); err != nil {
			return event.Backlog{}, err
		}
		b.Done = append(b.Done, uint64(seq))
	}
	return b, rows.Err()
}

// ForgetHandler removes a handler's cursor and deliveries.
func (s *Store) ForgetHandler(ctx context.Context, handler string) error {
	return s.submit(ctx, "forget a handler", &op{events: 1, run: func(g *group) error {
		if _, err := g.exec(s.write.deleteCursor, handlerCursor(handler)); err != nil {
			return err
		}
		_, err := g.exec(s.write.deleteRows, handler)
		return err
	}})
}

func scanDeliveries(rows *sql.Rows, err error) ([]event.Delivery, error) {
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []event.Delivery
	for rows.Next() {
		var d event.Delivery
		var seq, duration, fuel, at, due int64
		if err := rows.Scan(&d.Handler, &seq, &d.Status, &d.Attempts, &d.Result, &d.ErrorClass, &d.ErrorMessage,
			&duration, &fuel, &at, &due); err != nil {
			return nil, err
		}
		d.Seq, d.Duration, d.Fuel = uint64(seq), time.Duration(duration), uint64(fuel)
		d.At, d.Due = fromUnixNano(at), fromUnixNano(due)
		list = append(list, d)
	}
	return list, rows.Err()
}

// unixNano stores the zero time as 0.
func unixNano(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

func fromUnixNano(ns int64) time.Time {
	if ns == 0 {
		return time.Time{}
	}
	return time.Unix(0, ns).UTC()
}
