package admin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/berth-host/berth/cmd/berth/internal/command"
	"github.com/berth-host/berth/cmd/berth/internal/console"
	"github.com/berth-host/berth/host/cluster"
	"github.com/berth-host/berth/host/config"
	"github.com/berth-host/berth/host/doctor"
	"github.com/berth-host/berth/host/engine"
	"github.com/berth-host/berth/host/event/transfer"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/live"
	"github.com/berth-host/berth/host/pgstore"
	"github.com/berth-host/berth/host/pgstore/conn"
	postgres "github.com/berth-host/berth/host/pgstore/transfer"
	"github.com/berth-host/berth/host/secret"
	sqlite "github.com/berth-host/berth/host/store/transfer"
	"github.com/berth-host/berth/host/wire"
)

// migration is the command migrate with its flags.
type migration struct {
	app
	from, to, configPath string
	restart              bool
}

// migrated is the answer of a migration.
type migrated struct {
	From    string            `json:"from"`
	To      string            `json:"to"`
	Kinds   []transfer.Result `json:"kinds"`
	Seconds float64           `json:"seconds"`
}

// MigrateCommand returns the command migrate.
func MigrateCommand(env *command.Env) *cobra.Command {
	m := &migration{app: app{env}}
	cmd := command.New("migrate", "Move the store from SQLite to PostgreSQL, or back, while no host runs",
		func(ctx context.Context, _ []string) error { return m.run(ctx) })
	cmd.Long = `Copies everything that a host stores from one engine to the other: events with
their numbers and times, positions, outcomes, attempts, dead letters, stored values,
scheduled events, documents and orders. No host may run on either side.

The store in SQLite is that of the data directory. The one in PostgreSQL is named by
bus.postgres of the configuration, also while bus.engine is still sqlite. The target
must have no store. The source is not changed, except that an older store is upgraded.

The copy is made under another name (berth.db.partial, or the schema with _partial),
compared with the source row by row, and gets its name only if both are equal. A
migration that was interrupted continues when it is started again; --restart begins
again. A complete copy is compared again and not changed. Afterwards set bus.engine in
the configuration and start the host.

Not in the store, and so not copied: the configuration, secrets and the audit log.`
	cmd.Example = "  berth migrate --from sqlite --to postgres --config config/event_handlers.yaml\n  berth migrate --from postgres --to sqlite --data-dir data-back"
	flags := cmd.Flags()
	flags.StringVar(&m.from, "from", "", "sqlite or postgres")
	flags.StringVar(&m.to, "to", "", "postgres or sqlite")
	flags.StringVar(&m.configPath, "config", live.DefaultPath, "configuration that names the PostgreSQL database")
	flags.StringVar(&m.DataDir, "data-dir", "", "data directory of the store in SQLite (default: $BERTH_DATA_DIR or data)")
	flags.BoolVar(&m.restart, "restart", false, "forget an unfinished copy and begin again")
	flags.BoolVar(&m.JSON, "json", false, "print the result as JSON")
	_ = cmd.MarkFlagRequired("from")
	_ = cmd.MarkFlagRequired("to")
	return cmd
}

func (m *migration) run(ctx context.Context) error {
	const lite, pg = string(config.EngineSQLite), string(config.EnginePostgres)
	toPostgres := m.from == lite && m.to == pg
	if !toPostgres && (m.from != pg || m.to != lite) {
		return command.Usage("--from and --to are sqlite and postgres, or postgres and sqlite")
	}
	c, err := live.Read(m.configPath)
	if err != nil {
		return err
	}
	if !toPostgres {
		if err := os.MkdirAll(m.DataDirectory(), 0o700); err != nil {
			return err
		}
	}
	if err := m.OnlyHere("a store is moved where its data directory is"); err != nil {
		return err
	}
	dir, err := filepath.Abs(m.DataDirectory())
	if err != nil {
		return err
	}
	database, err := databaseOf(c, dir)
	if err != nil {
		return err
	}
	database.Logger = slog.New(slog.NewTextHandler(m.Err, nil))
	file := filepath.Join(dir, doctor.StoreFile)
	answer := migrated{From: file, To: "schema " + database.Schema}
	if !toPostgres {
		answer.From, answer.To = answer.To, answer.From
	}
	err = m.change("store-migrate", answer.To, map[string]string{"from": answer.From, "to": answer.To}, func() (any, string, error) {
		began := time.Now()
		var err error
		if toPostgres {
			answer.Kinds, err = m.toPostgres(ctx, file, dir, database)
		} else {
			answer.Kinds, err = m.toSQLite(ctx, file, database)
		}
		answer.Seconds = time.Since(began).Seconds()
		return nil, answer.To, err
	})
	if err != nil {
		return err
	}
	return command.Show(m.Env, answer, m.print)
}

// waitFor is the time after which a host that does not renew its row has ended.
const waitFor = cluster.LeaseFor + cluster.BeatEvery

func (m *migration) toPostgres(ctx context.Context, file, dir string, database conn.Config) (_ []transfer.Result, err error) {
	from, err := sqlite.OpenSource(ctx, file, doctor.Evidence(dir), database.Logger)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, from.Close()) }()
	store, err := from.Store(ctx)
	if err != nil {
		return nil, err
	}
	to, err := postgres.OpenTarget(ctx, postgres.Config{Database: database, Lease: waitFor}, store, m.restart)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, to.Close()) }()
	return m.copy(ctx, from, to)
}

func (m *migration) toSQLite(ctx context.Context, file string, database conn.Config) (_ []transfer.Result, err error) {
	from, err := postgres.OpenSource(ctx, postgres.Config{Database: database, Lease: waitFor})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, from.Close()) }()
	store, err := from.Store(ctx)
	if err != nil {
		return nil, err
	}
	to, err := sqlite.OpenTarget(ctx, file, store, m.restart)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, to.Close()) }()
	return m.copy(ctx, from, to)
}

func (m *migration) copy(ctx context.Context, from transfer.Source, to transfer.Target) ([]transfer.Result, error) {
	bar := m.NewBar()
	defer bar.End()
	results, err := transfer.Copy(ctx, transfer.Config{From: from, To: to, Progress: func(step, kind string, n, of int64) {
		bar.Show(wire.Progress{Step: step + " " + kind, Done: n, Total: of})
	}})
	if ctx.Err() != nil {
		return nil, fmt.Errorf("interrupted: start the same command again to continue: %w", ctx.Err())
	}
	return results, err
}

func (m *migration) print(r migrated) error {
	if err := console.Table(m.Console, "KIND\tROWS\tSHA-256 OF BOTH SIDES", r.Kinds, func(k transfer.Result) console.Cells {
		return console.Cells{k.Kind, k.Rows, k.Digest}
	}); err != nil {
		return err
	}
	return m.Print("\n%s is a copy of %s, made in %.1f s. Set bus.engine: %s in %s and start the host.\n", r.To, r.From, r.Seconds, m.to, m.configPath)
}

// databaseOf returns the database that a configuration names.
func databaseOf(c *config.Config, dataDir string) (conn.Config, error) {
	p := c.Bus.Postgres
	if p.URL == "" {
		return conn.Config{}, fault.Field("bus.postgres.url", "is missing: name the database in the configuration (--config)")
	}
	secrets := secret.Source{Directory: secret.Directory(filepath.Join(dataDir, "secrets")), Env: os.LookupEnv}
	url, err := engine.DatabaseURL(p, secrets, os.LookupEnv)
	return conn.Config{URL: url, Schema: p.Schema, Migrations: pgstore.Migrations()}, err
}
