package host

import (
	"crypto/x509"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/berth-host/berth/host/auth"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/marketplace"
	"github.com/berth-host/berth/host/marketplace/publish"
	"github.com/berth-host/berth/host/pgstore/pgtest"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/wire"
)

// startMember starts a host on the schema of a test, with the guest echo under this name.
func startMember(t *testing.T, schema, name string) *testHost {
	t.Helper()
	plugins := t.TempDir()
	wasm, err := os.ReadFile("../testdata/guests/echo.wasm")
	check(t, err)
	check(t, os.WriteFile(filepath.Join(plugins, "echo.wasm"), wasm, 0o600))
	check(t, os.WriteFile(filepath.Join(plugins, "echo.wasm.json"), []byte(`{"name":"echo","subscribes":[{"event_type":"order_placed"}]}`), 0o600))
	s := startHost(t, fmt.Sprintf("plugin_directories: [%s]\nroutes: {\"*\": {}}\nvet: {cpu: 2m, wall: 4m}\n"+
		"bus: {engine: postgres, postgres: {url: %q, schema: %s, max_connections: 8}}\ncluster: {name: %s}\n",
		plugins, pgtest.URL(t), schema, name), marketplace.Config{}, func(c *Config) {
		c.Logger = slog.New(slog.NewTextHandler(t.Output(), nil))
	})
	check(t, s.host.Ready(t.Context()))
	return s
}

// runsEcho reports whether the host owns the handler echo.
func (s *testHost) runsEcho() bool { return s.host.runner.Dispatcher.Runs("echo") }

func publishEvents(t *testing.T, s *testHost, from, n int) (ids []string) {
	t.Helper()
	var events []json.RawMessage
	for i := range n {
		events = append(events, json.RawMessage(fmt.Sprintf(`{"event_type":"order_placed","data":{"status":"n%d"},"metadata":{"subject":"k%d","idempotency_key":"e%d"}}`,
			from+i, i%3, from+i)))
	}
	return s.publishAll(events)
}

// delivered waits until the events are final, as another host shows them.
func (s *testHost) delivered(ids []string) {
	s.t.Helper()
	for _, id := range ids {
		var ev wire.Event
		eventually(s.t, "event "+id+" is not delivered", func() bool {
			status, _ := s.call("GET", "/api/v1/events/"+id, nil, &ev)
			return status == http.StatusOK && len(ev.Deliveries) == 1 && ev.Deliveries[0].Status == "ok"
		})
	}
}

func TestHandlerRunsOnOneHostAndMovesToTheOther(t *testing.T) {
	schema := pgtest.Schema(t)
	a, b := startMember(t, schema, "a"), startMember(t, schema, "b")
	owners := func() (n int) {
		for _, s := range []*testHost{a, b} {
			if s.runsEcho() {
				n++
			}
		}
		return n
	}
	eventually(t, "no host runs the handler", func() bool { return owners() == 1 })
	ids := publishEvents(t, a, 0, 20)
	again := publishEvents(t, b, 0, 20) // duplicates, with the same ids
	if !slices.Equal(ids, again) {
		t.Errorf("got %v and %v", ids, again)
	}
	a.delivered(ids)
	b.delivered(ids)
	first, second := a, b
	if b.runsEcho() {
		first, second = b, a
	}
	check(t, first.host.Close(t.Context()))
	eventually(t, "the handler has not moved", second.runsEcho)
	second.delivered(publishEvents(t, second, 20, 5))
}

func TestDecisionsAndTokensHoldForAllHosts(t *testing.T) {
	schema := pgtest.Schema(t)
	a, b := startMember(t, schema, "a"), startMember(t, schema, "b")
	text := a.text()
	if status, p := b.call("POST", "/api/v1/events/plugins/echo/pause", nil, nil); status != http.StatusOK {
		t.Fatalf("pause: %d %+v", status, p)
	}
	paused := func(s *testHost) bool { return s.host.live.Config().Handlers["echo"].Paused }
	eventually(t, "the other host does not follow", func() bool { return paused(a) && paused(b) })
	if a.text() != text {
		t.Errorf("the file was changed: %s", a.text())
	}
	var settings wire.Settings
	a.call("GET", "/api/v1/config?handler=echo", nil, &settings)
	if !slices.Contains(settings.Items, wire.Setting{Path: "handlers.echo.paused", Value: "true", Source: wire.FromDatabase}) {
		t.Errorf("got %+v", settings.Items)
	}
	ids := publishEvents(t, a, 0, 3)
	var adopted wire.Adopted
	if status, p := a.call("POST", "/api/v1/config/adopt", wire.Adopt{}, &adopted); status != http.StatusOK || adopted.YAML != "handlers:\n  echo:\n    paused: true\n" {
		t.Errorf("adopt: %d %+v %+v", status, p, adopted)
	}
	b.delivered(ids)

	tokens := auth.Shared{Documents: a.host.engine.Shared, Dir: a.host.DataDir()}
	token, secret, err := tokens.Create(t.Context(), "ci", []string{spec.ScopeRead}, time.Time{})
	check(t, err)
	allowed := func(s *testHost) bool {
		r, err := http.NewRequestWithContext(t.Context(), "GET", s.host.URL()+"/api/v1/events", nil)
		check(t, err)
		r.Header.Set("Authorization", "Bearer "+secret)
		answer, err := http.DefaultClient.Do(r)
		check(t, err)
		check(t, answer.Body.Close())
		return answer.StatusCode == http.StatusOK
	}
	eventually(t, "a host refuses the token", func() bool { return allowed(a) && allowed(b) })
	_, err = tokens.Revoke(t.Context(), token.ID)
	check(t, err)
	eventually(t, "a host takes the revoked token", func() bool { return !allowed(a) && !allowed(b) })
}

// TestFileIsUninstalledOnOneHostAfterTheOther: the position is that of all hosts that have the plugin.
func TestFileIsUninstalledOnOneHostAfterTheOther(t *testing.T) {
	schema := pgtest.Schema(t)
	hosts := []*testHost{startMember(t, schema, "a"), startMember(t, schema, "b"), startMember(t, schema, "c")}
	a, b, c := hosts[0], hosts[1], hosts[2]
	a.delivered(publishEvents(t, a, 0, 20))
	eventually(t, "no host runs the handler, or a host does not see that the others have it", func() bool {
		known := func(s *testHost) bool { return len(s.host.cluster.Load().HostsWith("echo")) == 2 }
		return (a.runsEcho() || b.runsEcho() || c.runsEcho()) && known(a) && known(b) && known(c)
	})
	slices.SortStableFunc(hosts, func(x, _ *testHost) int { // the owner first
		if x.runsEcho() {
			return -1
		}
		return 0
	})
	position := func() (seq uint64, found bool) {
		seq, found, err := a.host.engine.Cursor(t.Context(), event.HandlerCursors("echo").Position)
		check(t, err)
		return seq, found
	}
	for i, s := range hosts {
		var left wire.Uninstalled
		var out any = &left
		last := i == len(hosts)-1
		if last {
			out = nil
		}
		status, p := s.call("DELETE", "/api/v1/plugins/uninstall/echo", nil, out)
		seq, found := position()
		switch {
		case !last && (status != http.StatusOK || len(left.RemainsOn) != len(hosts)-1-i || !found || seq != 20):
			t.Fatalf("%d %+v %+v; the position is %d, %v", status, p, left, seq, found)
		case last && (status != http.StatusNoContent || found):
			t.Fatalf("of the last host: %d %+v %+v; the position is %d, %v", status, p, left, seq, found)
		}
	}
}

func TestFilesDecideInClusterIfConfigured(t *testing.T) {
	s := startMember(t, pgtest.Schema(t), "c, settings: file")
	status, p := s.call("POST", "/api/v1/events/plugins/echo/pause", nil, nil)
	if status != http.StatusConflict || !strings.Contains(p.Detail, "change handlers.echo.paused in "+s.yaml) {
		t.Errorf("got %d, %+v", status, p)
	}
	s.delivered(publishEvents(t, s, 0, 3))
}

// startBuyer starts a host on the schema of a test, without plugins, that installs from a marketplace.
func startBuyer(t *testing.T, shop *testMarketplace, schema, name, settings string) *testHost {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AddCert(shop.server.Certificate())
	s := startHost(t, fmt.Sprintf("plugin_directories: []\nroutes: {\"*\": {}}\nvet: {cpu: 2m, wall: 4m}\n"+
		"bus: {engine: postgres, postgres: {url: %q, schema: %s, max_connections: 8}}\ncluster: {name: %s}\nmarketplace:\n  enabled: true\n"+
		"  index_url: %s\n  trusted_keys: [%s]\n  allow_private_hosts: [example.com, 127.0.0.7]\n%s",
		pgtest.URL(t), schema, name, shop.url("/"), shop.by.Key(), settings),
		marketplace.Config{RootCAs: roots, Resolver: shop.resolver, Timeout: 5 * time.Second, Stall: 2 * time.Second})
	check(t, s.host.Ready(t.Context()))
	return s
}

// A plugin is installed, upgraded and uninstalled on one host; the other follows, and only one
// of them runs it.
func TestInstalledPluginRunsInTheWholeCluster(t *testing.T) {
	shop := openMarketplace(t)
	first := shop.release("echo", `{"name":"billing","version":"1.0.0","subscribes":[{"event_type":"order_placed"}]}`)
	_, err := shop.tree.Sign(t.Context(), publish.Signing{Name: "bazaar", Expires: time.Now().Add(time.Hour)}, shop.by)
	check(t, err)
	schema := pgtest.Schema(t)
	a, b := startBuyer(t, shop, schema, "a", ""), startBuyer(t, shop, schema, "b", "")
	digest := func(s *testHost) string {
		p, err := s.host.plugins.Plugin("billing")
		if err != nil {
			return ""
		}
		return p.SHA256
	}
	if status, p := a.call("POST", "/api/v1/plugins/install", wire.Install{Name: "billing"}, nil); status != http.StatusCreated {
		t.Fatalf("install: %d %+v", status, p)
	}
	eventually(t, "the other host does not follow", func() bool { return digest(a) == first.SHA256 && digest(b) == first.SHA256 })
	eventually(t, "no host runs it", func() bool {
		return a.host.runner.Dispatcher.Runs("billing") != b.host.runner.Dispatcher.Runs("billing")
	})
	b.delivered(publishEvents(t, a, 0, 5))
	if status, p := b.call("DELETE", "/api/v1/plugins/uninstall/billing", nil, nil); status >= 400 {
		t.Fatalf("uninstall: %d %+v", status, p)
	}
	eventually(t, "it still runs", func() bool { return digest(a) == "" && digest(b) == "" })
}

func TestBackupOfADatabaseIsItsServers(t *testing.T) {
	s := startMember(t, pgtest.Schema(t), "a")
	if status, p := s.call("POST", "/api/v1/backup", nil, nil); status != http.StatusConflict || !strings.Contains(p.Detail, "pg_dump") {
		t.Errorf("got %d, %+v", status, p)
	}
	var list wire.List[wire.AuditRecord]
	if s.call("GET", "/api/v1/audit?action=backup", nil, &list); len(list.Items) == 0 || list.Items[0].Host != "a" {
		t.Errorf("the audit log has %+v", list.Items)
	}
}

// A host whose database does not answer refuses events without waiting for it, once its lease has ended;
// clients do not learn where the database is, and the doctor says what is wrong.
func TestHostThatIsCutOff(t *testing.T) {
	s, server := startMember(t, pgtest.Schema(t), "a"), pgtest.Shared(t)
	one := func() (int, wire.Problem) {
		return s.call("POST", "/api/v1/events", json.RawMessage(`{"event_type":"order_placed","data":{"status":"new"}}`), nil)
	}
	eventually(t, "the host does not run the handler", s.runsEcho)
	check(t, server.Stop())
	defer server.Continue() //nolint:errcheck // other tests use it, also after a failure
	eventually(t, "an event is not refused", func() bool {
		status, p := one()
		if strings.Contains(p.Detail, "user=") || strings.Contains(p.Detail, server.Socket()) {
			t.Errorf("a client is told %q", p.Detail)
		}
		return status == http.StatusServiceUnavailable && p.Detail == "append events: the PostgreSQL server does not answer this host"
	})
	var found wire.Findings
	s.call("GET", "/api/v1/doctor", nil, &found)
	if !slices.ContainsFunc(found.Checks, func(f wire.Finding) bool {
		return f.Check == "cluster" && f.Level == wire.FindingProblem && strings.Contains(f.Detail, "cut off") && f.Advice != ""
	}) {
		t.Errorf("the doctor finds %+v", found.Checks)
	}
	check(t, server.Continue())
	eventually(t, "an event is refused", func() bool {
		status, _ := one()
		return status == http.StatusAccepted
	})
}

// A wrong database is an error of the start that says what to do.
func TestStartRefusesAWrongDatabase(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "password")
	check(t, os.WriteFile(secret, nil, 0o600))
	for _, tt := range []struct{ name, postgres, want string }{
		{"nothing listens", "{url: 'postgres://berth@127.0.0.1:1/berth'}", "check bus.postgres.url"},
		{"no such variable", "{url: 'postgres://berth@127.0.0.1:1/berth', password: {env: BERTH_NO_SUCH_VARIABLE}}", "the environment has no variable"},
		{"an empty file", "{url: 'postgres://berth@127.0.0.1:1/berth', password: {file: " + secret + "}}", "is empty"},
		{"a missing file", "{url: 'postgres://berth@127.0.0.1:1/berth', password: {file: /no/such/file}}", "no such file"},
		{"no user", "{url: 'postgres://127.0.0.1:1/berth', password: {env: PATH}}", "names no user"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			yaml := filepath.Join(dir, "berth.yaml")
			check(t, os.WriteFile(yaml, []byte("bus: {engine: postgres, postgres: "+tt.postgres+"}\n"), 0o600))
			h, err := New(Config{ConfigPath: yaml, DataDir: filepath.Join(dir, "data"), Listen: "127.0.0.1:0"})
			check(t, err)
			if err := h.Start(t.Context()); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}
