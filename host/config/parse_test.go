package config_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/config"
	"github.com/berth-host/berth/host/config/document"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
)

func TestLoadSeedFile(t *testing.T) {
	got, err := config.Load("../../testdata/config/seed.yaml")
	if err != nil {
		t.Fatal(err)
	}
	want := config.Default()
	want.PluginDirectories = []string{"src/events/plugins", "/opt/custom_plugins"}
	want.Routes = []spec.Route{{Pattern: "order_status_changed", Line: 5}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestLoadExampleFile(t *testing.T) {
	got, err := config.Load("../../config/event_handlers.yaml")
	if err != nil {
		t.Fatal(err)
	}
	want := config.Default()
	want.Routes = []spec.Route{{Pattern: "order_status_changed", Line: 20}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestExampleCommentsAreTheDefaults(t *testing.T) {
	data, err := os.ReadFile("../../config/event_handlers.yaml")
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(data), "# defaults:")
	text, _, _ = strings.Cut("defaults:"+text, "\n\n")
	text = strings.ReplaceAll(text, "\n# ", "\n")
	c, err := config.Parse("shown", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	got, _ := c.Resolve("x", abi.Manifest{})
	want, _ := config.Default().Resolve("x", abi.Manifest{})
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

const full = `
plugin_directories: [plugins, ./more/]
hot_drop: hold
routes:
  order_*: {handlers: [fraud-check], exclude: [audit], when: data.total_cents > 10000}
  "*":
handlers:
  fraud-check:
    enabled: true
    config: {threshold: 10000, big: 12345678901234567890123, hex: 0x1F, list: [a, 1.50, true, null], date: 2024-01-02, "q\"": "<é>"}
    grants: [kv, {name: http, hosts: [API.example.com, "*.example.org:8443", 192.0.2.1]}, {name: secret, names: [API_KEY]}]
    limits: {timeout: 2s, memory: 32MiB, concurrency: 2, fuel: 1000, isolation: event, recycle_after: {events: 10, age: 1h}}
    retry: {max_attempts: 3, backoff: 1s, max_backoff: 10s}
    breaker: {failures: 4, cooldown: 2s, max_cooldown: 20s}
    paused: true
    start: 2026-01-31T09:00:00+01:00
    order_by: /data/id
    logs: keep
    log_level: warn
  audit:
    enabled: false
    grants: {emit: {event_types: [audit_*]}, kv: }
    order_by: ""
schedules:
  nightly: {cron: "0 3 * * *", zone: Europe/Berlin, event_type: report_due, data: {n: 1.50}, subject: s, missed: all, paused: true}
  often: {every: 90s, event_type: tick}
event_types:
  order_placed: {schema: schemas/order.json, mode: warn, description: An order, owner: shop}
  tick: {schema: {type: object}}
defaults:
  limits: {memory: 128MiB}
  order_by: /data/customer
  memory_total: 1GiB
server:
  listen: ":9000"
  shutdown_timeout: 5s
  tls: {cert_file: c.pem, key_file: k.pem}
  insecure: true
  metrics: loopback
  rate_limit: {requests_per_second: 50, burst: 100}
data_dir: /var/lib/berth
bus: {engine: memory, ring_size: 64, retention: 30d, max_size: 10GiB, max_age: 60d, dead_letters: {retention: 0s},
  postgres: {url: "postgres://berth@db:5432/berth", password: {env: PGPASSWORD}, schema: shop, max_connections: 8}}
cluster: {name: berth-1, url: "https://berth-1:8080", settings: file}
auth: {allowed_hosts: [berth.example.com]}
vet: {memory: 2GiB, cpu: 10s, wall: 20s}
marketplace:
  enabled: true
  index_url: http://10.0.0.7/index.json
  trusted_keys: [RWQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA]
  allow_unsigned: true
  allow_private_hosts: [10.0.0.7, 192.168.0.0/16, registry.local]
  credentials: [{host: 10.0.0.7, secret: shop}, {host: "registry.local:5000", secret: reg.pw, type: basic}]
  docker_config: /etc/berth/docker.json
  minimum_release_age: 3d
  refresh: 1h
`

func TestParseEverySetting(t *testing.T) {
	got, err := config.Parse("full.yaml", []byte(full))
	if err != nil {
		t.Fatal(err)
	}
	want := &config.Config{
		PluginDirectories: []string{"plugins", "more"},
		HotDrop:           config.HotDropHold,
		Routes: []spec.Route{
			{Pattern: "order_*", Handlers: []string{"fraud-check"}, Exclude: []string{"audit"}, When: "data.total_cents > 10000", Line: 5},
			{Pattern: "*", Line: 6},
		},
		Handlers: map[string]config.Handler{
			"fraud-check": {
				Enabled: new(true),
				Paused:  true,
				Start:   config.Start{At: time.Date(2026, 1, 31, 8, 0, 0, 0, time.UTC)},
				Config:  []byte(`{"threshold":10000,"big":12345678901234567890123,"hex":31,"list":["a",1.50,true,null],"date":"2024-01-02","q\"":"\u003cé\u003e"}`),
				Grants: []spec.Grant{
					{Name: "http", Targets: spec.Targets{Hosts: []string{"api.example.com", "*.example.org:8443", "192.0.2.1"}}},
					{Name: "kv"},
					{Name: "secret", Targets: spec.Targets{Names: []string{"API_KEY"}}},
				},
				Overrides: config.Overrides{
					Timeout: new(2 * time.Second), Memory: new(int64(32 << 20)), Concurrency: new(2), Fuel: new(uint64(1000)),
					Isolation: new(spec.IsolationEvent), RecycleEvents: new(uint64(10)), RecycleAge: new(time.Hour),
					MaxAttempts: new(3), Backoff: new(time.Second), MaxBackoff: new(10 * time.Second), OrderBy: new("/data/id"),
					BreakerFailures: new(4), BreakerCooldown: new(2 * time.Second), BreakerMaxCooldown: new(20 * time.Second),
					Logs: new(spec.LogsOfAll), LogLevel: new(spec.LevelWarn),
				},
			},
			"audit": {
				Enabled:   new(false),
				Config:    []byte("{}"),
				Grants:    []spec.Grant{{Name: "emit", Targets: spec.Targets{EventTypes: []string{"audit_*"}}}, {Name: "kv"}},
				Overrides: config.Overrides{OrderBy: new("")},
			},
		},
		Schedules: []spec.Schedule{
			{Name: "nightly", Cron: "0 3 * * *", Zone: "Europe/Berlin", Type: "report_due", Data: []byte(`{"n":1.50}`), Subject: "s",
				Missed: spec.MissedAll, Paused: true, Line: 25},
			{Name: "often", Every: 90 * time.Second, Type: "tick", Data: []byte("null"), Missed: spec.MissedSkip, Line: 26},
		},
		EventTypes: []spec.EventType{
			{Type: "order_placed", File: "schemas/order.json", Warn: true, Description: "An order", Owner: "shop", Line: 28},
			{Type: "tick", Schema: []byte(`{"type":"object"}`), Line: 29},
		},
		Defaults: config.Defaults{
			Overrides:   config.Overrides{Memory: new(int64(128 << 20)), OrderBy: new("/data/customer")},
			MemoryTotal: 1 << 30,
		},
		Server: config.Server{Listen: ":9000", Metrics: config.MetricsLoopback, ShutdownTimeout: 5 * time.Second, TLS: config.TLS{CertFile: "c.pem", KeyFile: "k.pem"},
			Insecure: true, RateLimit: config.RateLimit{RequestsPerSecond: 50, Burst: 100}},
		DataDir: "/var/lib/berth",
		Bus: config.Bus{Engine: config.EngineMemory, RingSize: 64, Retention: 30 * 24 * time.Hour, MaxSize: 10 << 30, MaxAge: 60 * 24 * time.Hour,
			Postgres: config.Postgres{URL: "postgres://berth@db:5432/berth", Password: config.Password{Env: "PGPASSWORD"}, Schema: "shop", MaxConnections: 8}},
		Cluster: config.Cluster{Name: "berth-1", URL: "https://berth-1:8080", Settings: config.SettingsFile},
		Auth:    config.Auth{AllowedHosts: []string{"berth.example.com"}},
		Vet:     config.Vet{Memory: 2 << 30, CPU: 10 * time.Second, Wall: 20 * time.Second},
		Marketplace: config.Marketplace{
			Enabled: true, IndexURL: "http://10.0.0.7/index.json",
			TrustedKeys:   []string{"RWQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"},
			AllowUnsigned: true, AllowPrivateHosts: []string{"10.0.0.7", "192.168.0.0/16", "registry.local"},
			Credentials:  []config.Credential{{Host: "10.0.0.7", Secret: "shop", Type: "bearer"}, {Host: "registry.local:5000", Secret: "reg.pw", Type: "basic"}},
			DockerConfig: "/etc/berth/docker.json", MinimumReleaseAge: 72 * time.Hour, Refresh: time.Hour,
		},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestEmptyFileIsTheDefaults(t *testing.T) {
	for _, text := range []string{"", "\n", "# nothing\n", "---\n", "{}\n", "\ufeff", "routes:\nhandlers:\nserver:\n"} {
		got, err := config.Parse("x", []byte(text))
		if err != nil || !reflect.DeepEqual(got, config.Default()) {
			t.Errorf("%q: got %+v, %v", text, got, err)
		}
	}
}

func TestLoadMissingFile(t *testing.T) {
	_, err := config.Load(filepath.Join(t.TempDir(), "none.yaml"))
	if !fault.Is(err, fault.NotFound) || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want not_found", err)
	}
	_, err = config.Load(t.TempDir())
	if !fault.Is(err, fault.Invalid) {
		t.Errorf("a directory: got %v, want invalid", err)
	}
}

// invalidFiles are invalid files with their errors.
func invalidFiles() []struct{ name, text, want string } {
	bomb := "handlers:\n  x:\n    config:\n      a: &a [" + strings.Repeat("lol, ", 20) + "]\n"
	for c := 'b'; c <= 'j'; c++ {
		bomb += "      " + string(c) + ": &" + string(c) + " [" + strings.Repeat("*"+string(c-1)+", ", 20) + "]\n"
	}
	return []struct{ name, text, want string }{
		{"malformed first line", "a: b: c\n", "f.yaml:1: malformed YAML: mapping values are not allowed in this context"},
		{"malformed in a block", "routes:\n  a: {}\n  b: {}\n  - c\nserver: {}\n", "f.yaml:4: malformed YAML: did not find expected key"},
		{"tab", "routes:\n\ta: {}\n", "f.yaml:2: malformed YAML: found character that cannot start any token (indent with spaces, and quote text that starts with a special character)"},
		{"bare star", "routes:\n  a: {}\n  *: {}\n", `f.yaml:3: malformed YAML: did not find expected alphabetic or numeric character (a word that starts with * or & must be quoted: "*")`},
		{"open quote", "data_dir: x\nserver:\n  listen: \"a\n", "f.yaml:3: malformed YAML: found unexpected end of stream"},
		{"not UTF-8", "a: 1\nb: \xff\n", "f.yaml:2: malformed YAML: not valid UTF-8"},
		{"unknown anchor", "routes: {}\ndata_dir: *x\n", "f.yaml:2: malformed YAML: unknown anchor 'x' referenced"},
		{"two documents", "data_dir: a\n---\ndata_dir: b\n", "f.yaml:2: a second YAML document starts here; the file must hold one"},
		{"not a mapping", "- a\n", "f.yaml:1: must be a mapping (key: value), not a list"},
		{"unknown key", "plugin_dirs: [a]\n", "f.yaml:1: plugin_dirs: unknown key; the nearest known key is plugin_directories"},
		{"unknown deep key", "handlers:\n  x:\n    limits:\n      time_out: 1s\n", "f.yaml:4: handlers.x.limits.time_out: unknown key; the nearest known key is timeout"},
		{"duplicate", "data_dir: a\nbus: {}\ndata_dir: b\n", "f.yaml:3: data_dir: is here twice; the first is on line 1"},
		{"duplicate route", "routes: {a: {}, \"a\": {}}\n", "f.yaml:1: routes.a: is here twice; the first is on line 1"},
		{"bad glob", "routes:\n  Order: {}\n", `f.yaml:2: routes.Order: "Order" is not an event type or a glob: it may hold a-z 0-9 _ . - and *, and is at most 128 long`},
		{"bad name", "handlers:\n  Bad_Name: {}\n", `f.yaml:2: handlers.Bad_Name: "Bad_Name" is not a handler's name: it must be 1 to 63 of a-z 0-9 and -, and not begin with -`},
		{"both lists", "routes:\n  a: {handlers: [x, y], exclude: [x]}\n", "f.yaml:2: routes.a.exclude: x is under handlers too; leave it out of one"},
		{"bool", "handlers: {x: {enabled: yes}}\n", `f.yaml:1: handlers.x.enabled: must be true or false, not the text "yes"`},
		{"no unit", "defaults: {limits: {timeout: 5}}\n", `f.yaml:1: defaults.limits.timeout: must be a duration with a unit such as 200ms, 5s or 1m, not the number "5"`},
		{"bad duration", "defaults: {limits: {timeout: 5 s}}\n", `f.yaml:1: defaults.limits.timeout: "5 s" is not a duration; write it with a unit, such as 200ms, 5s, 1m30s or 7d`},
		{"long duration", "defaults: {limits: {timeout: 2h}}\n", "f.yaml:1: defaults.limits.timeout: is 2h0m0s; it must be between 1ms and 1h0m0s"},
		{"small memory", "defaults: {limits: {memory: 10}}\n", "f.yaml:1: defaults.limits.memory: is 10; it must be between 64KiB and 4194240KiB"},
		{"huge memory", "defaults: {limits: {memory: 999999999999999TiB}}\n", "f.yaml:1: defaults.limits.memory: is 999999999999999TiB; it must be between 64KiB and 4194240KiB"},
		{"bad size", "defaults: {limits: {memory: 1.5GiB}}\n", `f.yaml:1: defaults.limits.memory: must be a size such as 512KiB, 64MiB or 1GiB, not the text "1.5GiB"`},
		{"small stack", "defaults: {limits: {stack: 65535}}\n", "f.yaml:1: defaults.limits.stack: is 65535; it must be between 64KiB and 32MiB"},
		{"huge stack", "handlers: {x: {limits: {stack: 32769KiB}}}\n", "f.yaml:1: handlers.x.limits.stack: is 32769KiB; it must be between 64KiB and 32MiB"},
		{"range", "defaults: {limits: {concurrency: 0}}\n", "f.yaml:1: defaults.limits.concurrency: is 0; it must be between 1 and 1024"},
		{"backoffs", "defaults:\n  retry: {backoff: 2m, max_backoff: 1m}\n", "f.yaml:2: defaults.retry: backoff is 2m0s, which is longer than max_backoff, 1m0s"},
		{"cooldowns", "defaults:\n  breaker: {cooldown: 2m, max_cooldown: 1m}\n", "f.yaml:2: defaults.breaker: cooldown is 2m0s, which is longer than max_cooldown, 1m0s"},
		{"breaker", "defaults: {breaker: {failure: 1}}\n", "f.yaml:1: defaults.breaker.failure: unknown key; the nearest known key is failures"},
		{"a start that is no time", "handlers: {x: {start: yesterday}}\n", "f.yaml:1: handlers.x.start: \"yesterday\" is not now, earliest or an RFC 3339 time such as 2026-01-31T08:00:00Z"},
		{"a start that is a day", "handlers: {x: {start: 2026-01-31}}\n", "f.yaml:1: handlers.x.start: \"2026-01-31\" is not now, earliest or an RFC 3339 time such as 2026-01-31T08:00:00Z"},
		{"a start that is a number", "handlers: {x: {start: 5}}\n", "f.yaml:1: handlers.x.start: must be now, earliest or a time"},
		{"dead letters kept too long", "bus: {dead_letters: {retention: 4000d}}\n", "f.yaml:1: bus.dead_letters.retention: "},
		{"paused by default", "defaults: {paused: true}\n", "f.yaml:1: defaults.paused: unknown key"},
		{"pointer", "defaults: {order_by: subject}\n", `f.yaml:1: defaults.order_by: "subject" is not a JSON Pointer; write one like /metadata/subject, or "" for no order`},
		{"few bytes of requests", "server: {max_inflight_bytes: 33554431}\n", `f.yaml:1: server.max_inflight_bytes: is 33554431; it must be at least 32MiB, or 0 for what the memory allows`},
		{"a small log", "bus: {max_size: 1MiB}\n", `f.yaml:1: bus.max_size: is 1MiB; it must be at least 2MiB, or 0 for no bound`},
		{"max_age before retention", "bus: {max_age: 3d}\n", `f.yaml:1: bus.max_age: is 72h0m0s, but must be at least bus.retention (168h0m0s), or 0s for never`},
		{"enum", "bus: {engine: kafka}\n", `f.yaml:1: bus.engine: must be sqlite, memory or postgres, not the text "kafka"`},
		{"half a certificate", "server:\n  tls: {cert_file: c.pem}\n", "f.yaml:2: server.tls: needs both cert_file and key_file"},
		{"rate", "server: {rate_limit: {requests_per_second: fast}}\n", "f.yaml:1: server.rate_limit.requests_per_second: must be a whole number, not the text \"fast\""},
		{"port", "server: {listen: \"localhost:99999\"}\n", `f.yaml:1: server.listen: the port "99999" is not a number from 0 to 65535`},
		{"a glob as a host", "auth: {allowed_hosts: [\"*.example.com\"]}\n", `f.yaml:1: auth.allowed_hosts[0]: "*.example.com" is not a host name: each one is listed, as it is`},
		{"grant without hosts", "handlers: {x: {grants: [http]}}\n", "f.yaml:1: handlers.x.grants[0]: http needs hosts, a list of what it may use"},
		{"grant port 0", "handlers: {x: {grants: {http: {hosts: [\"a.example:0\"]}}}}\n", `f.yaml:1: handlers.x.grants.http.hosts[0]: the port "0" is not a number from 1 to 65535`},
		{"grant port 65536", "handlers: {x: {grants: {http: {hosts: [\"a.example:65536\"]}}}}\n", `f.yaml:1: handlers.x.grants.http.hosts[0]: the port "65536" is not a number from 1 to 65535`},
		{"grant port 131071", "handlers: {x: {grants: {http: {hosts: [\"a.example:131071\"]}}}}\n", `f.yaml:1: handlers.x.grants.http.hosts[0]: the port "131071" is not a number from 1 to 65535`},
		{"grant port -1", "handlers: {x: {grants: {http: {hosts: [\"a.example:-1\"]}}}}\n", `f.yaml:1: handlers.x.grants.http.hosts[0]: the port "-1" is not a number from 1 to 65535`},
		{"grant port x", "handlers: {x: {grants: {http: {hosts: [\"a.example:x\"]}}}}\n", `f.yaml:1: handlers.x.grants.http.hosts[0]: the port "x" is not a number from 1 to 65535`},
		{"grant port empty", "handlers: {x: {grants: {http: {hosts: [\"a.example:\"]}}}}\n", `f.yaml:1: handlers.x.grants.http.hosts[0]: the port "" is not a number from 1 to 65535`},
		{"grant URL", "handlers: {x: {grants: {http: {hosts: [\"https://a/\"]}}}}\n", `f.yaml:1: handlers.x.grants.http.hosts[0]: "https://a/" must be a host, not a URL; write api.example.com or api.example.com:8443`},
		{"grant twice", "handlers: {x: {grants: [kv, {name: kv}]}}\n", "f.yaml:1: handlers.x.grants[1]: kv is granted twice; put both lists into one grant"},
		{"unknown grant", "handlers: {x: {grants: [htp]}}\n", `f.yaml:1: handlers.x.grants[0]: unknown capability "htp"; the nearest known one is http`},
		{"foreign list", "handlers: {x: {grants: {kv: {hosts: [a]}}}}\n", "f.yaml:1: handlers.x.grants.kv: kv does not take hosts"},
		{"config key", "handlers: {x: {config: {1: a}}}\n", "f.yaml:1: handlers.x.config.1: a key must be text in JSON; put it in quotes"},
		{"config number", "handlers: {x: {config: {a: .inf}}}\n", `f.yaml:1: handlers.x.config.a: is not a number that JSON can represent; put it in quotes`},
		{"config tag", "handlers: {x: {config: {a: !!binary aGk=}}}\n", `f.yaml:1: handlers.x.config.a: the tag "!!binary" has no meaning here`},
		{"config is a list", "handlers: {x: {config: [a]}}\n", "f.yaml:1: handlers.x.config: must be a mapping (key: value), not a list"},
		{"alias bomb", bomb, "bytes when its aliases are followed"},
		{"alias cycle", "handlers: {x: {config: {a: &a [*a]}}}\n", "nests more than 64 levels deep"},
		{"merge cycle", "handlers: {x: &x {<<: *x}}\n", "nests more than 64 levels deep"},
		{"merge bomb", "handlers: {x: &x {<<: [*x, *x, *x]}}\n", "nests more than 64 levels deep"},
		{"http index", "marketplace: {index_url: \"http://a.example/\"}\n", "f.yaml:1: marketplace.index_url: must be https (http is for hosts listed under allow_private_hosts only)"},
		{"a credential's host", "marketplace: {credentials: [{host: \"https://a.example\", secret: s}]}\n", `f.yaml:1: marketplace.credentials[0].host: "https://a.example" is not a host such as plugins.example.com or registry.local:5000`},
		{"a credential's secret", "marketplace: {credentials: [{host: a.example, secret: \"s3 cret\"}]}\n", `f.yaml:1: marketplace.credentials[0].secret: "s3 cret" is not a secret's name; put the token into a file of the directory secrets, and name that here`},
		{"a credential's type", "marketplace: {credentials: [{host: a.example, secret: s, type: digest}]}\n", `f.yaml:1: marketplace.credentials[0].type: must be bearer or basic, not the text "digest"`},
		{"a credential in part", "marketplace: {credentials: [{host: a.example}]}\n", `f.yaml:1: marketplace.credentials[0]: needs host and secret`},
		{"a refresh too often", "marketplace: {refresh: 59s}\n", `f.yaml:1: marketplace.refresh: is 59s; it must be at least 1m, or 0s for never`},
		{"schedule twice", "schedules:\n  a: {every: 1h, event_type: t}\n  a: {every: 1h, event_type: t}\n", "f.yaml:3: schedules.a: is here twice; the first is on line 2"},
		{"schedule without a type", "schedules: {a: {every: 1h}}\n", "f.yaml:1: schedules.a: needs event_type"},
		{"schedule without a time", "schedules: {a: {event_type: t}}\n", "f.yaml:1: schedules.a: needs cron or every"},
		{"schedule with two times", "schedules: {a: {event_type: t, cron: \"@daily\", every: 1h}}\n", "f.yaml:1: schedules.a: has both cron and every; leave one out"},
		{"schedule's name", "schedules: {A: {event_type: t, every: 1h}}\n", `f.yaml:1: schedules.A: "A" is not a schedule's name: it must be 1 to 63 of a-z 0-9 and -, and not begin with -`},
		{"schedule's type", "schedules: {a: {event_type: order_*, every: 1h}}\n", `f.yaml:1: schedules.a.event_type: "order_*" is not an event type`},
		{"schedule too often", "schedules: {a: {event_type: t, every: 10ms}}\n", "f.yaml:1: schedules.a.every: is 10ms; it must be between 1s and"},
		{"schedule's data", "schedules: {a: {event_type: t, every: 1h, data: .nan}}\n", "f.yaml:1: schedules.a.data: is not a number that JSON"},
		{"schedule's choice", "schedules: {a: {event_type: t, every: 1h, missed: no}}\n", "f.yaml:1: schedules.a.missed: must be skip, once or all"},
		{"event type", "event_types:\n  order_*: {}\n", `f.yaml:2: event_types.order_*: "order_*" is not an event type`},
		{"event type's mode", "event_types: {a: {mode: drop}}\n", "f.yaml:1: event_types.a.mode: must be reject or warn"},
		{"event type's schema", "event_types: {a: {schema: 7}}\n", "f.yaml:1: event_types.a.schema: must be a JSON Schema, or the"},
		{"key", "marketplace: {trusted_keys: [abc]}\n", `f.yaml:1: marketplace.trusted_keys[0]: "abc" is not a minisign public key; copy the line of the .pub file that starts with RW`},
		{"number as text", "data_dir: 7\n", `f.yaml:1: data_dir: must be text, not the number "7"; put it in quotes`},
		{"too large", strings.Repeat("#\n", document.MaxSize/2+1), "f.yaml:1: is over 1048576 bytes, which is the limit"},
	}
}

func TestParseProblems(t *testing.T) {
	for _, tt := range invalidFiles() {
		t.Run(tt.name, func(t *testing.T) {
			_, err := config.Parse("f.yaml", []byte(tt.text))
			if !fault.Is(err, fault.Invalid) {
				t.Fatalf("got %v, want invalid", err)
			}
			if got := err.Error(); got != tt.want && !(len(tt.want) < 70 && strings.Contains(got, tt.want)) {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestParseReportsAllProblems(t *testing.T) {
	_, err := config.Parse("f.yaml", []byte("hot_drop: maybe\nroutes:\n  UP: {wen: x}\nhandlers:\n  a:\n    enabled: 1\n    limits: {fuel: -1}\n"))
	var lines []int
	for _, p := range document.Problems(err) {
		lines = append(lines, p.Line)
	}
	if want := []int{1, 3, 3, 6, 7}; !slices.Equal(lines, want) {
		t.Errorf("got lines %v of %v, want %v", lines, err, want)
	}
}

func TestMergeKeys(t *testing.T) {
	c, err := config.Parse("f", []byte(`
handlers:
  a: &a {enabled: false, limits: {timeout: 1s}}
  b: &b {enabled: true, order_by: /x}
  c: {<<: [*b, *a], order_by: /y}
`))
	if err != nil {
		t.Fatal(err)
	}
	h := c.Handlers["c"]
	if !*h.Enabled || *h.Overrides.OrderBy != "/y" || *h.Overrides.Timeout != time.Second {
		t.Errorf("got %+v", h)
	}
}
