package orders

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/wire"
)

// DB is a SQLite database whose writes go into the same transaction as the
// event log's. It has the table
//
//	orders(id TEXT PRIMARY KEY, customer_id TEXT, currency TEXT, items TEXT,
//	       total_cents INTEGER, status TEXT, version INTEGER,
//	       created_at INTEGER, updated_at INTEGER)
//
// with a rowid; items is JSON, the times are nanoseconds since 1970.
type DB interface {
	// Write runs fn in a write transaction and appends the events it returns in
	// the same one. When it returns nil both are durable; when fn fails or an
	// event is in conflict neither is stored, and the error is that one.
	Write(ctx context.Context, fn func(tx *sql.Tx) ([]*event.Event, error)) ([]event.Receipt, error)
	// Reader reads the writes committed before the query.
	Reader() *sql.DB
}

// SQL keeps orders in a DB. It is safe for concurrent use.
type SQL struct{ db DB }

// NewSQL returns a repository over this database.
func NewSQL(db DB) *SQL { return &SQL{db: db} }

// Insert implements Repository.
func (r *SQL) Insert(ctx context.Context, o Order, ev *event.Event) (event.Receipt, error) {
	items, err := json.Marshal(o.Items)
	if err != nil {
		return event.Receipt{}, fault.New(fault.Internal, "encode items: %w", err)
	}
	return r.write(ctx, ev, exists(o.ID), `INSERT INTO orders
		(id, customer_id, currency, items, total_cents, status, version, created_at, updated_at)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING`,
		o.ID, o.CustomerID, o.Currency, string(items), o.TotalCents, o.Status, o.Version,
		o.CreatedAt.UnixNano(), o.UpdatedAt.UnixNano())
}

// Update implements Repository.
func (r *SQL) Update(ctx context.Context, was, next Order, ev *event.Event) (event.Receipt, error) {
	return r.write(ctx, ev, ErrStale, `UPDATE orders SET status = ?, version = ?, updated_at = ?
		WHERE id = ? AND version = ? AND status = ?`,
		next.Status, next.Version, next.UpdatedAt.UnixNano(), was.ID, was.Version, was.Status)
}

// write runs one statement that must change exactly one row, with its event.
// none is the error when it changes no row.
func (r *SQL) write(ctx context.Context, ev *event.Event, none error, statement string, args ...any) (event.Receipt, error) {
	// The transaction may be shared with other writers, and SQLite rolls all of
	// it back when a statement is interrupted: once begun, this one is not
	// cancelled.
	whole := context.WithoutCancel(ctx)
	receipts, err := r.db.Write(ctx, func(tx *sql.Tx) ([]*event.Event, error) {
		result, err := tx.ExecContext(whole, statement, args...)
		if err != nil {
			return nil, sqlError(err)
		}
		n, err := result.RowsAffected()
		if err != nil {
			return nil, sqlError(err)
		}
		switch n {
		case 0:
			return nil, none
		case 1:
			return []*event.Event{ev}, nil
		}
		return nil, fault.New(fault.Internal, "a write of one order changed %d rows", n)
	})
	return only(receipts, err)
}

const columns = `rowid, id, customer_id, currency, items, total_cents, status, version, created_at, updated_at`

// Get implements Repository.
func (r *SQL) Get(ctx context.Context, id string) (Order, error) {
	o, _, err := scan(r.db.Reader().QueryRowContext(ctx, `SELECT `+columns+` FROM orders WHERE id = ?`, id).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return Order{}, notFound(id)
	}
	if err != nil {
		return Order{}, fmt.Errorf("read order %s: %w", fault.Quote(id), err)
	}
	return o, nil
}

// List implements Repository. It pages by rowid: the order of creation, and the
// end of every index, so that each filter reads only the rows it returns.
func (r *SQL) List(ctx context.Context, q spec.OrderQuery) (wire.List[Order], error) {
	page := wire.List[Order]{Items: []Order{}}
	query, args := `SELECT `+columns+` FROM orders WHERE 1`, []any(nil)
	if q.Cursor != "" {
		position, err := parseCursor(q.Cursor)
		if err != nil {
			return page, err
		}
		query, args = query+` AND rowid < ?`, append(args, position)
	}
	if q.Status != "" {
		query, args = query+` AND status = ?`, append(args, q.Status)
	}
	if q.Customer != "" {
		query, args = query+` AND customer_id = ?`, append(args, q.Customer)
	}
	rows, err := r.db.Reader().QueryContext(ctx, query+` ORDER BY rowid DESC LIMIT ?`, append(args, q.Limit+1)...)
	if err != nil {
		return page, fmt.Errorf("list orders: %w", err)
	}
	defer rows.Close()
	var last int64
	for rows.Next() {
		o, position, err := scan(rows.Scan)
		if err != nil {
			return page, fmt.Errorf("list orders: %w", err)
		}
		if len(page.Items) == q.Limit {
			page.Next = cursor(last)
			break
		}
		page.Items, last = append(page.Items, o), position
	}
	if err := rows.Err(); err != nil {
		return page, fmt.Errorf("list orders: %w", err)
	}
	return page, nil
}

func scan(scan func(...any) error) (o Order, position int64, err error) {
	var items string
	var created, updated int64
	err = scan(&position, &o.ID, &o.CustomerID, &o.Currency, &items, &o.TotalCents, &o.Status, &o.Version, &created, &updated)
	if err != nil {
		return Order{}, 0, err
	}
	if err := json.Unmarshal([]byte(items), &o.Items); err != nil {
		return Order{}, 0, fmt.Errorf("the stored items of order %s: %w", o.ID, err)
	}
	o.CreatedAt, o.UpdatedAt = time.Unix(0, created).UTC(), time.Unix(0, updated).UTC()
	return o, position, nil
}

// sqlError gives SQLite's "full" and "busy" (result codes 13 and 5) their fault codes.
func sqlError(err error) error {
	var coded interface{ Code() int }
	if errors.As(err, &coded) {
		switch coded.Code() & 0xff {
		case 13:
			return fault.New(fault.Exhausted, "the disk is full: %w", err)
		case 5:
			return fault.New(fault.Unavailable, "the database is busy: %w", err)
		}
	}
	return err
}
