package conn

import (
	"context"
	"log/slog"

	"github.com/jackc/pgx/v5"

	"github.com/berth-host/berth/host/fault"
)

// minServer is the oldest server that is supported, as server_version_num has it.
const minServer = 140000

// server is what checkServer looks at.
type server struct {
	version           int
	name              string // of the version
	recovering        bool   // it is a standby
	readOnly          string
	fsync, fullPages  string
	commit            string // synchronous_commit
	encoding          string
	standbys, demands int // synchronous standbys that are connected; whether commits wait for one
}

func readServer(ctx context.Context, c *pgx.Conn) (s server, err error) {
	err = c.QueryRow(ctx, `SELECT current_setting('server_version_num')::int, current_setting('server_version'), pg_is_in_recovery(),
		current_setting('default_transaction_read_only'), current_setting('fsync'), current_setting('full_page_writes'),
		current_setting('synchronous_commit'), current_setting('server_encoding'),
		(SELECT count(*) FROM pg_stat_replication WHERE sync_state IN ('sync', 'quorum')),
		(current_setting('synchronous_standby_names') <> '')::int`).Scan(&s.version, &s.name, &s.recovering, &s.readOnly,
		&s.fsync, &s.fullPages, &s.commit, &s.encoding, &s.standbys, &s.demands)
	return s, err
}

// checkServer refuses a server on which a committed write can be lost, or which is not one
// to write to.
func checkServer(ctx context.Context, c *pgx.Conn, log *slog.Logger) error {
	limited, cancel := context.WithTimeout(ctx, transactionLimit)
	defer cancel()
	s, err := readServer(limited, c)
	if err != nil {
		return Coded("check the PostgreSQL server", unanswered(ctx, err))
	}
	if err := s.check(); err != nil {
		return err
	}
	if s.demands == 0 {
		log.Warn("the PostgreSQL server waits for no standby: an acknowledged event is on its disk only, and is lost with that disk; "+
			"set synchronous_standby_names for a second copy", "server_version", s.name)
	} else if s.standbys == 0 {
		log.Warn("no synchronous standby of the PostgreSQL server is visible: it may be disconnected, and then writes wait for it, or the "+
			"user may not see it (GRANT pg_monitor)", "server_version", s.name)
	}
	return nil
}

func (s server) check() error {
	refuse := func(format string, args ...any) error {
		return fault.New(fault.Invalid, "the PostgreSQL server cannot be used: "+format, args...)
	}
	switch {
	case s.version < minServer:
		return refuse("it is version %s, but Berth needs 14 or newer: upgrade it, or name another server in bus.postgres.url", s.name)
	case s.recovering:
		return unavailable("the PostgreSQL server is a standby, which takes no writes: name the primary in bus.postgres.url, or all servers " +
			"with target_session_attrs=read-write")
	case s.readOnly == "on":
		return refuse("default_transaction_read_only is on for this user or database: ALTER ROLE … RESET default_transaction_read_only")
	case s.fsync == "off":
		return refuse("fsync is off, so a crash of its machine loses acknowledged events: set fsync = on in postgresql.conf")
	case s.fullPages == "off":
		return refuse("full_page_writes is off, so a crash of its machine can damage the tables: set full_page_writes = on in " +
			"postgresql.conf")
	case s.commit == "off" || s.commit == "local":
		return refuse("synchronous_commit is %s, so an acknowledged event can be lost: set it to on or remote_apply, for the server, the "+
			"database and the user", s.commit)
	case s.commit == "remote_write":
		return refuse("synchronous_commit is remote_write, so the standby does not have acknowledged events on its disk: set it to on or " +
			"remote_apply")
	case s.encoding != "UTF8":
		return refuse("the encoding of the database is %s: create one with ENCODING 'UTF8'", s.encoding)
	}
	return nil
}
