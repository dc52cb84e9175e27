package conn

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/berth-host/berth/host/fault"
)

// Inspection is what Examine finds in a database.
type Inspection struct {
	Server  string // its version
	Schema  int    // the version of the tables; 0: there are none
	Standby bool   // commits wait for a standby
}

// Examine connects and checks the server as Open does, with the same errors, and changes nothing.
func Examine(ctx context.Context, cfg Config) (found Inspection, err error) {
	if cfg.Schema == "" {
		cfg.Schema = defaultSchema
	}
	settings, err := settings(cfg)
	if err != nil {
		return found, err
	}
	ctx, cancel := context.WithTimeout(ctx, transactionLimit)
	defer cancel()
	c, err := pgx.ConnectConfig(ctx, settings.ConnConfig)
	if err != nil {
		return found, refusal(settings.ConnConfig, err)
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		c.Close(closing) //nolint:errcheck // it has written nothing
	}()
	const doing = "examine the PostgreSQL database"
	s, err := readServer(ctx, c)
	if err != nil {
		return found, Coded(doing, err)
	}
	if err := s.check(); err != nil {
		return found, err
	}
	found = Inspection{Server: s.name, Standby: s.demands > 0}
	var there bool
	if err := c.QueryRow(ctx, `SELECT to_regclass($1::text || '.berth_schema') IS NOT NULL`, cfg.Schema).Scan(&there); err != nil || !there {
		return found, Coded(doing, err)
	}
	if err := c.QueryRow(ctx, `SELECT version FROM berth_schema`).Scan(&found.Schema); err != nil {
		return found, Coded(doing, err)
	}
	if found.Schema > len(cfg.Migrations) {
		return found, newer(cfg, found.Schema)
	}
	return found, nil
}

func newer(cfg Config, version int) error {
	return fault.New(fault.Invalid, "the schema %s was made by a newer Berth (version %d, this one knows %d): use that version of Berth, "+
		"or name another schema in bus.postgres.schema", cfg.Schema, version, len(cfg.Migrations))
}
