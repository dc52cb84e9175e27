package host

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/berth-host/berth/host/api"
	"github.com/berth-host/berth/host/audit"
	"github.com/berth-host/berth/host/bus"
	"github.com/berth-host/berth/host/bus/retention"
	"github.com/berth-host/berth/host/config"
	"github.com/berth-host/berth/host/delivery"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/install"
	"github.com/berth-host/berth/host/orders"
	"github.com/berth-host/berth/host/store"
)

// eventLog is what an engine offers: the log, the outcomes, and what the API shows.
type eventLog interface {
	bus.Log
	delivery.Store
	keyValues
	Event(ctx context.Context, id string) (event.Record, error)
	Events(ctx context.Context, q event.Query) ([]event.Record, error)
	ForgetHandler(ctx context.Context, handler string) error
	KVClear(ctx context.Context, plugin string) error
	SeqAt(ctx context.Context, t time.Time) (uint64, error)
	DeadCounts(ctx context.Context) (map[string]uint64, error)
	Skip(ctx context.Context, from, to uint64) (event.Skipped, error)
}

// storeFile is the engine sqlite's file in the data directory.
const storeFile = "berth.db"

// engine is an open event log with the orders that live in it.
type engine struct {
	eventLog
	orders func(*bus.Bus) orders.Repository
}

// openLog opens the engine that the configuration names.
func (h *Host) openLog(ctx context.Context) (engine, error) {
	if h.current.Load().Bus.Engine == config.EngineMemory {
		h.logger.Warn("events, orders and outcomes are kept in memory and are gone when the host stops (bus.engine: memory)")
		return h.bounded(bus.NewMemory(bus.MemoryConfig{}), func(b *bus.Bus) orders.Repository { return orders.NewMemory(b) }), nil
	}
	s, err := store.Open(ctx, store.Config{Path: filepath.Join(h.dataDir(), storeFile), Logger: h.logger,
		Evidence: evidence(h.dataDir()), AcceptDataLoss: h.cfg.AcceptDataLoss, Compact: h.cfg.Compact})
	if err != nil {
		return engine{}, fmt.Errorf("open the store: %w", err)
	}
	h.storeHealth = s.Health
	h.undo("the store", func(context.Context) error { return s.Close() })
	return h.bounded(s, func(*bus.Bus) orders.Repository { return orders.NewSQL(boundedDB{s, h.retention}) }), nil
}

// evidence names the files of a data directory that a host writes only once it has
// a store. Commands write to the audit log as well, also before the first start.
func evidence(dataDir string) []string {
	list := []string{filepath.Join(dataDir, install.LockFile)}
	path := filepath.Join(dataDir, audit.File)
	f, err := os.Open(path)
	if err != nil {
		return list
	}
	defer f.Close()
	const limit = 1 << 20 // bytes of the log that are read
	for lines := bufio.NewScanner(io.LimitReader(f, limit)); lines.Scan(); {
		var rec audit.Record
		if json.Unmarshal(lines.Bytes(), &rec) == nil && rec.Request != "" && !strings.HasPrefix(rec.Request, "berth ") {
			return append(list, path)
		}
	}
	return list
}

// bounded returns an engine with the retention in front of it.
func (h *Host) bounded(log eventLog, orders func(*bus.Bus) orders.Repository) engine {
	h.retention = retention.New(retention.Config{Log: log, Limits: func() retention.Limits {
		c := h.current.Load().Bus
		return retention.Limits{Retention: c.Retention, MaxAge: c.MaxAge, MaxSize: c.MaxSize}
	}, Now: time.Now, Logger: h.logger})
	return engine{boundedLog{log, h.retention}, orders}
}

// boundedLog is an engine that reclaims space before it refuses a publisher.
type boundedLog struct {
	eventLog
	retention *retention.Retention
}

// Append implements bus.Log.
func (l boundedLog) Append(ctx context.Context, events []*event.Event) ([]event.Receipt, error) {
	return l.retention.Append(ctx, events)
}

// boundedDB is the store of the orders with the same retention.
type boundedDB struct {
	*store.Store
	retention *retention.Retention
}

// Write implements orders.DB.
func (d boundedDB) Write(ctx context.Context, fn func(tx *sql.Tx) ([]*event.Event, error)) ([]event.Receipt, error) {
	return d.retention.Write(ctx, func() ([]event.Receipt, error) { return d.Store.Write(ctx, fn) })
}

// startBus starts the bus.
func (h *Host) startBus(ctx context.Context, log engine) (*bus.Bus, error) {
	b, err := bus.New(bus.Config{Log: log, RingSize: h.current.Load().Bus.RingSize, Logger: h.logger, OnEvents: newUnrouted(h.table.Load, time.Now, h.logger).note})
	if err != nil {
		return nil, fmt.Errorf("bus: %w", err)
	}
	if err := b.Start(ctx); err != nil {
		return nil, fmt.Errorf("start the bus: %w", err)
	}
	h.undo("the bus", b.Close)
	return b, nil
}

// deliveryLog is the bus and its engine as packages delivery and api read them.
type deliveryLog struct {
	*bus.Bus
	log engine
}

// Subscribe implements delivery.Log.
func (l deliveryLog) Subscribe(from uint64) delivery.Reader { return l.Bus.Subscribe(from) }

// Follow implements api.PublishedLog.
func (l deliveryLog) Follow(from uint64) api.Follower { return l.Bus.Subscribe(from) }

// Read implements delivery.Log.
func (l deliveryLog) Read(ctx context.Context, from uint64, limit int) ([]event.Record, error) {
	return l.log.Read(ctx, from, limit)
}
