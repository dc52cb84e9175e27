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

// TestMarketplaceLife makes a signed marketplace of two handlers with the tools and
// points the real binary at it: it lists them, installs, runs, upgrades, rolls back
// and uninstalls them, by API and by command line, and what people wrote into the
// configuration stays to the byte.
func TestMarketplaceLife(t *testing.T) {
	m := openStall(t)
	m.release("echo", `{"name":"echo","version":"1.0.0","description":"Says it again","license":"MIT"}`)
	m.release("kv_counter", `{"name":"kv-counter","version":"1.0.0","description":"Counts","license":"MIT","capabilities":[{"name":"kv","reason":"keeps the count","required":true}]}`)
	m.run("verify", m.path("tree"), "--key", m.path("shop.pub"))

	dir, config, plugins := workplace(t)
	yaml := "# The team's.\nplugin_directories: [" + plugins + "]\nroutes:\n  \"*\": {} # all of it\n\n" + m.yaml() +
		"\nhandlers:\n  # Somebody else's.\n  other:\n    enabled: false   # for now\n"
	write(t, config, []byte(yaml))
	s := serve(t, dir, config)
	data := filepath.Join(dir, "data")
	berth := func(args ...string) (stdout, stderr string, code int) {
		t.Helper()
		var out, problems bytes.Buffer
		code = doMain(t.Context(), append(args, "--data-dir", data), strings.NewReader(""), &out, &problems)
		return out.String(), problems.String(), code
	}
	says := func(want string, args ...string) {
		t.Helper()
		if out, problems, code := berth(args...); code != 0 || !strings.Contains(strings.Join(strings.Fields(out), " "), want) {
			t.Errorf("berth %q: %d, %s%s, want %s", args, code, out, problems, want)
		}
	}
	refuses := func(want string, args ...string) {
		t.Helper()
		if out, problems, code := berth(args...); code != 1 || !strings.Contains(problems, want) {
			t.Errorf("berth %q: %d, %s%s, want %s", args, code, out, problems, want)
		}
	}
	post := func(path string, in any) (p wire.Plugin) {
		t.Helper()
		if _, err := s.Call(t.Context(), "POST", path, in, &p); err != nil {
			t.Errorf("POST %s: %v", path, err)
		}
		return p
	}
	// without is the configuration without what the host has written.
	without := func(written string) {
		t.Helper()
		text, err := os.ReadFile(config)
		if err != nil || strings.Count(string(text), written) < 1 || strings.Replace(string(text), written, "", 1) != yaml {
			t.Errorf("more or less than %q was written:\n%s%v", written, text, err)
		}
	}

	// What there is.
	if _, err := os.Stat(filepath.Join(data, "marketplace.json")); err == nil {
		t.Error("the marketplace was asked at the start")
	}
	says("acme/kv-counter 1.0.0 - - ", "marketplace", "search")
	says("acme/echo 1.0.0 - - ", "marketplace", "list", "again")
	refuses("has no plugin nothing", "plugin", "install", "nothing")

	// One by the command line, the other by the API.
	says("plugin echo 1.0.0 state active", "plugin", "install", "acme/echo")
	without("")
	m.release("echo", `{"name":"echo","version":"1.1.0","description":"Says it again","license":"MIT"}`)
	m.release("kv_counter", `{"name":"kv-counter","version":"2.0.0","description":"Counts","license":"MIT","capabilities":[{"name":"kv","reason":"keeps the count","required":true}]}`)
	var p client.Problem
	in := wire.Install{Name: "kv-counter", Version: "^1"}
	if _, err := s.Call(t.Context(), "POST", "/api/v1/plugins/install", in, new(wire.Plugin)); !errors.As(err, &p) || p.Code != "approval_required" || p.Plan == nil ||
		p.Plan.Publisher != "acme" || p.Plan.SignedBy == "" || p.Plan.Version != "1.0.0" {
		t.Fatalf("a plugin that asks for more: %v", err)
	}
	without("")
	in.Approve = p.Plan.Digest
	if got := post("/api/v1/plugins/install", in); got.State != wire.Active || got.Version != "1.0.0" {
		t.Errorf("got %+v", got)
	}
	without("  kv-counter:\n    grants: [\"kv\"]\n")
	first := emit(t, s, "first")
	s.delivered(t, first, "echo")
	s.delivered(t, first, "kv-counter")

	// What is newer.
	says("acme/kv-counter 2.0.0 1.0.0 2.0.0", "marketplace", "search")
	says("echo 1.0.0 1.1.0 acme kv-counter 1.0.0 2.0.0 acme", "plugin", "outdated")
	says(`"update_available":"1.1.0"`, "plugin", "outdated", "--json")
	says("plugin echo 1.1.0 state active", "plugin", "upgrade", "echo")
	if got := post("/api/v1/plugins/kv-counter/upgrade", nil); got.State != wire.Active || got.Version != "2.0.0" {
		t.Errorf("got %+v", got)
	}
	if out, _, code := berth("plugin", "outdated"); code != 0 || strings.Count(out, "\n") != 1 {
		t.Errorf("outdated: %d, %s", code, out)
	}
	second := emit(t, s, "second")
	s.delivered(t, second, "echo")
	s.delivered(t, second, "kv-counter")

	// What was revoked goes on, loudly, and is not to be had any more.
	says("plugin echo 1.0.0 state active", "plugin", "rollback", "echo")
	m.sign("--revoke", "acme/echo@1.0.0", "--reason", "it tells secrets")
	m.sign("--revoke", "acme/echo@1.1.0", "--reason", "it tells others")
	refuses("it tells others", "plugin", "upgrade", "echo@1.1.0")
	refuses("it tells others", "plugin", "rollback", "echo", "1.1.0")
	says("state active: the marketplace has revoked it: it tells secrets", "plugin", "show", "echo")
	s.delivered(t, emit(t, s, "third"), "echo")

	// All the rest without the marketplace.
	m.server.Close()
	s.terminate(t)
	s = serve(t, dir, config)
	s.active(t, "echo")
	s.active(t, "kv-counter")
	if out, _, code := berth("marketplace", "search"); code != 0 || !strings.Contains(out, "acme/echo") {
		t.Errorf("search, with the marketplace down: %d, %s", code, out)
	}
	if got := post("/api/v1/plugins/kv-counter/rollback", nil); got.Version != "1.0.0" {
		t.Errorf("got %+v", got)
	}
	s.delivered(t, emit(t, s, "fourth"), "kv-counter")
	says("echo is uninstalled", "plugin", "uninstall", "echo", "--purge", "--yes")
	if _, err := s.Call(t.Context(), "DELETE", "/api/v1/plugins/uninstall/kv-counter?purge=true", nil, nil); err != nil {
		t.Fatalf("uninstall: %v", err)
	}
	without("")
	if left, err := filepath.Glob(filepath.Join(data, ".store", "sha256", "*")); err != nil || len(left) != 0 {
		t.Errorf("left: %q, %v", left, err)
	}

	// A name it has never listed cannot be had: that is the marketplace's fault.
	if err := os.Remove(filepath.Join(data, "marketplace.json")); err != nil {
		t.Fatal(err)
	}
	s.terminate(t)
	if !strings.Contains(s.log.String(), "REVOKED AN INSTALLED PLUGIN") {
		t.Error("the start says nothing of a revoked plugin")
	}
	s = serve(t, dir, config)
	_, err := s.Call(t.Context(), "POST", "/api/v1/plugins/install", wire.Install{Name: "echo"}, new(wire.Plugin))
	if !errors.As(err, &p) || p.Status != http.StatusBadGateway || !strings.Contains(p.Detail, m.server.URL) {
		t.Errorf("a marketplace that is down: %+v, %v", p.Problem, err)
	}
	s.terminate(t)
}
