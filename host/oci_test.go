package host

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-containerregistry/pkg/registry"

	"github.com/berth-host/berth/host/marketplace"
	"github.com/berth-host/berth/host/marketplace/format"
	"github.com/berth-host/berth/host/marketplace/publish"
	"github.com/berth-host/berth/host/wire"
)

// pushed pushes a module to a registry in the CNCF's layout and returns its digest.
func pushed(t *testing.T, files http.Handler, tag string, wasm []byte) string {
	t.Helper()
	put := func(method, path, kind string, body []byte) {
		t.Helper()
		r := httptest.NewRequest(method, path, bytes.NewReader(body))
		r.Header.Set("Content-Type", kind)
		w := httptest.NewRecorder()
		if files.ServeHTTP(w, r); w.Code >= 300 {
			t.Fatalf("%s %s: %d %s", method, path, w.Code, w.Body)
		}
	}
	describe := func(kind string, b []byte) map[string]any {
		return map[string]any{"mediaType": kind, "digest": fmt.Sprintf("sha256:%x", sha256.Sum256(b)), "size": len(b)}
	}
	about := []byte(`{"os":"wasip1","architecture":"wasm"}`)
	for _, blob := range [][]byte{about, wasm} {
		put("POST", fmt.Sprintf("/v2/team/echo/blobs/uploads/?digest=sha256:%x", sha256.Sum256(blob)), "application/octet-stream", blob)
	}
	const manifest = "application/vnd.oci.image.manifest.v1+json"
	content, err := json.Marshal(map[string]any{"schemaVersion": 2, "mediaType": manifest,
		"config": describe("application/vnd.wasm.config.v0+json", about), "layers": []any{describe("application/wasm", wasm)}})
	check(t, err)
	put("PUT", "/v2/team/echo/manifests/"+tag, manifest, content)
	return fmt.Sprintf("%x", sha256.Sum256(wasm))
}

// testRegistry is a registry that requires the credentials of docker's file, with two
// versions of a module.
type testRegistry struct {
	server        *httptest.Server
	repo          string      // the reference without a version
	first, second string      // digests of the tags 1.0.0 and latest
	asked         atomic.Bool // for credentials
	spoilt        atomic.Bool // answers zeros instead of the module
}

// openRegistry starts a registry, and a host that may install from it.
func openRegistry(t *testing.T) (*testRegistry, *testHost) {
	t.Helper()
	r := new(testRegistry)
	by, err := format.NewSigner()
	check(t, err)
	module := func(version string) []byte {
		wasm, err := os.ReadFile(filepath.Join("..", "testdata", "guests", "echo.wasm"))
		check(t, err)
		b, err := publish.Make(publish.Draft{Publisher: "acme", Module: wasm, Manifest: []byte(`{"name":"echo","version":"` + version + `"}`)}, by)
		check(t, err)
		return b.Module
	}
	files := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	r.first = pushed(t, files, "1.0.0", module("1.0.0"))
	r.second = pushed(t, files, "latest", module("1.1.0"))
	zeros := make([]byte, len(module("1.0.0")))
	r.server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if user, password, ok := req.BasicAuth(); !ok || user != "ada" || password != "s3cret" {
			r.asked.Store(true)
			w.Header().Set("WWW-Authenticate", `Basic realm="registry"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		if r.spoilt.Load() && strings.Contains(req.URL.Path, "/blobs/") {
			_, _ = w.Write(zeros)
			return
		}
		files.ServeHTTP(w, req)
	}))
	r.server.Config.ErrorLog = log.New(io.Discard, "", 0)
	r.server.StartTLS()
	t.Cleanup(r.server.Close)
	at := r.server.Listener.Addr().String()
	r.repo = "oci://" + at + "/team/echo"

	docker := filepath.Join(t.TempDir(), "config.json")
	check(t, os.WriteFile(docker, fmt.Appendf(nil, `{"auths":{%q:{"auth":%q}}}`, at, base64.StdEncoding.EncodeToString([]byte("ada:s3cret"))), 0o600))
	roots := x509.NewCertPool()
	roots.AddCert(r.server.Certificate())
	config := "plugin_directories: []\nroutes: {\"*\": {}}\nmarketplace: {allow_private_hosts: [127.0.0.1], docker_config: " + docker + "}\n"
	return r, startHost(t, config, marketplace.Config{RootCAs: roots})
}

// TestInstallFromRegistry installs, runs and upgrades a plugin from a registry.
func TestInstallFromRegistry(t *testing.T) {
	r, s := openRegistry(t)
	before := s.snapshot()
	refused := func(ref string, status int, text string) {
		t.Helper()
		got, p := s.call("POST", "/api/v1/plugins/install", wire.Install{Ref: ref}, nil)
		if got != status || !strings.Contains(p.Detail, text) || strings.Contains(p.Detail, "s3cret") {
			t.Errorf("%s: got %d %+v, want %d %s", ref, got, p, status, text)
		}
		if s.snapshot() != before {
			t.Errorf("%s: the state has changed", ref)
		}
	}
	refused(r.repo, 400, "names no version")
	refused(r.repo+":2.0.0", 404, "has no")
	refused("oci://10.0.0.1/team/echo:1", 400, "is not an address of the public internet")
	r.spoilt.Store(true)
	refused(r.repo+":1.0.0", 400, "instead of "+r.first+": it is another version, or was changed")
	r.spoilt.Store(false)

	var p wire.Plugin
	if status, problem := s.call("POST", "/api/v1/plugins/install", wire.Install{Ref: r.repo + ":1.0.0"}, &p); status != http.StatusCreated || p.State != wire.Active || p.SHA256 != r.first || p.Version != "1.0.0" {
		t.Fatalf("install: %d %+v, %+v", status, problem, p)
	}
	if !r.asked.Load() {
		t.Error("the registry required no credentials")
	}
	lock, err := os.ReadFile(filepath.Join(s.host.DataDir(), "plugins.lock.yaml"))
	if err != nil || !strings.Contains(string(lock), r.repo+"@sha256:") {
		t.Errorf("the lock is\n%s, %v", lock, err)
	}
	var receipt wire.Receipt
	if status, problem := s.call("POST", "/api/v1/events", map[string]any{"event_type": "t", "data": map[string]string{"status": "x"}}, &receipt); status != http.StatusAccepted {
		t.Fatalf("publish: %d %+v", status, problem)
	}
	delivered(t, s, receipt.EventID)
	if status, problem := s.call("POST", "/api/v1/plugins/echo/upgrade", wire.Upgrade{Ref: r.repo + ":latest"}, &p); status != http.StatusOK || p.SHA256 != r.second || p.Version != "1.1.0" {
		t.Errorf("upgrade: %d %+v, %+v", status, problem, p)
	}
	r.server.Close()
	if status, problem := s.call("POST", "/api/v1/plugins/echo/rollback", nil, &p); status != http.StatusOK || p.SHA256 != r.first {
		t.Errorf("rollback: %d %+v, %+v", status, problem, p)
	}
	if status, problem := s.call("POST", "/api/v1/plugins/echo/upgrade", wire.Upgrade{Ref: r.repo + ":latest"}, nil); status != http.StatusBadGateway {
		t.Errorf("a registry that is down: %d %+v", status, problem)
	}
	if status, problem := s.call("DELETE", "/api/v1/plugins/uninstall/echo?purge=true", nil, nil); status != http.StatusNoContent {
		t.Errorf("uninstall: %d %+v", status, problem)
	}
}
