package transfer

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/pgstore/conn"
	"github.com/berth-host/berth/host/spec"
)

// Config says which schema is read or written.
type Config struct {
	Database conn.Config   // as a host has it; Schema is required
	Lease    time.Duration // hosts that do not renew their row for this long have ended
}

// Source is a schema whose rows are read. It implements transfer.Source.
type Source struct{ reader }

// OpenSource opens a schema, and upgrades an older one. fault.Conflict: a host runs, or a handler has
// shards, which an engine of one host does not know. fault.NotFound: there is no such schema.
func OpenSource(ctx context.Context, cfg Config) (*Source, error) {
	const doing = "open the store in PostgreSQL"
	s := &Source{}
	err := s.open(ctx, cfg)
	if err == nil {
		return s, nil
	}
	if s.c != nil {
		s.Close()
	}
	return nil, conn.Coded(doing, err)
}

func (s *Source) open(ctx context.Context, cfg Config) (err error) {
	schema := cfg.Database.Schema
	if s.c, err = connect(ctx, cfg.Database.URL, schema); err != nil {
		// Open has the better errors; it fails as well.
		db, better := conn.Open(ctx, cfg.Database)
		if better != nil {
			return better
		}
		db.Close()
		return err
	}
	var there bool
	if err := s.c.QueryRow(ctx, `SELECT to_regclass($1::text || '.berth_schema') IS NOT NULL`, schema).Scan(&there); err != nil {
		return err
	}
	if !there {
		return fault.New(fault.NotFound, "there is no store in the schema %s: check bus.postgres.url and bus.postgres.schema", schema)
	}
	db, err := conn.Open(ctx, cfg.Database) // checks and upgrades
	if err != nil {
		return err
	}
	db.Close()
	if err := awaitEnd(ctx, s.c, cfg); err != nil {
		return err
	}
	if err := checkShards(ctx, s.c); err != nil {
		return err
	}
	s.types, err = readTypes(ctx, s.c, schema)
	return err
}

// checkShards refuses positions and dead letters of shards: an engine of one host would never read on
// from the former, nor redrive the latter.
func checkShards(ctx context.Context, c *pgx.Conn) error {
	for _, refused := range []struct{ units, advice string }{
		{`SELECT DISTINCT split_part(name, '/', 2) FROM cursors WHERE name LIKE 'handler/%/%'`,
			"has shards: start the hosts with shards: 1 for it, wait until berth cluster status shows it without shards, and stop them"},
		{`SELECT DISTINCT split_part(handler, '/', 1) FROM deliveries WHERE status = 'dead' AND NOT purged AND handler LIKE '%/%'`,
			"has dead letters of former shards: start the hosts, redrive or purge them (berth events dead-letters --plugin), and stop them"},
	} {
		rows, err := c.Query(ctx, refused.units+" ORDER BY 1")
		if err != nil {
			return err
		}
		plugins, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			return err
		}
		if len(plugins) > 0 {
			return fault.New(fault.Conflict, "%s %s", strings.Join(plugins, ", "), refused.advice)
		}
	}
	return nil
}

// Close closes the connection.
func (s *Source) Close() error { return closeConnection(s.c) }

func closeConnection(c *pgx.Conn) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return c.Close(ctx)
}

// connect returns a connection for a schema, without limits of time.
func connect(ctx context.Context, url, schema string) (*pgx.Conn, error) {
	pool, err := pgxpool.ParseConfig(url) // it knows the parameters of pools, too
	if err != nil {
		return nil, fault.Field("bus.postgres.url", "cannot be used") // the error can have the password
	}
	c := pool.ConnConfig
	c.RuntimeParams["search_path"], c.RuntimeParams["application_name"] = schema, "berth migrate"
	c.RuntimeParams["statement_timeout"], c.RuntimeParams["idle_in_transaction_session_timeout"] = "0", "0"
	return pgx.ConnectConfig(ctx, c)
}

// awaitEnd returns nil when no member renews its row. A host that ended in order has no row;
// for others it takes as long as a lease.
func awaitEnd(ctx context.Context, c *pgx.Conn, cfg Config) error {
	before, err := members(ctx, c)
	if err != nil || len(before) == 0 {
		return err
	}
	logger := cfg.Database.Logger
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	logger.Info("waiting whether the hosts that the database knows have ended", "hosts", len(before), "seconds", cfg.Lease.Seconds())
	timer := time.NewTimer(cfg.Lease)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return ctx.Err()
	}
	after, err := members(ctx, c)
	if err != nil {
		return err
	}
	var running []string
	for id, m := range after {
		if old, known := before[id]; !known || old.Beat != m.Beat {
			running = append(running, fmt.Sprintf("%s (%s)", m.Name, m.URL))
		}
	}
	if len(running) == 0 {
		return nil
	}
	slices.Sort(running)
	return fault.New(fault.Conflict, "hosts use the schema: stop %s", strings.Join(running, ", "))
}

// members returns the members by their ids.
func members(ctx context.Context, c *pgx.Conn) (map[string]spec.Beating, error) {
	list := make(map[string]spec.Beating)
	var id string
	var beat int64
	var body []byte
	rows, err := c.Query(ctx, `SELECT id, beat, body FROM members`)
	if err != nil {
		return nil, err
	}
	_, err = pgx.ForEachRow(rows, []any{&id, &beat, &body}, func() error {
		m := spec.Beating{Beat: uint64(beat)}
		err := json.Unmarshal(body, &m.Member)
		list[id] = m
		return err
	})
	return list, err
}
