package host

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/berth-host/berth/host/api/stream"
	"github.com/berth-host/berth/host/bus"
	"github.com/berth-host/berth/host/bus/retention"
	"github.com/berth-host/berth/host/config"
	"github.com/berth-host/berth/host/delivery"
	"github.com/berth-host/berth/host/doctor"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/orders"
	"github.com/berth-host/berth/host/run"
	"github.com/berth-host/berth/host/store"
	"github.com/berth-host/berth/host/telemetry/figures"
)

// engine is an open engine with the retention in front of it, its window of the newest
// events and its orders.
type engine struct {
	bus.Engine
	window *bus.Window
	orders func(*bus.Bus) orders.Repository
}

// openLog opens the configured engine.
func (h *Host) openLog(ctx context.Context) (engine, error) {
	settings := h.live.Config().Bus
	window := bus.NewWindow(bus.WindowConfig{Events: settings.RingSize})
	if settings.Engine == config.EngineMemory {
		h.logger.Warn("bus.engine is memory: events, orders and outcomes are lost when the host stops")
		h.storeHealth = func() error { return nil }
		return h.bounded(bus.NewMemory(bus.MemoryConfig{Window: window}), window,
			func(b *bus.Bus) orders.Repository { return orders.NewMemory(b) }), nil
	}
	s, err := store.Open(ctx, store.Config{Path: h.dataFile(doctor.StoreFile), Window: window, Logger: h.logger,
		Evidence: doctor.Evidence(h.live.DataDir()), AcceptDataLoss: h.cfg.AcceptDataLoss, Compact: h.cfg.Compact})
	if err != nil {
		return engine{}, fmt.Errorf("open store: %w", err)
	}
	h.storeHealth, h.copyStore = s.Health, s.Snapshot
	h.commits = func() figures.Commits { return figures.Commits(s.Commits.Get()) }
	h.onClose("the store", func(context.Context) error { return s.Close() })
	return h.bounded(s, window, func(*bus.Bus) orders.Repository { return orders.NewSQL(boundedDB{s, h.retention, h.commit}) }), nil
}

// bounded returns an engine with the retention in front of it.
func (h *Host) bounded(log bus.Engine, window *bus.Window, orders func(*bus.Bus) orders.Repository) engine {
	h.retention = retention.New(retention.Config{Log: log, Limits: func() retention.Limits {
		c := h.live.Config().Bus
		return retention.Limits{Retention: c.Retention, MaxAge: c.MaxAge, MaxSize: c.MaxSize}
	}, Now: time.Now, Logger: h.logger})
	h.live.OnChange(func(_, _ *config.Config) { h.retention.Configure() })
	return engine{boundedLog{log, h.retention, h.commit}, window, orders}
}

// boundedLog is an engine that reclaims space before it refuses a publisher.
type boundedLog struct {
	bus.Engine
	retention *retention.Retention
	commit    commitSpan
}

// commitSpan starts the span of a transaction that stores n events.
type commitSpan func(ctx context.Context, n int) (_ context.Context, end func(error))

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
	commit    commitSpan
}

// Write implements orders.DB.
func (d boundedDB) Write(ctx context.Context, fn func(tx *sql.Tx) ([]*event.Event, error)) ([]event.Receipt, error) {
	ctx, end := d.commit(ctx, 1)
	receipts, err := d.retention.Write(ctx, func() ([]event.Receipt, error) { return d.Store.Write(ctx, fn) })
	end(err)
	return receipts, err
}

// startBus makes the bus, and logs the types of its events without a route.
func (h *Host) startBus(log engine) (*bus.Bus, error) {
	b, err := bus.New(bus.Config{Log: log, Window: log.window})
	if err != nil {
		return nil, fmt.Errorf("bus: %w", err)
	}
	h.onClose("the bus", func(context.Context) error { b.Close(); return nil })
	h.background("the observer of events without a route", func(ctx context.Context) { run.NewUnrouted(h.live.Table, time.Now, h.logger).Run(ctx, b) })
	h.background("the mover of due events", bus.Mover{Log: log, Logger: h.logger}.Run)
	return b, nil
}

// deliveryLog is the log as packages delivery and api read it: the bus and its engine.
type deliveryLog struct {
	*bus.Bus
	log engine
}

// Subscribe implements delivery.Log.
func (l deliveryLog) Subscribe(from uint64) delivery.Reader { return l.Bus.Subscribe(from) }

// Follow implements stream.Log.
func (l deliveryLog) Follow(from uint64) stream.Follower { return l.Bus.Subscribe(from) }

// Read implements delivery.Log.
func (l deliveryLog) Read(ctx context.Context, from uint64, limit int) ([]event.Record, error) {
	return l.log.Read(ctx, from, limit)
}
