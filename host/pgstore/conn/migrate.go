package conn

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/berth-host/berth/host/fault"
)

// versionTable marks a schema as Berth's: its one row has the number of migrations that the
// schema has had.
const versionTable = `CREATE TABLE berth_schema (
		id boolean PRIMARY KEY DEFAULT true CHECK (id),
		version integer NOT NULL
	);
	INSERT INTO berth_schema (version) VALUES (0);`

// migrate upgrades the schema in one transaction; one of several hosts that start at once
// does it, and the others wait. It makes a schema that does not exist, and refuses one with
// tables that are not Berth's, and one of a newer Berth: fault.Invalid.
func migrate(ctx context.Context, c *pgx.Conn, cfg Config) error {
	const doing = "prepare the PostgreSQL schema"
	err := pgx.BeginFunc(ctx, c, func(tx pgx.Tx) error {
		// A migration of many rows, and the wait for another host's, take as long as they take.
		if _, err := tx.Exec(ctx, `SET LOCAL statement_timeout = 0`); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, lockOf(cfg.Schema)); err != nil {
			return err
		}
		return upgrade(ctx, tx, cfg)
	})
	var refused *pgconn.PgError
	if errors.As(err, &refused) && refused.Code == "42501" {
		return fault.New(fault.Invalid, "%s: the user may not make it: as the owner of the database, run CREATE SCHEMA %s AUTHORIZATION %s: %s",
			doing, cfg.Schema, pgx.Identifier{c.Config().User}.Sanitize(), refused.Message)
	}
	return Coded(doing, err)
}

// lockOf returns the advisory lock of a schema, which no other program uses by chance.
func lockOf(schema string) int64 {
	h := fnv.New64a()
	h.Write([]byte("berth schema " + schema)) //nolint:errcheck // it returns none
	return int64(h.Sum64())
}

func upgrade(ctx context.Context, tx pgx.Tx, cfg Config) error {
	var there, ours bool
	var tables int
	if err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM pg_namespace WHERE nspname = $1::text),
		to_regclass($1::text || '.berth_schema') IS NOT NULL,
		(SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1::text)`,
		cfg.Schema).Scan(&there, &ours, &tables); err != nil {
		return err
	}
	switch {
	case !ours && tables > 0:
		return fault.New(fault.Invalid, "the schema %s has tables, but not Berth's: name another one in bus.postgres.schema", cfg.Schema)
	case !there:
		if _, err := tx.Exec(ctx, `CREATE SCHEMA `+pgx.Identifier{cfg.Schema}.Sanitize()); err != nil {
			return err
		}
	}
	if !ours {
		if _, err := tx.Exec(ctx, versionTable); err != nil {
			return err
		}
	}
	version := 0
	if err := tx.QueryRow(ctx, `SELECT version FROM berth_schema`).Scan(&version); err != nil {
		return err
	}
	if version > len(cfg.Migrations) {
		return newer(cfg, version)
	}
	if version == len(cfg.Migrations) {
		return nil
	}
	for i, text := range cfg.Migrations[version:] {
		if _, err := tx.Exec(ctx, text); err != nil {
			return fmt.Errorf("migration %d: %w", version+i+1, err)
		}
	}
	_, err := tx.Exec(ctx, `UPDATE berth_schema SET version = $1`, len(cfg.Migrations))
	return err
}
