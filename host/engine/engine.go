// Package engine opens the engine that the configuration names, with the retention in front of
// it, and gives the host what each kind of engine has besides.
package engine

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"time"

	"github.com/berth-host/berth/host/api/stream"
	"github.com/berth-host/berth/host/bus"
	"github.com/berth-host/berth/host/bus/retention"
	"github.com/berth-host/berth/host/config"
	"github.com/berth-host/berth/host/delivery"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/orders"
	"github.com/berth-host/berth/host/secret"
	"github.com/berth-host/berth/host/store"
	"github.com/berth-host/berth/host/store/datafile"
	"github.com/berth-host/berth/host/telemetry/figures"
)

// Config says which engine to open. All fields but AcceptDataLoss, Compact and Failed are required.
type Config struct {
	Settings func() config.Bus // in force
	File     string            // of the store of config.EngineSQLite
	// Evidence are files whose existence proves that there was a store.
	Evidence       []string
	AcceptDataLoss bool
	Compact        bool
	// Secrets and Env have the database's password.
	Secrets secret.Source
	Env     func(name string) (value string, found bool)
	Commit  CommitSpan
	Now     func() time.Time // for the ages of events
	Logger  *slog.Logger
	// Failed gets an error when the database has lost events while the host runs: what it has in
	// memory does not fit any more, and it must be started again.
	Failed chan<- error
}

// NoBackup is why a host with a database makes no backup of it.
const NoBackup = "bus.engine is postgres: back up the database with pg_dump, or as its server is backed up, and the data directory of each " +
	"host as files"

// CommitSpan starts the span of a transaction that stores n events.
type CommitSpan func(ctx context.Context, n int) (_ context.Context, end func(error))

// Engine is an open engine with the retention in front of it.
type Engine struct {
	bus.Engine
	Window    *bus.Window // of the newest events
	Retention *retention.Retention
	Orders    func(*bus.Bus) orders.Repository

	Health  func() error                                                        // why it refuses writes
	Copy    func(ctx context.Context, target string) (datafile.Snapshot, error) // nil: it has no file
	NoCopy  string                                                              // why Copy is nil, and what to do
	Commits func() figures.Commits                                              // nil: it counts none
	// Database has the figures of the connections to a database; nil: it uses none.
	Database func() figures.Database
	Shared   Shared // nil: it is this host's alone

	shut   func() // closes Shared; nil: nothing
	unlock func() // releases the data directory; nil: nothing
}

// Open opens the engine that the settings name.
func Open(ctx context.Context, cfg Config) (*Engine, error) {
	settings := cfg.Settings()
	e := &Engine{Window: bus.NewWindow(bus.WindowConfig{Events: settings.RingSize}), Health: func() error { return nil }}
	switch settings.Engine {
	case config.EngineMemory:
		cfg.Logger.Warn("bus.engine is memory: events, orders and outcomes are lost when the host stops")
		e.NoCopy = "bus.engine is memory: there is no store to back up"
		e.Engine = bus.NewMemory(bus.MemoryConfig{Window: e.Window})
		e.Orders = func(b *bus.Bus) orders.Repository { return orders.NewMemory(b) }
		e.bound(cfg)
	case config.EnginePostgres:
		if err := e.openPostgres(ctx, cfg, settings.Postgres); err != nil {
			return nil, fmt.Errorf("open the database of bus.postgres: %w", err)
		}
	default:
		s, err := store.Open(ctx, store.Config{Path: cfg.File, Window: e.Window, Logger: cfg.Logger, Evidence: cfg.Evidence,
			AcceptDataLoss: cfg.AcceptDataLoss, Compact: cfg.Compact})
		if err != nil {
			return nil, fmt.Errorf("open store: %w", err)
		}
		e.Engine, e.Health, e.Copy = s, s.Health, s.Snapshot
		e.Commits = func() figures.Commits { return figures.Commits(s.Commits.Get()) }
		e.bound(cfg)
		db := boundedDB{s, e.Retention, cfg.Commit}
		e.Orders = func(*bus.Bus) orders.Repository { return orders.NewSQL(db) }
	}
	return e, nil
}

// Close implements bus.Engine.
func (e *Engine) Close() error {
	if e.shut != nil {
		e.shut()
	}
	err := e.Engine.Close()
	if e.unlock != nil {
		e.unlock()
	}
	return err
}

// bound puts the retention in front of the engine.
func (e *Engine) bound(cfg Config) {
	e.Retention = retention.New(retention.Config{Log: e.Engine, Limits: func() retention.Limits {
		c := cfg.Settings()
		return retention.Limits{Retention: c.Retention, MaxAge: c.MaxAge, MaxSize: c.MaxSize}
	}, Now: cfg.Now, Logger: cfg.Logger})
	e.Engine = boundedLog{e.Engine, e.Retention, cfg.Commit}
}

// boundedLog is an engine that reclaims space before it refuses a publisher.
type boundedLog struct {
	bus.Engine
	retention *retention.Retention
	commit    CommitSpan
}

// Append implements bus.Log.
func (l boundedLog) Append(ctx context.Context, events []*event.Event) ([]event.Receipt, error) {
	ctx, end := l.commit(ctx, len(events))
	receipts, err := l.retention.Append(ctx, events)
	end(err)
	return receipts, err
}

// boundedDB is the store of the orders with the same retention.
type boundedDB struct {
	*store.Store
	retention *retention.Retention
	commit    CommitSpan
}

// Write implements orders.DB.
func (d boundedDB) Write(ctx context.Context, fn func(tx *sql.Tx) ([]*event.Event, error)) ([]event.Receipt, error) {
	ctx, end := d.commit(ctx, 1)
	receipts, err := d.retention.Write(ctx, func() ([]event.Receipt, error) { return d.Store.Write(ctx, fn) })
	end(err)
	return receipts, err
}

// Log is the log as packages delivery and api read it: the bus and its engine.
type Log struct {
	*bus.Bus
	Engine *Engine
}

// Subscribe implements delivery.Log.
func (l Log) Subscribe(from uint64) delivery.Reader { return l.Bus.Subscribe(from) }

// Follow implements stream.Log.
func (l Log) Follow(from uint64) stream.Follower { return l.Bus.Subscribe(from) }

// Read implements delivery.Log.
func (l Log) Read(ctx context.Context, from uint64, limit int) ([]event.Record, error) {
	return l.Engine.Read(ctx, from, limit)
}
