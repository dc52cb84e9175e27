package conn_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/pgstore/conn"
	"github.com/berth-host/berth/host/pgstore/pgtest"
)

const table = `CREATE TABLE marks (name text PRIMARY KEY, n bigint NOT NULL DEFAULT 0)`

func migrations() []string { return []string{conn.Units, table} }

// open opens a schema and closes it when the test ends.
func open(t *testing.T, schema string) *conn.DB {
	t.Helper()
	db, err := conn.Open(t.Context(), conn.Config{URL: pgtest.URL(t), Schema: schema, Migrations: migrations()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	return db
}

const password = "s3cr+t-w0rd"

func TestWrongURLs(t *testing.T) {
	for _, tt := range []struct{ url, want string }{
		{"", "is missing"},
		{"mysql://u:" + password + "@h/db", "does not begin with postgres://"},
		{"host=h user=u password=" + password, "does not begin with postgres://"},
		{"postgres://u:" + password + "@h", "names no database"},
		{"postgres://u:" + password + "@h:port/db", "cannot be used"},
		{"postgres://u:" + password + "/x@h/db", "cannot be used"},
		{"postgres://u:" + password + "%zz@h/db", "cannot be used"},
		{"postgres://u:" + password + "@h:99999999/db", "cannot be used"},
		{"postgres://u:" + password + "@h/db?sslmode=" + password, "cannot be used"},
		{"postgres://u@h/db?password=" + password + "&sslmode=maybe", "cannot be used"},
		{"postgres://u:" + password + "@h/db?connect_timeout=" + password, "cannot be used"},
		{"postgres://u:" + password + "@h/db?pool_max_conns=" + password, "cannot be used"},
		{"postgres://u:" + password + "@h/db?sslrootcert=/none/" + password, "cannot be used"},
	} {
		err := conn.Settings(conn.Config{URL: tt.url})
		if fault.CodeOf(err) != fault.Invalid || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "bus.postgres.url") {
			t.Errorf("%s: got %v, want %q", tt.url, err, tt.want)
		}
		if err != nil && strings.Contains(err.Error(), "s3cr") {
			t.Errorf("%s: the error has the password: %v", tt.url, err)
		}
	}
	for _, schema := range []string{"Berth", "pg_berth", "a-b", `a"b`, strings.Repeat("a", 33), "1a"} {
		if err := conn.Settings(conn.Config{URL: "postgres://u@h/db", Schema: schema}); fault.CodeOf(err) != fault.Invalid {
			t.Errorf("schema %q: got %v", schema, err)
		}
	}
	for _, location := range []string{"h:6432,i/db?sslmode=disable&pool_max_conns=3", "[::1],h2/db", "h1,h2:5433,[2001:db8::1]:5434/db", "h?dbname=db",
		"/db?host=/run/postgresql"} {
		if err := conn.Settings(conn.Config{URL: "postgres://u:" + password + "@" + location}); err != nil {
			t.Errorf("%s: %v", location, err)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	url := pgtest.URL(t)
	with := func(user, database string) string {
		return strings.Replace(strings.Replace(url, "berth@", user+"@", 1), "/postgres?", "/"+database+"?", 1)
	}
	pgtest.Exec(t, `CREATE ROLE guarded LOGIN PASSWORD 'right'`, `CREATE ROLE careless LOGIN`, `ALTER ROLE careless SET synchronous_commit = off`,
		`CREATE ROLE reader LOGIN`, `ALTER ROLE reader SET default_transaction_read_only = on`, `CREATE ROLE plain LOGIN`,
		`CREATE ROLE barred LOGIN`, `CREATE DATABASE closed`, `REVOKE CONNECT ON DATABASE closed FROM PUBLIC`,
		`CREATE SCHEMA taken`, `CREATE TABLE taken.things ()`, `CREATE SCHEMA later`,
		`CREATE TABLE later.berth_schema (id boolean, version integer)`, `INSERT INTO later.berth_schema VALUES (true, 77)`)
	for _, tt := range []struct {
		name, url, schema, want string
		code                    fault.Code
	}{
		{"wrong password", with("guarded:"+password, "postgres"), "s", "refuses user", fault.Invalid},
		{"no password", with("guarded", "postgres"), "s", "", fault.Invalid},
		{"no such user", with("unknown:"+password, "postgres"), "s", "refuses user", fault.Invalid},
		{"no such database", with("berth:"+password, "nowhere"), "s", "createdb -E UTF8 -T template0 nowhere", fault.Invalid},
		{"a database it may not use", with("barred", "closed"), "s", "may not connect", fault.Invalid},
		{"no server", "postgres://berth:" + password + "@127.0.0.1:1/postgres?sslmode=disable", "s", "cannot be reached", fault.Unavailable},
		{"no host", "postgres://berth:" + password + "@berth.invalid/postgres?sslmode=disable", "s", "cannot be reached", fault.Unavailable},
		{"unsafe commits", with("careless", "postgres"), "s", "synchronous_commit is off", fault.Invalid},
		{"read only", with("reader", "postgres"), "s", "default_transaction_read_only is on", fault.Invalid},
		{"no right to make a schema", with("plain", "postgres"), "fresh", `CREATE SCHEMA fresh AUTHORIZATION "plain"`, fault.Invalid},
		{"tables of another program", url, "taken", "not Berth's", fault.Invalid},
		{"a newer Berth", url, "later", "newer Berth (version 77", fault.Invalid},
	} {
		var log bytes.Buffer
		db, err := conn.Open(t.Context(), conn.Config{URL: tt.url, Schema: tt.schema, Migrations: migrations(),
			Logger: slog.New(slog.NewTextHandler(&log, nil))})
		if err == nil {
			db.Close()
			t.Errorf("%s: opened", tt.name)
			continue
		}
		if fault.CodeOf(err) != tt.code || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v (%s), want %q (%s)", tt.name, err, fault.CodeOf(err), tt.want, tt.code)
		}
		if text := err.Error() + log.String(); strings.Contains(text, password) || strings.Contains(text, "s3cr") {
			t.Errorf("%s: the password is in %s", tt.name, text)
		}
	}
}

func TestHostsThatStartAtOnceMigrateOnce(t *testing.T) {
	schema, url := pgtest.Schema(t), pgtest.URL(t)
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			db, err := conn.Open(t.Context(), conn.Config{URL: url, Schema: schema, Migrations: migrations(), MaxConns: 2})
			if err != nil {
				t.Error(err)
				return
			}
			db.Close()
		})
	}
	wg.Wait()
	// A later version adds to what is there.
	all := append(migrations(), `INSERT INTO marks (name, n) VALUES ('later', 7)`)
	for range 2 {
		db, err := conn.Open(t.Context(), conn.Config{URL: url, Schema: schema, Migrations: all})
		if err != nil {
			t.Fatal(err)
		}
		if got := count(t, db, `SELECT n FROM marks WHERE name = 'later'`); got != 7 {
			t.Errorf("got %d", got)
		}
		db.Close()
	}
}

// A migration that fails leaves nothing behind.
func TestFailedMigration(t *testing.T) {
	cfg := conn.Config{URL: pgtest.URL(t), Schema: pgtest.Schema(t), Migrations: append(migrations(), `SELECT 1/0`)}
	if _, err := conn.Open(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "migration 3") {
		t.Fatalf("got %v", err)
	}
	cfg.Migrations = migrations()
	db, err := conn.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	db.Close()
}

// count returns the number that a query selects.
func count(t *testing.T, db *conn.DB, query string) (n int64) {
	t.Helper()
	err := db.Read(t.Context(), "count", func(ctx context.Context, tx pgx.Tx) error { return tx.QueryRow(ctx, query).Scan(&n) })
	if err != nil {
		t.Fatal(err)
	}
	return n
}
