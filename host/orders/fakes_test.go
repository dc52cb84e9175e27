package orders_test

import (
	"context"
	"database/sql"
	"path/filepath"
	"sync"
	"testing"

	_ "modernc.org/sqlite"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/orders"
	"github.com/berth-host/berth/host/orders/ordertest"
)

// fault injection shared by both fakes.
type breaker struct {
	set  bool
	how  ordertest.Break
	with error
}

func (b *breaker) take(how ordertest.Break) error {
	if !b.set || b.how != how {
		return nil
	}
	b.set = false
	return b.with
}

// fakeLog is a log in memory.
type fakeLog struct {
	mu     sync.Mutex
	events []*event.Event
	broken breaker
}

func (l *fakeLog) PublishEvents(_ context.Context, events []*event.Event) ([]event.Receipt, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.broken.take(ordertest.Unstored); err != nil {
		return nil, err
	}
	var receipts []event.Receipt
	for _, ev := range events {
		key := ev.Metadata().IdempotencyKey
		receipt := event.Receipt{EventID: ev.ID(), IdempotencyKey: key}
		for _, old := range l.events {
			if old.Metadata().IdempotencyKey == key {
				receipt.Err = fault.New(fault.Conflict, "the key %s is taken", key)
			}
		}
		if receipt.Err == nil {
			l.events = append(l.events, ev)
			receipt.Seq = uint64(len(l.events))
		}
		receipts = append(receipts, receipt)
	}
	return receipts, l.broken.take(ordertest.Unanswered)
}

func openMemory(*testing.T) ordertest.Harness {
	log := &fakeLog{}
	return ordertest.Harness{
		Repository: orders.NewMemory(log),
		Events: func(testing.TB) []*event.Event {
			log.mu.Lock()
			defer log.mu.Unlock()
			return append([]*event.Event(nil), log.events...)
		},
	}
}

// fakeDB is the smallest orders.DB: one transaction for each write.
type fakeDB struct {
	db      *sql.DB
	mu      sync.Mutex
	broken  breaker
	origins map[string]event.Origin // by the key of the event
}

func (d *fakeDB) Reader() *sql.DB { return d.db }

func (d *fakeDB) Write(ctx context.Context, fn func(*sql.Tx) ([]*event.Event, error)) ([]event.Receipt, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	tx, err := d.db.BeginTx(ctx, nil)
	if err != nil {
		return nil, err
	}
	defer tx.Rollback() //nolint:errcheck // after Commit it has nothing to do
	events, err := fn(tx)
	if err != nil {
		return nil, err
	}
	var receipts []event.Receipt
	for _, ev := range events {
		key := ev.Metadata().IdempotencyKey
		res, err := tx.ExecContext(ctx, `INSERT INTO events (key, envelope) VALUES (?, ?) ON CONFLICT DO NOTHING`, key, ev.Envelope())
		if err != nil {
			return nil, err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return nil, fault.New(fault.Conflict, "the key %s is taken", key)
		}
		d.origins[key] = ev.Origin()
		receipts = append(receipts, event.Receipt{EventID: ev.ID(), IdempotencyKey: key})
	}
	if err := d.broken.take(ordertest.Unstored); err != nil {
		return nil, err
	}
	if err := tx.Commit(); err != nil {
		return nil, err
	}
	return receipts, d.broken.take(ordertest.Unanswered)
}

func openSQL(t *testing.T) ordertest.Harness {
	db, err := sql.Open("sqlite", "file:"+filepath.Join(t.TempDir(), "orders.db")+"?_pragma=journal_mode(wal)&_pragma=synchronous(off)&_pragma=busy_timeout(5000)&_txlock=immediate")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	if _, err := db.ExecContext(t.Context(), `
		CREATE TABLE events(seq INTEGER PRIMARY KEY, key TEXT UNIQUE, envelope TEXT);
		CREATE TABLE orders(id TEXT PRIMARY KEY, customer_id TEXT, currency TEXT, items TEXT, total_cents INTEGER,
			status TEXT, version INTEGER, created_at INTEGER, updated_at INTEGER);
		CREATE INDEX orders_status ON orders(status);
		CREATE INDEX orders_customer ON orders(customer_id)`); err != nil {
		t.Fatal(err)
	}
	d := &fakeDB{db: db, origins: map[string]event.Origin{}}
	return ordertest.Harness{
		Repository: orders.NewSQL(d),
		Fail: func(_ testing.TB, how ordertest.Break) (fault.Code, func()) {
			d.broken = breaker{true, how, fault.New(fault.Exhausted, "the disk is full")}
			return fault.Exhausted, func() {}
		},
		Events: func(t testing.TB) []*event.Event {
			rows, err := db.QueryContext(context.Background(), `SELECT envelope FROM events ORDER BY seq`)
			if err != nil {
				t.Fatal(err)
			}
			defer rows.Close()
			var events []*event.Event
			for rows.Next() {
				var envelope string
				if err := rows.Scan(&envelope); err != nil {
					t.Fatal(err)
				}
				ev, err := event.Parse(envelope)
				if err != nil {
					t.Fatal(err)
				}
				events = append(events, ev.WithOrigin(d.origins[ev.Metadata().IdempotencyKey]))
			}
			if err := rows.Err(); err != nil {
				t.Fatal(err)
			}
			return events
		},
	}
}
