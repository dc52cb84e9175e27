package transfer

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/berth-host/berth/host/event/transfer"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/pgstore/conn"
)

// The name of the schema of a copy that is not complete.
const (
	partialSuffix = "_partial"
	maxName       = 32 // of a schema
)

// Target is a schema that is filled. It implements transfer.Target.
type Target struct {
	reader
	schema, partial string
	complete        bool // an earlier run has made the copy
}

// OpenTarget makes the partial schema of a schema that has no store, or opens it to continue.
// With restart it begins again. Store is the id of what is copied: its complete copy is opened
// to be compared once more, as after a run that was killed at its end. fault.Conflict: something
// else is stored in the schema, or another process makes a copy.
func OpenTarget(ctx context.Context, cfg Config, store string, restart bool) (*Target, error) {
	const doing = "make the store in PostgreSQL"
	schema := cfg.Database.Schema
	t := &Target{schema: schema, partial: schema[:min(len(schema), maxName-len(partialSuffix))] + partialSuffix}
	err := t.open(ctx, cfg, store, restart)
	if err == nil {
		return t, nil
	}
	if t.c != nil {
		err = errors.Join(err, t.Close())
	}
	return nil, conn.Coded(doing, err)
}

func (t *Target) open(ctx context.Context, cfg Config, store string, restart bool) (err error) {
	partial := cfg.Database
	partial.Schema = t.partial
	if t.c, err = connect(ctx, cfg.Database.URL, t.partial); err != nil {
		db, better := conn.Open(ctx, partial)
		if better != nil {
			return better
		}
		db.Close()
		return err
	}
	if err := t.lock(ctx); err != nil {
		return err
	}
	if err := t.vacant(ctx, t.c); err != nil {
		if restart || !t.has(ctx, store) {
			return err
		}
		return t.openComplete(ctx, cfg)
	}
	if restart {
		if _, err := t.c.Exec(ctx, `DROP SCHEMA IF EXISTS `+quoted(t.partial)+` CASCADE`); err != nil {
			return err
		}
	}
	db, err := conn.Open(ctx, partial) // checks the server and makes the tables
	if err != nil {
		return err
	}
	db.Close()
	if _, err := t.c.Exec(ctx, `CREATE TABLE IF NOT EXISTS transfer (kind text PRIMARY KEY, store text NOT NULL, key bytea, entries bigint NOT NULL,
		done boolean NOT NULL)`); err != nil {
		return err
	}
	t.types, err = readTypes(ctx, t.c, t.partial)
	return err
}

// has reports whether the schema has a copy of a store that no host was started on since.
func (t *Target) has(ctx context.Context, store string) (same bool) {
	schema := quoted(t.schema)
	err := t.c.QueryRow(ctx, `SELECT store = $1 AND NOT EXISTS (SELECT 1 FROM `+schema+`.members) FROM `+schema+`.head`, store).Scan(&same)
	return err == nil && same
}

// openComplete opens what an earlier run has made.
func (t *Target) openComplete(ctx context.Context, cfg Config) error {
	db, err := conn.Open(ctx, cfg.Database) // checks and upgrades
	if err != nil {
		return err
	}
	db.Close()
	t.complete = true
	if _, err := t.c.Exec(ctx, `SET search_path = `+quoted(t.schema)); err != nil {
		return err
	}
	t.types, err = readTypes(ctx, t.c, t.schema)
	return err
}

// lock excludes other processes until the connection ends. That of a process that was killed
// ends soon.
func (t *Target) lock(ctx context.Context) error {
	_, err := t.c.Exec(ctx, `SET lock_timeout = '3s'`)
	if err == nil {
		_, err = t.c.Exec(ctx, `SELECT pg_advisory_lock(hashtextextended('berth migrate ' || $1, 0))`, t.schema)
	}
	if err == nil {
		_, err = t.c.Exec(ctx, `SET lock_timeout = 0`)
	}
	var refused *pgconn.PgError
	if errors.As(err, &refused) && refused.Code == "55P03" {
		return fault.New(fault.Conflict, "another process makes a copy in the schema %s: wait for its end", t.schema)
	}
	return err
}

func quoted(name string) string { return pgx.Identifier{name}.Sanitize() }

// querier is a connection or a transaction.
type querier interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// vacant returns nil when nothing is stored in the schema: a host that was started on it has
// made the tables.
func (t *Target) vacant(ctx context.Context, c querier) error {
	var ours bool
	var tables int
	if err := c.QueryRow(ctx, `SELECT to_regclass($1::text || '.berth_schema') IS NOT NULL,
		(SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1::text)`, t.schema).Scan(&ours, &tables); err != nil {
		return err
	}
	if tables == 0 {
		return nil
	}
	const advice = "name another schema in bus.postgres.schema, or remove this one: DROP SCHEMA %s CASCADE"
	if !ours {
		return fault.New(fault.Conflict, "the schema %s has tables that are not Berth's: name another one in bus.postgres.schema", t.schema)
	}
	for _, table := range append([]string{"members", "shared", "modules"}, kindNames()...) {
		condition := ""
		if table == "head" {
			condition = " WHERE seq > 0"
		}
		var there, filled bool
		if err := c.QueryRow(ctx, `SELECT to_regclass($1) IS NOT NULL`, t.schema+"."+table).Scan(&there); err != nil {
			return err
		}
		if !there { // an older schema
			continue
		}
		if err := c.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM `+quoted(t.schema)+`.`+table+condition+`)`).Scan(&filled); err != nil {
			return err
		}
		switch {
		case filled && table == "members":
			return fault.New(fault.Conflict, "hosts use the schema %s, or did until they were killed: stop them; "+advice, t.schema, t.schema)
		case filled:
			return fault.New(fault.Conflict, "the schema %s has a store already (there are rows in %s): "+advice, t.schema, table, t.schema)
		}
	}
	return nil
}

func kindNames() (list []string) {
	for _, k := range transfer.Kinds() {
		list = append(list, k.Name)
	}
	return list
}

// Close closes the connection. The schema remains for a later run.
func (t *Target) Close() error { return closeConnection(t.c) }

// Begin implements transfer.Target.
func (t *Target) Begin(ctx context.Context, store string) (transfer.Progress, error) {
	if t.complete {
		return transfer.Progress{Complete: true}, nil
	}
	if _, err := t.c.Exec(ctx, `INSERT INTO transfer VALUES ('', $1, NULL, 0, false) ON CONFLICT DO NOTHING`, store); err != nil {
		return transfer.Progress{}, err
	}
	positions := make(map[string]transfer.Position)
	var kind, of string
	var at transfer.Position
	rows, err := t.c.Query(ctx, `SELECT kind, store, key, entries, done FROM transfer`)
	if err != nil {
		return transfer.Progress{}, err
	}
	_, err = pgx.ForEachRow(rows, []any{&kind, &of, &at.Key, &at.Rows, &at.Done}, func() error {
		positions[kind], at = at, transfer.Position{}
		return nil
	})
	if err == nil && of != store {
		err = fault.New(fault.Conflict, "the schema %s has the unfinished copy of another store (%s): finish that one, or begin again with --restart",
			t.partial, of)
	}
	return transfer.Progress{Positions: positions}, err
}

// Write implements transfer.Target.
func (t *Target) Write(ctx context.Context, k *transfer.Kind, rows []transfer.Row, at transfer.Position) error {
	return pgx.BeginFunc(ctx, t.c, func(tx pgx.Tx) error {
		var err error
		if k.Name == "head" {
			err = writeHead(ctx, tx, rows)
		} else {
			_, err = tx.CopyFrom(ctx, pgx.Identifier{k.Name}, names(k), pgx.CopyFromSlice(len(rows), func(n int) ([]any, error) {
				values := make([]any, len(k.Columns))
				for i := range values {
					values[i] = t.value(k, rows[n], i)
				}
				return values, nil
			}))
		}
		if err == nil {
			_, err = tx.Exec(ctx, `INSERT INTO transfer SELECT $1, store, $2, $3, $4 FROM transfer WHERE kind = ''
				ON CONFLICT (kind) DO UPDATE SET key = excluded.key, entries = excluded.entries, done = excluded.done`, k.Name, at.Key, at.Rows, at.Done)
		}
		return err
	})
}

// writeHead stores the id of the store and the ends of its log.
func writeHead(ctx context.Context, tx pgx.Tx, rows []transfer.Row) error {
	for _, row := range rows {
		if _, err := tx.Exec(ctx, `UPDATE head SET store = $1, seq = $2, trimmed = $3`, string(row[0].([]byte)), row[1], row[2]); err != nil {
			return err
		}
	}
	return nil
}

// sizeOfEvent is event.Event.Size of a row.
const sizeOfEvent = `octet_length(envelope) + octet_length(idempotency_key) + octet_length(type) + octet_length(subject) + 64`

// derived are the statements that compute what the tables have besides the rows.
var derived = []string{
	`UPDATE head SET (events, bytes, at) = (SELECT count(*), coalesce(sum(` + sizeOfEvent + `), 0), coalesce(max(appended_at), 0) FROM events)`,
	`UPDATE head SET (scheduled, cancelled, scheduled_bytes, bytes) = (SELECT count(*) FILTER (WHERE cancelled_at = 0),
		count(*) FILTER (WHERE cancelled_at > 0), coalesce(sum(` + sizeOfEvent + `) FILTER (WHERE cancelled_at = 0), 0),
		head.bytes + coalesce(sum(` + sizeOfEvent + `), 0) FROM scheduled)`,
	`DELETE FROM kv_usage`,
	`INSERT INTO kv_usage SELECT plugin, sum(octet_length(key) + octet_length(value) + 128) FROM kv GROUP BY plugin`,
	`DELETE FROM attempt_logs`,
	`INSERT INTO attempt_logs SELECT handler, sum(log_size) FROM attempts WHERE log_size > 0 GROUP BY handler`,
	`DROP TABLE transfer`,
	`ANALYZE ` + strings.Join(kindNames(), ", "), // so that the first queries have plans for these sizes
}

// Commit implements transfer.Target.
func (t *Target) Commit(ctx context.Context) error {
	err := pgx.BeginFunc(ctx, t.c, func(tx pgx.Tx) error {
		if err := t.vacant(ctx, tx); err != nil {
			return err
		}
		for _, text := range derived {
			if _, err := tx.Exec(ctx, text); err != nil {
				return fmt.Errorf("%w (%s)", err, text)
			}
		}
		if err := t.continueNumbers(ctx, tx); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `DROP SCHEMA IF EXISTS `+quoted(t.schema)+` CASCADE`); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `ALTER SCHEMA `+quoted(t.partial)+` RENAME TO `+quoted(t.schema))
		return err
	})
	return conn.Coded("complete the store in PostgreSQL", err)
}

// continueNumbers lets the numbers that the server gives to rows follow those that were copied.
func (t *Target) continueNumbers(ctx context.Context, tx pgx.Tx) error {
	for _, k := range transfer.Kinds() {
		for _, column := range names(k) {
			var sequence *string
			if err := tx.QueryRow(ctx, `SELECT pg_get_serial_sequence($1, $2)`, k.Name, column).Scan(&sequence); err != nil {
				return err
			}
			if sequence == nil {
				continue
			}
			if _, err := tx.Exec(ctx, `SELECT setval($1, (SELECT coalesce(max(`+column+`), 0) + 1 FROM `+k.Name+`), false)`, *sequence); err != nil {
				return err
			}
		}
	}
	return nil
}
