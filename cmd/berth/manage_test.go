package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/berth-host/berth/cmd/berth/internal/command"
	"github.com/berth-host/berth/host/marketplace/format"
	market "github.com/berth-host/berth/host/marketplace/publish"
	"github.com/berth-host/berth/host/wire"
)

// request is one call of the API as any program makes it.
type request struct {
	method, path, token, body string
	header                    map[string]string
}

// ask sends a request and returns the status and the body.
func (s *server) ask(t *testing.T, r request) (int, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), r.method, s.URL+r.path, strings.NewReader(r.body))
	if err != nil {
		t.Fatal(err)
	}
	if r.token != "" {
		req.Header.Set("Authorization", "Bearer "+r.token)
	}
	if r.body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for name, value := range r.header {
		if name == "Host" {
			req.Host = value
		}
		req.Header.Set(name, value)
	}
	resp, err := s.HTTP.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var text bytes.Buffer
	if _, err := text.ReadFrom(resp.Body); err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode >= 400 {
		var p wire.Problem
		if kind := resp.Header.Get("Content-Type"); kind != "application/problem+json" || json.Unmarshal(text.Bytes(), &p) != nil || p.Status != resp.StatusCode || p.Detail == "" {
			t.Errorf("%s %s: %d is not answered with a problem: %s", r.method, r.path, resp.StatusCode, text.Bytes())
		}
	}
	return resp.StatusCode, text.Bytes()
}

// scoped makes a token of one scope.
func scoped(t *testing.T, data, scope string) string {
	t.Helper()
	code, secret, stderr := berth(t, "token", "create", "--name", scope, "--scope", scope, "--data-dir", data)
	if code != command.ExitOK {
		t.Fatal(stderr)
	}
	return strings.TrimSpace(secret)
}

const commented = `# The team's handlers. Ask before you change one.
plugin_directories: [plugins]   # relative to where berth starts

routes:
  "*": {}     # all of them

handlers:

  # Since May.
  echo:
    enabled: true    # 'twas off in April
    retry: {max_attempts: 2}
`

// openShop serves a signed marketplace with one plugin, tea, and a module at
// /count.wasm; settings have a host know it.
func openShop(t *testing.T) (url, settings string) {
	t.Helper()
	by, err := format.NewSigner()
	if err != nil {
		t.Fatal(err)
	}
	tree, err := market.Open(t.TempDir(), true)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tree.Close() }) // it was only read since
	bundle, err := market.Make(market.Draft{Publisher: "acme", Module: guest(t, "echo"), Manifest: []byte(`{"name":"tea","version":"1.0.0"}`), Released: time.Now().Add(-time.Hour)}, by)
	if err == nil {
		_, err = tree.Add(bundle, new(by.Key()))
	}
	if err == nil {
		_, err = tree.Sign(t.Context(), market.Signing{Name: "shop", Expires: time.Now().Add(time.Hour)}, by)
	}
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/", tree.Handler())
	mux.HandleFunc("/count.wasm", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(guest(t, "count")) })
	shop := httptest.NewServer(mux)
	t.Cleanup(shop.Close)
	return shop.URL, fmt.Sprintf("\nmarketplace:\n  enabled: true\n  index_url: %s/\n  trusted_keys: [%s]\n  allow_private_hosts: [127.0.0.1]\n", shop.URL, by.Key())
}

// TestManagement goes through the endpoints that every version has had: the
// right answer, a wrong token, a wrong scope, an unknown plugin, and the same call
// once more.
func TestManagement(t *testing.T) {
	dir, config, plugins := workplace(t)
	data := filepath.Join(dir, "data")
	shop, settings := openShop(t)
	write(t, config, []byte(commented+settings))
	write(t, filepath.Join(plugins, "echo.wasm"), guest(t, "echo"))
	s := serve(t, dir, config)
	s.active(t, "echo")
	count := guest(t, "count")
	order := fmt.Sprintf(`{"url":%q,"sha256":"%x","name":"count"}`, shop+"/count.wasm", sha256.Sum256(count))
	read, publish, operate, install := scoped(t, data, "read"), scoped(t, data, "publish"), scoped(t, data, "operate"), scoped(t, data, "install")

	const unknown = `there is no plugin "nobody"`
	for _, tt := range []struct {
		method, path, body string
		right, wrong       string // tokens
		status             int
		answer             string // contains
		again              int    // status of the same call again
		answerAgain        string
		missing            string // path of an unknown plugin; "" when it names none
	}{
		{"POST", "/api/v1/events/reload-config", "", operate, read, 200, `{"changed":[],"needs_restart":[]}`, 200, `{"changed":[],"needs_restart":[]}`, ""},
		{"GET", "/api/v1/events/plugins", "", read, publish, 200, `"name":"echo","state":"active"`, 200, `"name":"echo","state":"active"`, ""},
		{"POST", "/api/v1/events/plugins/echo/disable", "", operate, install, 200, `"state":"disabled"`, 200, `"state":"disabled"`, "/api/v1/events/plugins/nobody/disable"},
		{"POST", "/api/v1/events/plugins/echo/enable", "", operate, read, 200, `"name":"echo"`, 200, `"name":"echo"`, "/api/v1/events/plugins/nobody/enable"},
		{"GET", "/api/v1/plugins/marketplace", "", read, publish, 200, `"name":"tea"`, 200, `"name":"tea"`, ""},
		{"POST", "/api/v1/plugins/install", order, install, operate, 201, `"name":"count","state":"active"`, 201, `"name":"count","state":"active"`, ""},
		{"DELETE", "/api/v1/plugins/uninstall/echo", "", install, operate, 204, ``, 404, `there is no plugin \"echo\"`, "/api/v1/plugins/uninstall/nobody"},
	} {
		call := request{method: tt.method, path: tt.path, body: tt.body}
		for token, want := range map[string]int{"": 401, s.Token + "x": 401, tt.wrong: 403} {
			call.token = token
			got, text := 0, []byte(nil)
			await(t, "another guess is allowed", func() error {
				if got, text = s.ask(t, call); got == http.StatusTooManyRequests {
					return fmt.Errorf("got %d, %s", got, text)
				}
				return nil
			})
			if got != want {
				t.Errorf("%s %s with the token %.9q: got %d, want %d: %s", tt.method, tt.path, token, got, want, text)
			}
		}
		if tt.missing != "" {
			got, text := s.ask(t, request{method: tt.method, path: tt.missing, token: tt.right})
			var p wire.Problem
			if err := json.Unmarshal(text, &p); err != nil || got != 404 || p.Detail != unknown {
				t.Errorf("%s %s: got %d, %s", tt.method, tt.missing, got, text)
			}
		}
		call.token = tt.right
		if got, text := s.ask(t, call); got != tt.status || !strings.Contains(string(text), tt.answer) {
			t.Errorf("%s %s: got %d, %s", tt.method, tt.path, got, text)
		}
		if got, text := s.ask(t, call); got != tt.again || !strings.Contains(string(text), tt.answerAgain) {
			t.Errorf("%s %s again: got %d, %s", tt.method, tt.path, got, text)
		}
	}
	s.terminate(t)
}

// TestSwitchChangesOneLineOfTheFile holds that a switch changes one place of a file that a person
// wrote, and that a broken file changes nothing.
func TestSwitchChangesOneLineOfTheFile(t *testing.T) {
	dir, config, plugins := workplace(t)
	write(t, config, []byte(commented))
	write(t, filepath.Join(plugins, "echo.wasm"), guest(t, "echo"))
	s := serve(t, dir, config)
	s.active(t, "echo")
	text := func() string {
		t.Helper()
		now, err := os.ReadFile(config)
		if err != nil {
			t.Fatal(err)
		}
		return string(now)
	}
	disabled := strings.Replace(commented, "enabled: true    # 'twas", "enabled: false    # 'twas", 1)
	for _, tt := range []struct{ verb, want string }{{"disable", disabled}, {"disable", disabled}, {"enable", commented}, {"enable", commented}} {
		got, body := s.ask(t, request{method: "POST", path: "/api/v1/events/plugins/echo/" + tt.verb, token: s.Token})
		if got != 200 || text() != tt.want {
			t.Errorf("%s: got %d, %s\nand the file\n%s", tt.verb, got, body, text())
		}
	}
	s.active(t, "echo")

	// A broken file is refused with every line that is wrong.
	write(t, config, []byte("plugin_directories: [plugins]\nroutes:\n  \"*\": {}\nhandlers:\n  echo:\n    enabeld: false\n    limits: {timeout: soon}\n"))
	for range 2 {
		got, body := s.ask(t, request{method: "POST", path: "/api/v1/events/reload-config", token: s.Token})
		var p wire.Problem
		if err := json.Unmarshal(body, &p); err != nil || got != 422 || len(p.Errors) != 2 {
			t.Fatalf("got %d, %s", got, body)
		}
		for i, want := range []wire.ErrorDetail{{File: config, Line: 6, Path: "handlers.echo.enabeld"}, {File: config, Line: 7, Path: "handlers.echo.limits.timeout"}} {
			if e := p.Errors[i]; e.File != want.File || e.Line != want.Line || e.Path != want.Path || e.Reason == "" {
				t.Errorf("got %+v, want %+v", e, want)
			}
		}
	}
	var r wire.Receipt
	if _, err := s.Call(t.Context(), "POST", "/api/v1/events", map[string]any{"event_type": "t", "data": map[string]string{"status": "on"}}, &r); err != nil {
		t.Fatal(err)
	}
	s.delivered(t, r.EventID, "echo")
	// It cannot be edited either, and is not overwritten.
	broken := text()
	if got, body := s.ask(t, request{method: "POST", path: "/api/v1/events/plugins/echo/disable", token: s.Token}); got != 422 || text() != broken {
		t.Errorf("got %d, %s\nand the file\n%s", got, body, text())
	}
	s.active(t, "echo")
	s.terminate(t)
}

// TestRequestsOfOtherSitesAreRefused holds that a page in a browser cannot use a host on the
// same machine: neither by its own name for the address nor across sites.
func TestRequestsOfOtherSitesAreRefused(t *testing.T) {
	dir, config, _ := workplace(t)
	s := serve(t, dir, config)
	port := s.URL[strings.LastIndex(s.URL, ":"):]
	body := `{"event_type":"t","data":null}`
	for _, tt := range []struct {
		name   string
		header map[string]string
		want   int
	}{
		{"a program", nil, 202},
		{"by localhost", map[string]string{"Host": "localhost" + port}, 202},
		{"a page of the host's own", map[string]string{"Origin": s.URL, "Sec-Fetch-Site": "same-origin"}, 202},
		{"a foreign Host", map[string]string{"Host": "evil.example" + port}, 403},
		{"a foreign Host that looks like it", map[string]string{"Host": "127.0.0.1.evil.example"}, 403},
		{"a foreign Origin", map[string]string{"Origin": "https://evil.example"}, 403},
		{"another port's Origin", map[string]string{"Origin": "http://127.0.0.1:1"}, 403},
		{"a null Origin", map[string]string{"Origin": "null"}, 403},
		{"across sites", map[string]string{"Sec-Fetch-Site": "cross-site"}, 403},
		{"a form", map[string]string{"Content-Type": "text/plain"}, 415},
	} {
		got, text := s.ask(t, request{method: "POST", path: "/api/v1/events", token: s.Token, body: body, header: tt.header})
		if got != tt.want {
			t.Errorf("%s: got %d, want %d: %s", tt.name, got, tt.want, text)
		}
		if tt.header["Host"] != "" { // a rebound name cannot read either
			want := tt.want
			if want == http.StatusAccepted {
				want = http.StatusOK
			}
			if got, text := s.ask(t, request{method: "GET", path: "/api/v1/events", token: s.Token, header: tt.header}); got != want {
				t.Errorf("%s, reading: got %d, want %d: %s", tt.name, got, want, text)
			}
		}
	}
	var list wire.List[wire.Event]
	s.get(t, "/api/v1/events", &list)
	if len(list.Items) != 3 {
		t.Errorf("%d events were published, want 3", len(list.Items))
	}
	s.terminate(t)
}
