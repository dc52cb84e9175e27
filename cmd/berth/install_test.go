package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-host/berth/cmd/berth/internal/client"
	"github.com/berth-host/berth/host/wire"
)

// TestInstall installs plugins into the real binary from a server on this
// machine, which its configuration allows.
func TestInstall(t *testing.T) {
	echo, refused := guest(t, "echo"), guest(t, "refused_import")
	shop := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/echo.wasm":
			_, _ = w.Write(echo)
		case "/refused.wasm":
			_, _ = w.Write(refused)
		case "/moved":
			http.Redirect(w, r, "/echo.wasm", http.StatusFound)
		default:
			http.Redirect(w, r, "https://10.0.0.1/", http.StatusFound)
		}
	}))
	t.Cleanup(shop.Close)

	dir, config, plugins := workplace(t)
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	write(t, config, append(text, "marketplace:\n  allow_private_hosts: [127.0.0.1]\n"...))
	s := serve(t, dir, config)
	install := func(path string, content []byte, name string) (wire.Plugin, error) {
		var p wire.Plugin
		in := wire.Install{URL: shop.URL + path, SHA256: fmt.Sprintf("%x", sha256.Sum256(content)), Name: name}
		_, err := s.Call(t.Context(), "POST", "/api/v1/plugins/install", in, &p)
		return p, err
	}
	files := func() string { return modulesIn(t, dir, plugins) }
	installed := fmt.Sprintf("%x.wasm", sha256.Sum256(echo))

	for _, tt := range []struct {
		path, name string
		content    []byte
		status     int
		field      string
		text       string
	}{
		{"/echo.wasm", "", echo, 400, "name", "is required"},
		{"/echo.wasm", "../echo", echo, 400, "name", "must be 1 to 63"},
		{"/echo.wasm", "echo", refused, 400, "sha256", "another version, or was changed"},
		{"/refused.wasm", "refused", refused, 400, "", "install refused: the module is rejected: "},
		{"/elsewhere", "echo", echo, 400, "url", "redirects to another URL: 10.0.0.1"},
	} {
		_, err := install(tt.path, tt.content, tt.name)
		var p client.Problem
		if !errors.As(err, &p) || p.Status != tt.status || p.Field != tt.field || !strings.Contains(p.Detail, tt.text) {
			t.Errorf("%s as %q: got %v, want %d about %s: %s", tt.path, tt.name, err, tt.status, tt.field, tt.text)
		}
		var list wire.List[wire.Plugin]
		if _, err := s.Call(t.Context(), "GET", "/api/v1/events/plugins", nil, &list); err != nil || len(list.Items) != 0 || files() != "" {
			t.Errorf("after %s there is %s: %+v, %v", tt.path, files(), list.Items, err)
		}
	}

	before := emit(t, s, "before")
	for _, path := range []string{"/moved", "/echo.wasm"} { // the second time it is there
		p, err := install(path, echo, "echo")
		if err != nil || p.State != wire.Active || p.Name != "echo" || files() != installed {
			t.Fatalf("got %+v, %v, %s", p, err, files())
		}
	}
	if _, err := install("/refused.wasm", refused, "echo"); err == nil || !strings.Contains(err.Error(), "other contents") {
		t.Errorf("another module of the name: %v", err)
	}
	s.delivered(t, emit(t, s, "after"), "echo")
	var ev wire.Event
	if _, err := s.Call(t.Context(), "GET", "/api/v1/events/"+before, nil, &ev); err != nil || len(ev.Deliveries) != 0 {
		t.Errorf("an event from before has %+v, %v", ev.Deliveries, err)
	}

	s.terminate(t)
	shop.Close() // a start needs no server
	again := serve(t, dir, config)
	again.active(t, "echo")
	if _, err := again.Call(t.Context(), "DELETE", "/api/v1/plugins/uninstall/echo", nil, nil); err != nil || files() != "" {
		t.Errorf("got %v, %s", err, files())
	}
	again.terminate(t)
}

// modulesIn returns the names of the stored modules and the paths in the watched directory.
func modulesIn(t *testing.T, dir, plugins string) string {
	t.Helper()
	stored, err := filepath.Glob(filepath.Join(dir, "data", ".store", "sha256", "*"))
	list, listErr := filepath.Glob(filepath.Join(plugins, "*"))
	hidden, hiddenErr := filepath.Glob(filepath.Join(plugins, ".*"))
	if err := errors.Join(err, listErr, hiddenErr); err != nil {
		t.Fatal(err)
	}
	for i := range stored {
		stored[i] = filepath.Base(stored[i])
	}
	return strings.Join(append(append(stored, list...), hidden...), " ")
}

// emit publishes an event and returns its id.
func emit(t *testing.T, s *server, key string) string {
	t.Helper()
	var receipt wire.Receipt
	body := map[string]any{"event_type": "order_placed", "data": map[string]string{"status": "pending"}, "metadata": map[string]string{"idempotency_key": key}}
	if _, err := s.Call(t.Context(), "POST", "/api/v1/events", body, &receipt); err != nil {
		t.Fatal(err)
	}
	return receipt.EventID
}
