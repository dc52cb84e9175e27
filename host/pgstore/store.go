package pgstore

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/pgstore/conn"
	"github.com/berth-host/berth/host/pgstore/keyvalue"
	"github.com/berth-host/berth/host/pgstore/ledger"
	"github.com/berth-host/berth/host/pgstore/pglog"
	"github.com/berth-host/berth/host/pgstore/progress"
	"github.com/berth-host/berth/host/pgstore/shelf"
	"github.com/berth-host/berth/host/pgstore/timed"
	"github.com/berth-host/berth/host/pgstore/units"
)

// Config sets up a Store. URL and Window are required.
type Config struct {
	URL      string // of the database, with the password; see conn.Config
	Schema   string // of the tables; "" is berth
	MaxConns int    // see conn.Config
	Window   pglog.Window
	MaxBytes int64            // see bus.Log
	KVBytes  int64            // of the state of one plugin; 0 is 64 MiB
	Now      func() time.Time // the clock for the times of appends; nil is time.Now
	Logger   *slog.Logger     // nil discards
	Lost     func(error)      // see pglog.Config
	Seen     string           // a file of this host's; see pglog.Config
}

type (
	eventLog  = pglog.Log
	handlers  = progress.State
	kvState   = keyvalue.State
	schedule  = timed.Schedule
	documents = shelf.Shelf
	shards    = units.Units
)

// Store is the engine. All methods are safe for concurrent use.
type Store struct {
	*eventLog
	*handlers
	*kvState
	*schedule
	*documents
	*shards

	db     *conn.DB
	now    func() time.Time
	orders *Orders
	close  sync.Once
}

// Migrations returns those of the schema; a published one is never edited.
func Migrations() []string {
	return []string{
		strings.Join([]string{conn.Units, pglog.Schema, progress.Schema, keyvalue.Schema, timed.Schema, shelf.Schema, ledger.Schema,
			ordersSchema}, "\n"),
		timed.SchemaBytes,
	}
}

// Examine is conn.Examine for the tables of a Store.
func Examine(ctx context.Context, cfg Config) (conn.Inspection, error) {
	return conn.Examine(ctx, conn.Config{URL: cfg.URL, Schema: cfg.Schema, Migrations: Migrations()})
}

// Open connects to the database, checks it, and makes or upgrades the tables. Its errors are
// those of conn.Open.
func Open(ctx context.Context, cfg Config) (_ *Store, err error) {
	if cfg.KVBytes <= 0 {
		cfg.KVBytes = 64 << 20
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	s := &Store{now: cfg.Now}
	s.db, err = conn.Open(ctx, conn.Config{URL: cfg.URL, Schema: cfg.Schema, Logger: cfg.Logger, MaxConns: cfg.MaxConns,
		Migrations: Migrations()})
	if err != nil {
		return nil, err
	}
	s.eventLog, err = pglog.Open(ctx, pglog.Config{DB: s.db, Window: cfg.Window, MaxBytes: cfg.MaxBytes, Now: cfg.Now, Logger: cfg.Logger,
		Lost: cfg.Lost, Seen: cfg.Seen})
	if err != nil {
		s.db.Close()
		return nil, err
	}
	s.schedule = timed.New(timed.Config{DB: s.db, Now: cfg.Now, Appended: s.published})
	s.kvState = keyvalue.New(keyvalue.Config{DB: s.db, Quota: cfg.KVBytes, Now: cfg.Now, Logger: cfg.Logger})
	s.handlers = progress.New(progress.Config{DB: s.db, Event: s.Event, LogLimit: s.LogLimit, Quota: cfg.KVBytes, Now: cfg.Now, Logger: cfg.Logger,
		Published: func(children []event.Receipt) {
			s.Added(children)
			s.published(context.Background())
		}})
	s.documents = shelf.New(s.db)
	s.shards = units.New(s.db)
	s.orders = newOrders(s)
	return s, nil
}

// published follows the commit of events that another part than the log has appended.
func (s *Store) published(ctx context.Context) {
	s.CatchUp(ctx) //nolint:errcheck // the log repeats it soon, and logs
	s.Notify()
}

// Append implements bus.Log.
func (s *Store) Append(ctx context.Context, events []*event.Event) ([]event.Receipt, error) {
	receipts, err := s.eventLog.Append(ctx, events)
	s.Added(receipts)
	return receipts, err
}

// SetCutOff says whether the database is known not to answer; see conn.DB. The ledger goes on.
func (s *Store) SetCutOff(cutOff bool) { s.db.SetCutOff(cutOff) }

// Ledger returns a new ledger of the cluster in the same database, to be closed before the store.
func (s *Store) Ledger() (*ledger.Ledger, error) { return ledger.New(s.db) }

// Stats returns what the connections of the store, without those of a ledger, have done.
func (s *Store) Stats() conn.Stats { return s.db.Stats() }

// Orders returns the orders in the same database; see orders.NewTable.
func (s *Store) Orders() *Orders { return s.orders }

// Close waits for the writes under way. Every later call is fault.Unavailable. It is safe to
// call more than once.
func (s *Store) Close() error {
	s.close.Do(func() {
		s.orders.queue.Close()
		s.eventLog.Close()
		s.schedule.Close()
		s.kvState.Close()
		s.db.Close()
	})
	return nil
}
