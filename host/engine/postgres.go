package engine

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/bus"
	"github.com/berth-host/berth/host/bus/retention"
	"github.com/berth-host/berth/host/cluster"
	"github.com/berth-host/berth/host/config"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/orders"
	"github.com/berth-host/berth/host/pgstore"
	"github.com/berth-host/berth/host/pgstore/conn"
	"github.com/berth-host/berth/host/pgstore/ledger"
	"github.com/berth-host/berth/host/secret"
	"github.com/berth-host/berth/host/shards"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/store/datafile"
	"github.com/berth-host/berth/host/telemetry/figures"
	"github.com/berth-host/berth/host/wire"
	"github.com/gofrs/flock"
)

// Shared is what hosts with one database share besides the engine.
type Shared interface {
	cluster.Ledger

	// Shared, Share and the methods of modules are those of live.Shared and install.Shared.
	Shared(ctx context.Context, kind string) ([]spec.SharedDocument, error)
	Share(ctx context.Context, d spec.SharedDocument) (revision uint64, err error)
	PutModule(ctx context.Context, sha256 string, content []byte) error
	Module(ctx context.Context, sha256 string) (content []byte, found bool, err error)
	RemoveModules(ctx context.Context, keep []string) error

	// SetCutOff says whether the database is known not to answer: then all calls but those that renew
	// the lease fail, those under way too.
	SetCutOff(cutOff bool)

	// The units of handlers, for shards.Coordinator.
	UnitStates(ctx context.Context, units []string) ([]spec.UnitState, error)
	CutUnits(ctx context.Context, units []string, document func(cut uint64) spec.SharedDocument) error
	BeginUnits(ctx context.Context, former, next []string, cut uint64, d spec.SharedDocument) error
	EndUnits(ctx context.Context, units []string, d spec.SharedDocument) error
	// Claim gives all units of a cursor's plugin this position, unless one of them has a position.
	Claim(ctx context.Context, c event.Cursor) error

	// Broadcast and Receive send messages of at most MaxMessage bytes; see conn.DB.
	Broadcast(ctx context.Context, messages []string) error
	Receive(ctx context.Context, take func(message string)) error
}

// MaxMessage bounds a message of Shared.Broadcast.
const MaxMessage = pgstore.MaxMessage

// shared is the parts of a store that make Shared.
type shared struct {
	*ledger.Ledger
	*pgstore.Store
}

func (s shared) Claim(ctx context.Context, c event.Cursor) error {
	plugin := spec.PluginOf(c.Handler())
	return s.Store.Claim(ctx, plugin, shards.Kind, c.Seq, func(document []byte) ([]string, error) { return shards.UnitsBy(plugin, document) })
}

// openPostgres opens the database of the engine, with the retention in front of it.
func (e *Engine) openPostgres(ctx context.Context, cfg Config, p config.Postgres) (err error) {
	unlock, err := lockDirectory(filepath.Dir(cfg.File))
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			unlock()
		}
	}()
	s, err := openStore(ctx, p, cfg.Secrets, cfg.Env, pgstore.Config{Window: e.Window, Logger: cfg.Logger, Lost: cfg.lost,
		Seen: filepath.Join(filepath.Dir(cfg.File), seenFile)})
	if err != nil {
		return err
	}
	leases, err := s.Ledger()
	if err != nil {
		return errors.Join(err, s.Close())
	}
	e.Engine, e.Shared, e.shut, e.unlock = s, shared{leases, s}, leases.Close, unlock
	e.NoCopy = NoBackup
	e.Database = func() figures.Database { return figures.Database(s.Stats()) }
	noteOtherStore(ctx, cfg, s)
	e.bound(cfg)
	db := boundedOrders{s.Orders(), e.Retention, cfg.Commit}
	e.Orders = func(*bus.Bus) orders.Repository { return orders.NewTable(db) }
	return nil
}

// noteOtherStore warns of a store in the data directory that is not in the database: a host that was
// configured for PostgreSQL without a migration begins with an empty log.
func noteOtherStore(ctx context.Context, cfg Config, s *pgstore.Store) {
	_, at, err := datafile.Examine(ctx, cfg.File)
	if err != nil || at.Seq == 0 {
		return
	}
	if id, err := s.ID(ctx); err == nil && id != at.Store {
		cfg.Logger.Warn("the data directory has a store in SQLite that is not in the database: this host does not use it; stop the hosts and "+
			"move it with berth migrate --from sqlite --to postgres, or move the file away", "file", cfg.File, "last_seq", at.Seq)
	}
}

// lockFile is the file in the data directory that a host with a database locks: such a directory has
// no store that a second host would find in use.
const lockFile = "host.lock"

// lockDirectory keeps other hosts from a data directory until the caller calls unlock, or its process
// ends. fault.Conflict: a host uses it.
func lockDirectory(dir string) (unlock func(), err error) {
	lock := flock.New(filepath.Join(dir, lockFile), flock.SetPermissions(0o600))
	locked, err := lock.TryLock()
	if err != nil {
		return nil, fault.Disk("lock the data directory", err)
	}
	if !locked {
		return nil, fault.New(fault.Conflict, "the data directory %s is in use by another host; stop it, or use another data directory", dir)
	}
	return func() { _ = lock.Close() }, nil // which unlocks it
}

// lost ends the host.
func (c Config) lost(err error) {
	select {
	case c.Failed <- err:
	default: // it ends already
	}
}

// seenFile is the file in the data directory that has what the host has seen of the shared log.
const seenFile = "postgres-seen.json"

// openStore opens the store in a database.
func openStore(ctx context.Context, p config.Postgres, secrets secret.Source, env func(string) (string, bool),
	cfg pgstore.Config) (*pgstore.Store, error) {
	url, err := DatabaseURL(p, secrets, env)
	if err != nil {
		return nil, err
	}
	cfg.URL, cfg.Schema, cfg.MaxConns = url, p.Schema, p.MaxConnections
	return pgstore.Open(ctx, cfg)
}

// Examine connects to the database that the settings name and checks it, without a change. Its errors
// are those of a start.
func Examine(ctx context.Context, p config.Postgres, secrets secret.Source, env func(string) (string, bool)) (conn.Inspection, error) {
	url, err := DatabaseURL(p, secrets, env)
	if err != nil {
		return conn.Inspection{}, err
	}
	return pgstore.Examine(ctx, pgstore.Config{URL: url, Schema: p.Schema})
}

// boundedOrders is the table of the orders with the retention in front of it.
type boundedOrders struct {
	orders.Rows
	retention *retention.Retention
	commit    CommitSpan
}

// InsertOrder implements orders.Rows.
func (r boundedOrders) InsertOrder(ctx context.Context, o wire.Order, ev *event.Event) (event.Receipt, bool, error) {
	return r.write(ctx, func(ctx context.Context) (event.Receipt, bool, error) { return r.Rows.InsertOrder(ctx, o, ev) })
}

// UpdateOrder implements orders.Rows.
func (r boundedOrders) UpdateOrder(ctx context.Context, version int64, status string, next wire.Order, ev *event.Event) (event.Receipt, bool, error) {
	return r.write(ctx, func(ctx context.Context) (event.Receipt, bool, error) {
		return r.Rows.UpdateOrder(ctx, version, status, next, ev)
	})
}

func (r boundedOrders) write(ctx context.Context, do func(context.Context) (event.Receipt, bool, error)) (receipt event.Receipt, stored bool,
	err error) {
	ctx, end := r.commit(ctx, 1)
	_, err = r.retention.Write(ctx, func() (_ []event.Receipt, err error) {
		receipt, stored, err = do(ctx)
		return nil, err
	})
	end(err)
	return receipt, stored, err
}

// DatabaseURL returns the URL of the database with its password. The caller must not show it.
func DatabaseURL(p config.Postgres, secrets secret.Source, env func(string) (string, bool)) (string, error) {
	password, err := passwordOf(p.Password, secrets, env)
	if err != nil || password == "" {
		return p.URL, err
	}
	return p.WithPassword(password)
}

// maxPassword bounds a password, in bytes.
const maxPassword = 4096

// passwordOf returns the password, "" for none.
func passwordOf(p config.Password, secrets secret.Source, env func(string) (string, bool)) (password string, err error) {
	const setting = "bus.postgres.password"
	switch {
	case p.Secret != "":
		if password, err = secrets.Read(p.Secret); err != nil {
			return "", fault.New(fault.CodeOf(err), "%s: %w", setting, err)
		}
	case p.File != "":
		if password, err = readPassword(p.File); err != nil {
			return "", fault.New(fault.Invalid, "%s.file: %w", setting, err)
		}
	case p.Env != "":
		var found bool
		if password, found = env(p.Env); !found {
			return "", fault.New(fault.Invalid, "%s.env: the environment has no variable %s", setting, p.Env)
		}
	default:
		return "", nil
	}
	if password == "" {
		return "", fault.New(fault.Invalid, "%s: it is empty where the configuration says it is", setting)
	}
	return password, nil
}

// readPassword reads a file of a password without one line end. Files of Kubernetes and of
// systemd can be read by a group, so that only those that everyone can read are refused.
func readPassword(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return "", err
	case !info.Mode().IsRegular():
		return "", errors.New(path + " is not a regular file")
	case info.Mode().Perm()&0o007 != 0:
		return "", errors.New(path + " can be read by every user of this machine: run chmod o= " + path)
	}
	content, err := io.ReadAll(io.LimitReader(f, maxPassword+1))
	if err == nil && len(content) > maxPassword {
		err = errors.New(path + " is too long for a password")
	}
	return string(abi.TrimFileEnd(content)), err
}
