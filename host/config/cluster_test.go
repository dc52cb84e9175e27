package config_test

import (
	"strings"
	"testing"

	"github.com/berth-host/berth/host/config"
)

func TestDatabaseSettingsAreChecked(t *testing.T) {
	const open, shut = "bus:\n  engine: postgres\n  postgres:\n    url: ", "\n"
	for _, tt := range []struct{ name, file, want string }{
		{"no URL", "bus:\n  engine: postgres\n", "f.yaml:2: bus.engine: is postgres, which needs bus.postgres.url"},
		{"a password", open + "postgres://berth:hunter2@db/berth" + shut, "f.yaml:4: bus.postgres.url: must not hold a password"},
		{"an empty password", open + `"postgres://berth:@db/berth"` + shut, "f.yaml:4: bus.postgres.url: must not hold a password"},
		{"a password as an option", open + "postgres://db/berth?user=berth&password=hunter2" + shut, "f.yaml:4: bus.postgres.url: must not hold a password"},
		{"a password in a URL that is broken", open + `"postgres://berth:hunter2%zz@db/berth"` + shut, "f.yaml:4: bus.postgres.url: is not the URL of a PostgreSQL"},
		{"another database", open + "mysql://berth:hunter2@db/berth" + shut, "f.yaml:4: bus.postgres.url: is not the URL of a PostgreSQL"},
		{"no host", open + "postgres:///berth" + shut, "f.yaml:4: bus.postgres.url: names no host"},
		{"a server without a name", open + "postgres://a,,b/berth" + shut, "f.yaml:4: bus.postgres.url: has a server without a name"},
		{"a port only", open + "postgres://u@:5432/berth" + shut, "f.yaml:4: bus.postgres.url: has a server without a name"},
		{"a port too high", open + "postgres://a:5432,b:65536/berth" + shut, "f.yaml:4: bus.postgres.url: has a port that is not 1 to 65535"},
		{"no port", open + "postgres://a,b:none/berth" + shut, "f.yaml:4: bus.postgres.url: has a port that is not 1 to 65535"},
		{"an IPv6 address without brackets", open + "postgres://u@::1/berth" + shut, "f.yaml:4: bus.postgres.url: has an IPv6 address without brackets"},
		{"an open bracket", open + `"postgres://u@[::1,b/berth"` + shut, "f.yaml:4: bus.postgres.url: has something in brackets"},
		{"a name in brackets", open + `"postgres://u@[db]/berth"` + shut, "f.yaml:4: bus.postgres.url: has something in brackets"},
		{"text behind brackets", open + `"postgres://u@[::1]5432/berth"` + shut, "f.yaml:4: bus.postgres.url: has something in brackets"},
		{"a user with @", open + `"postgres://u@x@db/berth"` + shut, "f.yaml:4: bus.postgres.url: is not the URL of a PostgreSQL"},
		{"a space", open + `"postgres://u@d b/berth"` + shut, "f.yaml:4: bus.postgres.url: is not the URL of a PostgreSQL"},
		{"no database", open + `"postgres://u@[::1],b"` + shut, "f.yaml:4: bus.postgres.url: names no database"},
		{"a search path", open + `"postgres://db/berth?search_path=x"` + shut, "f.yaml:4: bus.postgres.url: must not have the option search_path"},
		{"the password itself", "bus: {postgres: {password: hunter2}}\n", "f.yaml:1: bus.postgres.password: must be {secret: NAME}"},
		{"two passwords", "bus: {postgres: {password: {env: A, file: b}}}\n", "f.yaml:1: bus.postgres.password: needs one of secret, file and env"},
		{"no password named", "bus: {postgres: {password: {}}}\n", "f.yaml:1: bus.postgres.password: needs one of secret, file and env"},
		{"schema public", "bus: {postgres: {schema: public}}\n", "f.yaml:1: bus.postgres.schema: \"public\" is not a schema for Berth"},
		{"schema of the server", "bus: {postgres: {schema: pg_toast}}\n", "f.yaml:1: bus.postgres.schema: \"pg_toast\" is not"},
		{"schema with quotes", `bus: {postgres: {schema: 'a"b'}}` + "\n", "f.yaml:1: bus.postgres.schema: "},
		{"a host's name", "cluster: {name: 'a b'}\n", "f.yaml:1: cluster.name: \"a b\" is not a name for a host"},
		{"a URL with a path", "cluster: {url: 'https://a:80/b'}\n", "f.yaml:1: cluster.url: must be as https://berth-1.example.com:8080"},
		{"a URL with a password", "cluster: {url: 'https://a:hunter2@b'}\n", "f.yaml:1: cluster.url: "},
		{"settings elsewhere", "cluster: {settings: both}\n", "f.yaml:1: cluster.settings: must be database or file"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := config.Parse("f.yaml", []byte(tt.file))
			if err == nil || !strings.HasPrefix(err.Error(), tt.want) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
			if err != nil && strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the error repeats the password: %v", err)
			}
		})
	}
}

func TestDatabaseWithoutPasswordIsTaken(t *testing.T) {
	for _, url := range []string{"postgres://berth@db.example.com:5432/berth?sslmode=verify-full", "postgresql:///berth?host=/run/postgresql",
		"postgres://a,b/berth?target_session_attrs=read-write", "postgres://u@[::1],h2/db", "postgres://u@[2001:db8::1]:5433,[fe80::1%25eth0]/db",
		"postgres://u@h1:5432,h2/db", "postgres://h1,h2:5433,[::1]:5434/db", "postgres://u@h:/db", "postgres://u@h?dbname=db"} {
		c, err := config.Parse("f.yaml", []byte("bus: {engine: postgres, postgres: {url: '"+url+"', password: {secret: db}}}\n"))
		if err != nil {
			t.Errorf("%s: %v", url, err)
			continue
		}
		want := config.Postgres{URL: url, Password: config.Password{Secret: "db"}, Schema: "berth", MaxConnections: 16}
		if c.Bus.Postgres != want || c.Bus.Engine != config.EnginePostgres {
			t.Errorf("got %+v", c.Bus)
		}
	}
}

func TestDatabaseWithPassword(t *testing.T) {
	const password = "p@ss/w:rd %,"
	for url, want := range map[string]string{
		"postgres://u@h/db?sslmode=require":            "postgres://u:p%40ss%2Fw%3Ard%20%25,@h/db?sslmode=require",
		"postgresql://u%40x@[::1],h2:5433/db":          "postgresql://u%40x:p%40ss%2Fw%3Ard%20%25,@[::1],h2:5433/db",
		"postgres://h1:5432,h2/db?user=u":              "postgres://u:p%40ss%2Fw%3Ard%20%25,@h1:5432,h2/db?user=u",
		"postgres:///db?host=/run/postgresql&user=a+b": "postgres://a%20b:p%40ss%2Fw%3Ard%20%25,@/db?host=/run/postgresql&user=a+b",
		"postgres://h1,h2/db":                          "",
	} {
		got, err := config.Postgres{URL: url}.WithPassword(password)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%s: got %s, %v; want %s", url, got, err, want)
		}
	}
}
