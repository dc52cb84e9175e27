package conn

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/berth-host/berth/host/fault"
)

// Config says which database a host uses. URL and Migrations are required.
type Config struct {
	URL        string       // such as postgres://berth@db:5432/berth, with the password
	Schema     string       // of the tables; "" is berth
	Logger     *slog.Logger // nil discards
	Migrations []string     // statements, in their order; a published one never changes
	MaxConns   int          // of the pool; 0 is 16, or what the URL says in pool_max_conns
}

const (
	defaultSchema = "berth"
	defaultConns  = 16
	// statementLimit bounds a statement on the server, and how long the server lets a
	// transaction wait for its client: a host that stopped must not keep its locks.
	statementLimit = 2 * time.Second
	// connectLimit bounds one attempt to connect, unless the URL says otherwise.
	connectLimit = 2 * time.Second
)

// A name of a schema is used in statements and in names of channels, which are 63 bytes.
var schemaMatch = regexp.MustCompile(`^[a-z_][a-z0-9_]{0,31}$`)

// settings returns the settings of the connections. Its errors are fault.Invalid and have no
// part of the URL: it may have a password in any place.
func settings(cfg Config) (*pgxpool.Config, error) {
	if !schemaMatch.MatchString(cfg.Schema) || strings.HasPrefix(cfg.Schema, "pg_") {
		return nil, fault.Field("bus.postgres.schema", "%s is no name for a schema of Berth's: it must match %s and not begin with pg_",
			fault.Quote(cfg.Schema), schemaMatch)
	}
	wrong := func(reason string) error {
		return fault.Field("bus.postgres.url", "%s; it must be as postgres://berth@db.example.org:5432/berth?sslmode=verify-full", reason)
	}
	if cfg.URL == "" {
		return nil, wrong("is missing")
	}
	// Not url.Parse, which refuses a list of hosts.
	scheme, location, _ := strings.Cut(cfg.URL, "://")
	if i := strings.IndexAny(location, "@/"); i >= 0 && location[i] == '@' {
		location = location[i+1:]
	}
	location, parameters, _ := strings.Cut(location, "?")
	_, database, _ := strings.Cut(location, "/")
	query, err1 := url.ParseQuery(parameters)
	switch {
	case scheme != "postgres" && scheme != "postgresql":
		return nil, wrong("does not begin with postgres://")
	case database == "" && err1 == nil && !query.Has("dbname"):
		return nil, wrong("names no database")
	}
	pool, err2 := pgxpool.ParseConfig(cfg.URL)
	if err1 != nil || err2 != nil { // their texts can contain parts of the URL
		return nil, wrong("cannot be used: a parameter, a port or a certificate file of it is wrong, or characters of the password such as " +
			"@, / and % are not percent-encoded")
	}
	if !query.Has("pool_max_conns") {
		pool.MaxConns = defaultConns
	}
	if cfg.MaxConns > 0 {
		pool.MaxConns = int32(cfg.MaxConns)
	}
	c := pool.ConnConfig
	if !query.Has("connect_timeout") {
		c.ConnectTimeout = connectLimit
	}
	limit := strconv.FormatInt(statementLimit.Milliseconds(), 10)
	for name, value := range map[string]string{
		"search_path":                         cfg.Schema,
		"statement_timeout":                   limit,
		"idle_in_transaction_session_timeout": limit,
		"application_name":                    "berth",
		// Every statement finds its rows by an index, in the order of an index where that
		// counts. The statistics of a table that was empty a moment ago advise to read and sort
		// all of it, and a plan made by them is used until the server analyzes the table, which
		// can have a million rows then.
		"enable_seqscan":   "off",
		"enable_sort":      "off",
		"enable_hashjoin":  "off",
		"enable_mergejoin": "off",
		"jit":              "off",
	} {
		c.RuntimeParams[name] = value
	}
	dialer := &net.Dialer{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 5 * time.Second, Interval: time.Second, Count: 3}}
	c.DialFunc = dialer.DialContext
	c.OnNotice = noteWarning
	c.AfterConnect = endWithClient
	// A cancelled statement is cancelled on the server, and the connection stays of use.
	c.BuildContextWatcherHandler = func(conn *pgconn.PgConn) ctxwatch.Handler {
		return &pgconn.CancelRequestContextWatcherHandler{Conn: conn, DeadlineDelay: time.Second}
	}
	return pool, nil
}

// loseClient has the server end a session 4 s after the last packet of a host that is gone, with
// the locks of the session: its limits of time do not run while it awaits the rest of a pipeline.
// The lease of such a host has ended a second before. tcp_user_timeout counts while an answer is
// under way, when no keepalive is sent.
const loseClient = `SET tcp_keepalives_idle = 1; SET tcp_keepalives_interval = 1; SET tcp_keepalives_count = 3; SET tcp_user_timeout = 4000`

// endWithClient sets loseClient for a new connection. These are no parameters of the connection,
// since a pooler such as PgBouncer refuses those that it does not know. A server that refuses them
// is used without.
func endWithClient(ctx context.Context, c *pgconn.PgConn) error {
	err := c.Exec(ctx, loseClient).Close()
	if state(err) != "" {
		return nil
	}
	return err
}

// refusal returns the error of a connection that could not be made at the start.
func refusal(c *pgx.ConnConfig, err error) error {
	where := "database " + fault.Quote(c.Database) + " at " + net.JoinHostPort(c.Host, strconv.Itoa(int(c.Port)))
	if strings.HasPrefix(c.Host, "/") {
		where = "database " + fault.Quote(c.Database) + " at the socket in " + c.Host
	}
	var refused *pgconn.PgError
	if !errors.As(err, &refused) {
		return unavailable("connect to the PostgreSQL %s: it cannot be reached; check bus.postgres.url, that the server runs, and the "+
			"network: %w", where, err)
	}
	switch {
	case refused.Code == "28P01" || refused.Code == "28000":
		return fault.New(fault.Invalid, "connect to the PostgreSQL %s: the server refuses user %s: check the user, its password and the "+
			"server's pg_hba.conf: %s", where, fault.Quote(c.User), refused.Message)
	case refused.Code == "3D000":
		return fault.New(fault.Invalid, "connect to the PostgreSQL %s: there is no such database; create it: createdb -E UTF8 -T template0 %s",
			where, c.Database)
	case refused.Code == "53300":
		return unavailable("connect to the PostgreSQL %s: the server has no connection left; raise its max_connections or lower "+
			"pool_max_conns in bus.postgres.url: %w", where, err)
	case refused.Code == "42501":
		return fault.New(fault.Invalid, "connect to the PostgreSQL %s: user %s may not connect; grant it: GRANT CONNECT ON DATABASE: %s",
			where, fault.Quote(c.User), refused.Message)
	case strings.HasPrefix(refused.Code, "08"):
		return fault.New(fault.Invalid, "connect to the PostgreSQL %s: the server, or a pooler before it, refuses the settings of the "+
			"connection: connect to the server itself, or to a pooler in session mode: %s", where, refused.Message)
	}
	return Coded("connect to the PostgreSQL "+where, err)
}
