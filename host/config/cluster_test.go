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
		{"a search path", open + `"postgres://db/berth?search_path=x"` + shut, "f.yaml:4: bus.postgres.url: must not have the option search_path"},
		{"the password itself", "bus: {postgres: {password: hunter2}}\n", "f.yaml:1: bus.postgres.password: must be {secret: NAME}"},
		{"two passwords", "bus: {postgres: {password: {env: A, file: b}}}\n", "f.yaml:1: bus.postgres.password: needs one of secret, file and env"},
		{"no password named", "bus: {postgres: {password: {}}}\n", "f.yaml:1: bus.postgres.password: needs one of secret, file and env"},
		{"schema public", "bus: {postgres: {schema: public}}\n", "f.yaml:1: bus.postgres.schema: \"public\" is not a schema for Berth"},
		{"schema of the server", "bus: {postgres: {schema: pg_toast}}\n", "f.yaml:1: bus.postgres.schema: \"pg_toast\" is not"},
		{"schema with quotes", `bus: {postgres: {schema: 'a"b'}}` + "\n", "f.yaml:1: bus.postgres.schema: "},
		{"a host's name", "cluster: {name: 'a b'}\n", "f.yaml:1: cluster.name: \"a b\" is not a name for a host"},
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
		"postgres://a,b/berth?target_session_attrs=read-write"} {
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
