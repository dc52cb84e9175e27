package conn

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/berth-host/berth/host/fault"
)

// DB is a pool of connections to a database with Berth's tables.
type DB struct {
	pool   *pgxpool.Pool
	schema string
	log    *slog.Logger
	closed atomic.Bool
	notify *notifier
	part   bool // of another DB, whose notifier it uses
	cutoff *cutoff
	counts counts
}

// Open connects, checks the server and upgrades the schema; see checkServer and migrate. An
// error for a person says what is wrong and what to do: fault.Unavailable when the server
// cannot be reached or is a standby, else fault.Invalid. ctx bounds Open only.
func Open(ctx context.Context, cfg Config) (*DB, error) {
	if cfg.Schema == "" {
		cfg.Schema = defaultSchema
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	settings, err := settings(cfg)
	if err != nil {
		return nil, err
	}
	if err := prepare(ctx, cfg, settings.ConnConfig.Copy()); err != nil {
		return nil, err
	}
	pool, err := pgxpool.NewWithConfig(ctx, settings)
	if err != nil {
		return nil, Coded("open the PostgreSQL database", err)
	}
	d := &DB{pool: pool, schema: cfg.Schema, log: cfg.Logger, cutoff: newCutoff()}
	d.notify = newNotifier(settings.ConnConfig.Copy(), cfg.Schema, cfg.Logger)
	return d, nil
}

// prepare checks the server and upgrades the schema on a connection of its own.
func prepare(ctx context.Context, cfg Config, c *pgx.ConnConfig) error {
	one, err := pgx.ConnectConfig(ctx, c)
	if err != nil {
		return refusal(c, err)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		one.Close(ctx) //nolint:errcheck // everything is committed
	}()
	if err := checkServer(ctx, one, cfg.Logger); err != nil {
		return err
	}
	return migrate(ctx, one, cfg)
}

// Close waits for the transactions under way and closes the connections. Every later call
// is fault.Unavailable. It is safe to call more than once.
func (d *DB) Close() {
	if d.closed.Swap(true) {
		return
	}
	if !d.part {
		d.notify.close()
	}
	d.pool.Close()
}

// Closed returns the error of a call after Close, or nil.
func (d *DB) Closed() error {
	if d.closed.Load() {
		return errClosed()
	}
	return nil
}

func errClosed() error { return fault.New(fault.Unavailable, "the PostgreSQL engine is closed") }
