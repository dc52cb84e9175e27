package main

import (
	"bytes"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-host/berth/cmd/berth/internal/client"
	"github.com/berth-host/berth/host/wire"
)

// stall is a marketplace that the tools have made, on a server of files with TLS,
// which hosts started from now on trust.
type stall struct {
	t      *testing.T
	dir    string
	server *httptest.Server
}

func openStall(t *testing.T) *stall {
	t.Helper()
	m := &stall{t: t, dir: t.TempDir()}
	m.run("keygen", m.path("acme"), "--no-passphrase")
	m.run("keygen", m.path("shop"), "--no-passphrase")
	m.server = httptest.NewUnstartedServer(http.FileServer(http.Dir(m.path("tree"))))
	m.server.Config.ErrorLog = log.New(io.Discard, "", 0)
	m.server.StartTLS()
	t.Cleanup(m.server.Close)
	write(t, m.path("authority.pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: m.server.Certificate().Raw}))
	t.Setenv("SSL_CERT_FILE", m.path("authority.pem"))
	return m
}

func (m *stall) path(name string) string { return filepath.Join(m.dir, name) }

// run runs a command of the tools.
func (m *stall) run(args ...string) string {
	m.t.Helper()
	var out, problems bytes.Buffer
	if code := doMain(m.t.Context(), append([]string{"marketplace"}, args...), http.NoBody, &out, &problems); code != 0 {
		m.t.Fatalf("berth marketplace %q: %d, %s", args, code, &problems)
	}
	return out.String()
}

// release adds a release of a guest, and signs the list.
func (m *stall) release(guestName, manifest string) {
	m.t.Helper()
	var named struct{ Name, Version string }
	if err := json.Unmarshal([]byte(manifest), &named); err != nil {
		m.t.Fatal(err)
	}
	module, bundle := m.path(named.Name+".wasm"), m.path(named.Name+"-"+named.Version)
	write(m.t, module, guest(m.t, guestName))
	write(m.t, module+".json", []byte(manifest))
	m.run("release", module, "--publisher", "acme", "--key", m.path("acme.key"), "--out", bundle)
	m.run("add", m.path("tree"), bundle, "--publisher-key", m.path("acme.pub"))
	m.sign()
}

func (m *stall) sign(more ...string) {
	m.t.Helper()
	m.run(append([]string{"sign", m.path("tree"), "--name", "shop", "--key", m.path("shop.key")}, more...)...)
}

// yaml is the section of a configuration that points at it.
func (m *stall) yaml() string {
	m.t.Helper()
	key, err := os.ReadFile(m.path("shop.pub"))
	if err != nil {
		m.t.Fatal(err)
	}
	lines := strings.Fields(string(key))
	return "marketplace: # ours\n  enabled: true\n  index_url: " + m.server.URL + "/\n  trusted_keys: [" + lines[len(lines)-1] + "] # of shop.pub\n  allow_private_hosts: [127.0.0.1]\n"
}

// marketLife is a marketplace, and a host that is configured with it.
type marketLife struct {
	*testing.T
	m                       *stall
	s                       *server
	dir, config, data, yaml string
}

func newMarketLife(t *testing.T) *marketLife {
	t.Helper()
	m := openStall(t)
	m.release("echo", `{"name":"echo","version":"1.0.0","description":"Says it again","license":"MIT"}`)
	m.release("kv_counter", `{"name":"kv-counter","version":"1.0.0","description":"Counts","license":"MIT","capabilities":[{"name":"kv","reason":"keeps the count","required":true}]}`)
	m.run("verify", m.path("tree"), "--key", m.path("shop.pub"))

	dir, config, plugins := workplace(t)
	yaml := "# The team's.\nplugin_directories: [" + plugins + "]\nroutes:\n  \"*\": {} # all of it\n\n" + m.yaml() +
		"\nhandlers:\n  # Another team's.\n  other:\n    enabled: false   # for now\n"
	write(t, config, []byte(yaml))
	return &marketLife{T: t, m: m, s: serve(t, dir, config), dir: dir, config: config, data: filepath.Join(dir, "data"), yaml: yaml}
}

func (l *marketLife) berth(args ...string) (stdout, stderr string, code int) {
	var out, problems bytes.Buffer
	code = doMain(l.Context(), append(args, "--data-dir", l.data), strings.NewReader(""), &out, &problems)
	return out.String(), problems.String(), code
}

// says checks the output of a command.
func (l *marketLife) says(want string, args ...string) {
	l.Helper()
	if out, problems, code := l.berth(args...); code != 0 || !strings.Contains(strings.Join(strings.Fields(out), " "), want) {
		l.Errorf("berth %q: %d, %s%s, want %s", args, code, out, problems, want)
	}
}

// refuses checks the error of a command.
func (l *marketLife) refuses(want string, args ...string) {
	l.Helper()
	if out, problems, code := l.berth(args...); code != 1 || !strings.Contains(problems, want) {
		l.Errorf("berth %q: %d, %s%s, want %s", args, code, out, problems, want)
	}
}

func (l *marketLife) post(path string, in any) (p wire.Plugin) {
	l.Helper()
	if _, err := l.s.Call(l.Context(), "POST", path, in, &p); err != nil {
		l.Errorf("POST %s: %v", path, err)
	}
	return p
}

// without checks that the host has written this, and nothing else, into the configuration.
func (l *marketLife) without(written string) {
	l.Helper()
	text, err := os.ReadFile(l.config)
	if err != nil || strings.Count(string(text), written) < 1 || strings.Replace(string(text), written, "", 1) != l.yaml {
		l.Errorf("more or less than %q was written:\n%s%v", written, text, err)
	}
}

// TestMarketplaceLife makes a signed marketplace of two handlers with the tools and
// points the real binary at it: it lists them, installs, runs, upgrades, rolls back
// and uninstalls them, by API and by command line, and what people wrote into the
// configuration stays to the byte.
func TestMarketplaceLife(t *testing.T) {
	l := newMarketLife(t)
	l.lists()
	l.installs()
	l.upgrades()
	l.keepsARevokedPlugin()
	l.worksOffline()
	l.failsWithoutAList()
}

// lists lists the marketplace.
func (l *marketLife) lists() {
	l.Helper()
	if _, err := os.Stat(filepath.Join(l.data, "marketplace.json")); err == nil {
		l.Error("the marketplace was asked at the start")
	}
	l.says("acme/kv-counter 1.0.0 - - ", "marketplace", "search")
	l.says("acme/echo 1.0.0 - - ", "marketplace", "list", "again")
	l.refuses("has no plugin nothing", "plugin", "install", "nothing")
}

// installs installs one plugin by the command line and one by the API.
func (l *marketLife) installs() {
	l.Helper()
	l.says("plugin echo 1.0.0 state active", "plugin", "install", "acme/echo")
	l.without("")
	l.m.release("echo", `{"name":"echo","version":"1.1.0","description":"Says it again","license":"MIT"}`)
	l.m.release("kv_counter", `{"name":"kv-counter","version":"2.0.0","description":"Counts","license":"MIT","capabilities":[{"name":"kv","reason":"keeps the count","required":true}]}`)
	var p client.Problem
	in := wire.Install{Name: "kv-counter", Version: "^1"}
	if _, err := l.s.Call(l.Context(), "POST", "/api/v1/plugins/install", in, new(wire.Plugin)); !errors.As(err, &p) || p.Code != "approval_required" || p.Plan == nil ||
		p.Plan.Publisher != "acme" || p.Plan.SignedBy == "" || p.Plan.Version != "1.0.0" {
		l.Fatalf("a plugin that asks for more: %v", err)
	}
	l.without("")
	in.Approve = p.Plan.Digest
	if got := l.post("/api/v1/plugins/install", in); got.State != wire.Active || got.Version != "1.0.0" {
		l.Errorf("got %+v", got)
	}
	l.without("  kv-counter:\n    grants: [\"kv\"]\n")
	first := emit(l.T, l.s, "first")
	l.s.delivered(l.T, first, "echo")
	l.s.delivered(l.T, first, "kv-counter")
}

// upgrades upgrades both.
func (l *marketLife) upgrades() {
	l.Helper()
	l.says("acme/kv-counter 2.0.0 1.0.0 2.0.0", "marketplace", "search")
	l.says("echo 1.0.0 1.1.0 acme kv-counter 1.0.0 2.0.0 acme", "plugin", "outdated")
	l.says(`"update_available":"1.1.0"`, "plugin", "outdated", "--json")
	l.says("plugin echo 1.1.0 state active", "plugin", "upgrade", "echo")
	if got := l.post("/api/v1/plugins/kv-counter/upgrade", nil); got.State != wire.Active || got.Version != "2.0.0" {
		l.Errorf("got %+v", got)
	}
	if out, _, code := l.berth("plugin", "outdated"); code != 0 || strings.Count(out, "\n") != 1 {
		l.Errorf("outdated: %d, %s", code, out)
	}
	second := emit(l.T, l.s, "second")
	l.s.delivered(l.T, second, "echo")
	l.s.delivered(l.T, second, "kv-counter")
}

// keepsARevokedPlugin keeps a revoked plugin running, with a warning, and does not install it again.
func (l *marketLife) keepsARevokedPlugin() {
	l.Helper()
	l.says("plugin echo 1.0.0 state active", "plugin", "rollback", "echo")
	l.m.sign("--revoke", "acme/echo@1.0.0", "--reason", "it leaks secrets")
	l.m.sign("--revoke", "acme/echo@1.1.0", "--reason", "it leaks events")
	l.refuses("it leaks events", "plugin", "upgrade", "echo@1.1.0")
	l.refuses("it leaks events", "plugin", "rollback", "echo", "1.1.0")
	l.says("state active: the marketplace has revoked it: it leaks secrets", "plugin", "show", "echo")
	l.s.delivered(l.T, emit(l.T, l.s, "third"), "echo")
}

// worksOffline rolls back and uninstalls while the marketplace is down.
func (l *marketLife) worksOffline() {
	l.Helper()
	l.m.server.Close()
	l.s.terminate(l.T)
	l.s = serve(l.T, l.dir, l.config)
	l.s.active(l.T, "echo")
	l.s.active(l.T, "kv-counter")
	if out, _, code := l.berth("marketplace", "search"); code != 0 || !strings.Contains(out, "acme/echo") {
		l.Errorf("search, with the marketplace down: %d, %s", code, out)
	}
	if got := l.post("/api/v1/plugins/kv-counter/rollback", nil); got.Version != "1.0.0" {
		l.Errorf("got %+v", got)
	}
	l.s.delivered(l.T, emit(l.T, l.s, "fourth"), "kv-counter")
	l.says("echo is uninstalled", "plugin", "uninstall", "echo", "--purge", "--yes")
	if _, err := l.s.Call(l.Context(), "DELETE", "/api/v1/plugins/uninstall/kv-counter?purge=true", nil, nil); err != nil {
		l.Fatalf("uninstall: %v", err)
	}
	l.without("")
	if left, err := filepath.Glob(filepath.Join(l.data, ".store", "sha256", "*")); err != nil || len(left) != 0 {
		l.Errorf("left: %q, %v", left, err)
	}
}

// failsWithoutAList cannot install a name that it has never listed: the marketplace is at fault.
func (l *marketLife) failsWithoutAList() {
	l.Helper()
	if err := os.Remove(filepath.Join(l.data, "marketplace.json")); err != nil {
		l.Fatal(err)
	}
	l.s.terminate(l.T)
	if !strings.Contains(l.s.log.String(), "REVOKED AN INSTALLED PLUGIN") {
		l.Error("the start says nothing of a revoked plugin")
	}
	l.s = serve(l.T, l.dir, l.config)
	var p client.Problem
	_, err := l.s.Call(l.Context(), "POST", "/api/v1/plugins/install", wire.Install{Name: "echo"}, new(wire.Plugin))
	if !errors.As(err, &p) || p.Status != http.StatusBadGateway || !strings.Contains(p.Detail, l.m.server.URL) {
		l.Errorf("a marketplace that is down: %+v, %v", p.Problem, err)
	}
	l.s.terminate(l.T)
}
