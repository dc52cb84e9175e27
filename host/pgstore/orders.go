package pgstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/pgstore/conn"
	"github.com/berth-host/berth/host/pgstore/group"
	"github.com/berth-host/berth/host/pgstore/pglog"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/wire"
)

// ordersSchema makes the table of the orders. position is the order of creation.
const ordersSchema = `CREATE TABLE orders (
	position bigint GENERATED ALWAYS AS IDENTITY,
	id text COLLATE "C" PRIMARY KEY,
	customer_id bytea NOT NULL,
	currency text COLLATE "C" NOT NULL,
	items bytea NOT NULL,
	total_cents bigint NOT NULL,
	status text COLLATE "C" NOT NULL,
	version bigint NOT NULL,
	created_at bigint NOT NULL,
	updated_at bigint NOT NULL
) WITH (fillfactor = 80);
CREATE UNIQUE INDEX orders_by_position ON orders (position);
CREATE INDEX orders_by_status ON orders (status, position);
CREATE INDEX orders_by_customer ON orders (customer_id, position);`

// Orders keeps orders with their events: see orders.Rows. The writes of concurrent callers
// are one transaction: a statement changes the rows whose guards hold, and the events of
// those are appended. It is safe for concurrent use.
type Orders struct {
	s     *Store
	queue *group.Queue[*orderWrite]
}

// orderWrite is an insertion, or a change that is guarded by a version and a status.
type orderWrite struct {
	o       wire.Order
	items   []byte
	insert  bool
	version int64
	status  string
	ev      *event.Event

	receipt event.Receipt
	stored  bool
	err     error
}

func newOrders(s *Store) *Orders {
	o := &Orders{s: s}
	o.queue = group.New(group.Config[*orderWrite]{Write: o.writeGroup, Size: func(w *orderWrite) (int, int64) {
		return 1, int64(len(w.items)) + w.ev.Size()
	}})
	return o
}

// InsertOrder implements orders.Rows.
func (r *Orders) InsertOrder(ctx context.Context, o wire.Order, ev *event.Event) (event.Receipt, bool, error) {
	items, err := json.Marshal(o.Items)
	if err != nil {
		return event.Receipt{}, false, fault.New(fault.Internal, "encode items: %w", err)
	}
	return r.write(ctx, &orderWrite{o: o, items: items, insert: true, ev: ev})
}

// UpdateOrder implements orders.Rows.
func (r *Orders) UpdateOrder(ctx context.Context, version int64, status string, next wire.Order, ev *event.Event) (event.Receipt, bool, error) {
	return r.write(ctx, &orderWrite{o: next, version: version, status: status, ev: ev})
}

func (r *Orders) write(ctx context.Context, w *orderWrite) (event.Receipt, bool, error) {
	if err := r.queue.Do(ctx, w); err != nil {
		return event.Receipt{}, false, conn.Coded("write an order", err)
	}
	return w.receipt, w.stored, w.err
}

// writeGroup does the writes of a group. When an event cannot be appended, only its order's
// write must fail: then each is a group of its own.
func (r *Orders) writeGroup(list []*orderWrite) {
	err := r.writeAll(list)
	if errors.Is(err, errKeyTaken) && len(list) > 1 {
		for i := range list {
			r.writeGroup(list[i : i+1])
		}
		return
	}
	for _, w := range list {
		if err != nil {
			w.receipt, w.stored, w.err = event.Receipt{}, false, err
		}
	}
	if err == nil {
		r.s.published(context.Background())
	}
}

// errKeyTaken undoes a transaction in which an event has the key of another one.
var errKeyTaken = fault.New(fault.Conflict, "the idempotency key of an order's event is taken")

func (r *Orders) writeAll(list []*orderWrite) error {
	return r.s.db.Write(context.Background(), "write orders", func(ctx context.Context, tx pgx.Tx) error {
		h, err := pglog.LockHead(ctx, tx)
		if err != nil {
			return err
		}
		h.Now = r.s.now()
		if err := changeRows(ctx, tx, list); err != nil {
			return err
		}
		var events []*event.Event
		var size int64
		for _, w := range list {
			if w.stored {
				events = append(events, w.ev)
				size += w.ev.Size()
			}
		}
		if limit := r.s.LogLimit(); limit > 0 && size > 0 && h.Bytes+size > limit {
			return event.LogFull(h.Bytes, limit)
		}
		if err := checkKeys(ctx, tx, events); err != nil {
			return err
		}
		receipts, err := pglog.Insert(ctx, tx, h, events)
		if err != nil {
			return err
		}
		for _, w := range list {
			if w.stored {
				w.receipt, receipts = receipts[0], receipts[1:]
			}
		}
		return nil
	})
}

// checkKeys returns an error when a key of the events is taken, by one in the log or by one of
// them.
func checkKeys(ctx context.Context, tx pgx.Tx, events []*event.Event) error {
	found, err := pglog.Find(ctx, tx, events)
	if err != nil {
		return err
	}
	own := make(map[string]bool, len(events))
	for i, ev := range events {
		key := ev.Metadata().IdempotencyKey
		if found[i].Err != nil {
			return errors.Join(errKeyTaken, found[i].Err)
		}
		if found[i].IdempotencyKey != "" || own[key] {
			return fmt.Errorf("%w: %q", errKeyTaken, key)
		}
		own[key] = true
	}
	return nil
}

const (
	insertOrders = `INSERT INTO orders (id, customer_id, currency, items, total_cents, status, version, created_at, updated_at)
		SELECT e.id, e.customer, e.currency, e.items, e.cents, e.status, e.version, e.created, e.updated
		FROM unnest($1::text[], $2::bytea[], $3::text[], $4::bytea[], $5::bigint[], $6::text[], $7::bigint[], $8::bigint[], $9::bigint[])
			WITH ORDINALITY AS e (id, customer, currency, items, cents, status, version, created, updated, n) ORDER BY e.n
		ON CONFLICT (id) DO NOTHING RETURNING id`
	updateOrders = `UPDATE orders AS o SET status = e.status, version = e.version, updated_at = e.updated
		FROM unnest($1::text[], $2::bigint[], $3::text[], $4::text[], $5::bigint[], $6::bigint[])
			AS e (id, was_version, was_status, status, version, updated)
		WHERE o.id = e.id AND o.version = e.was_version AND o.status = e.was_status RETURNING o.id`
)

// changeRows changes the rows of those writes whose guards hold. Of several writes of one order
// the first one is done, and the others are not: their guards no longer hold after it.
func changeRows(ctx context.Context, tx pgx.Tx, list []*orderWrite) error {
	var ins orderColumns
	var upd orderGuards
	first := make(map[string]*orderWrite, len(list))
	for _, w := range list {
		w.receipt, w.stored, w.err = event.Receipt{}, false, nil
		if first[w.o.ID] != nil {
			continue
		}
		first[w.o.ID] = w
		if w.insert {
			ins.add(w)
		} else {
			upd.add(w)
		}
	}
	mark := func(rows pgx.Rows) error {
		var id string
		_, err := pgx.ForEachRow(rows, []any{&id}, func() error {
			first[id].stored = true
			return nil
		})
		return err
	}
	b := new(pgx.Batch)
	if len(ins.ids) > 0 {
		b.Queue(insertOrders, ins.ids, ins.customers, ins.currencies, ins.items, ins.cents, ins.statuses, ins.versions, ins.created,
			ins.updated).Query(mark)
	}
	if len(upd.ids) > 0 {
		b.Queue(updateOrders, upd.ids, upd.wasVersions, upd.wasStatuses, upd.statuses, upd.versions, upd.updated).Query(mark)
	}
	return tx.SendBatch(ctx, b).Close()
}

type orderColumns struct {
	ids, currencies, statuses         []string
	customers, items                  [][]byte
	cents, versions, created, updated []int64
}

func (c *orderColumns) add(w *orderWrite) {
	o := &w.o
	c.ids, c.currencies, c.statuses = append(c.ids, o.ID), append(c.currencies, o.Currency), append(c.statuses, o.Status)
	c.customers, c.items = append(c.customers, []byte(o.CustomerID)), append(c.items, w.items)
	c.cents, c.versions = append(c.cents, o.TotalCents), append(c.versions, o.Version)
	c.created, c.updated = append(c.created, o.CreatedAt.UnixNano()), append(c.updated, o.UpdatedAt.UnixNano())
}

type orderGuards struct {
	ids, wasStatuses, statuses     []string
	wasVersions, versions, updated []int64
}

func (c *orderGuards) add(w *orderWrite) {
	c.ids, c.wasStatuses, c.statuses = append(c.ids, w.o.ID), append(c.wasStatuses, w.status), append(c.statuses, w.o.Status)
	c.wasVersions, c.versions = append(c.wasVersions, w.version), append(c.versions, w.o.Version)
	c.updated = append(c.updated, w.o.UpdatedAt.UnixNano())
}

const orderFields = `position, id, customer_id, currency, items, total_cents, status, version, created_at, updated_at`

// FindOrder implements orders.Rows.
func (r *Orders) FindOrder(ctx context.Context, id string) (o wire.Order, found bool, err error) {
	if !utf8.ValidString(id) || strings.ContainsRune(id, 0) {
		return wire.Order{}, false, nil // the database refuses such a text
	}
	list, _, err := r.list(ctx, "read an order", `WHERE id = $1`, id)
	if err != nil || len(list) == 0 {
		return wire.Order{}, false, err
	}
	return list[0], true, nil
}

// ListOrders implements orders.Rows.
func (r *Orders) ListOrders(ctx context.Context, q spec.OrderQuery, before int64, limit int) (list []wire.Order, positions []int64, err error) {
	text, args := `WHERE position < $1`, []any{before, limit}
	if q.Status != "" {
		args = append(args, q.Status)
		text += fmt.Sprintf(` AND status = $%d`, len(args))
	}
	if q.Customer != "" {
		args = append(args, []byte(q.Customer))
		text += fmt.Sprintf(` AND customer_id = $%d`, len(args))
	}
	return r.list(ctx, "list orders", text+` ORDER BY position DESC LIMIT $2`, args...)
}

func (r *Orders) list(ctx context.Context, doing, text string, args ...any) (list []wire.Order, positions []int64, err error) {
	err = r.s.db.Query(ctx, doing, `SELECT `+orderFields+` FROM orders `+text, args, func(rows pgx.Rows) error {
		list, positions = nil, nil
		var o wire.Order
		var position, created, updated int64
		var customer, items []byte
		_, err := pgx.ForEachRow(rows, []any{&position, &o.ID, &customer, &o.Currency, &items, &o.TotalCents, &o.Status, &o.Version, &created,
			&updated}, func() error {
			o.CustomerID, o.Items = string(customer), nil
			if err := json.Unmarshal(items, &o.Items); err != nil {
				return fmt.Errorf("the stored items of order %s: %w", o.ID, err)
			}
			o.CreatedAt, o.UpdatedAt = time.Unix(0, created).UTC(), time.Unix(0, updated).UTC()
			list, positions = append(list, o), append(positions, position)
			return nil
		})
		return err
	})
	return list, positions, err
}
