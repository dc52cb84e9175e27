package api_test

import (
	"net/http"
	"strings"
	"testing"
)

// pages is a console that has every path but those that begin with two slashes.
type pages struct{}

func (pages) Has(path string) bool { return !strings.HasPrefix(path, "//") }

func (pages) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-cache")
	_, _ = w.Write([]byte("page " + r.URL.Path))
}

// TestConsolePaths: what is no endpoint is the console's for GET and HEAD, without a token;
// the paths of the API, and those of endpoints, are not.
func TestConsolePaths(t *testing.T) {
	cfg := setup(t).cfg
	cfg.Console = pages{}
	h := newServer(t, cfg).Handler()
	for _, tt := range []struct {
		method, path string
		status       int
		body         string
	}{
		{"GET", "/", 200, "page /"},
		{"GET", "/events/some-id", 200, "page /events/some-id"},
		{"HEAD", "/login", 200, "page /login"}, // net/http leaves the body out
		{"POST", "/", 404, ""},
		{"DELETE", "/events/some-id", 404, ""},
		{"GET", "/api", 401, ""},
		{"GET", "/api/v1/nothing", 401, ""},
		{"GET", "/healthz", 200, "{\"status\":\"ok\"}\n"},
		{"POST", "/healthz", 405, ""},
	} {
		w := call(h, tt.method, tt.path, "", "Authorization: -")
		if w.Code != tt.status || tt.body != "" && w.Body.String() != tt.body {
			t.Errorf("%s %s: got %d %q, want %d %q", tt.method, tt.path, w.Code, w.Body, tt.status, tt.body)
		}
		if got := w.Header().Get("X-Content-Type-Options"); got != "nosniff" {
			t.Errorf("%s %s: X-Content-Type-Options is %q", tt.method, tt.path, got)
		}
		if got := w.Header().Get("Cache-Control"); tt.body == "page "+tt.path && got != "no-cache" {
			t.Errorf("%s %s: Cache-Control is %q", tt.method, tt.path, got)
		}
	}
	if w := call(h, "GET", "/api/v1/nothing", ""); w.Code != 404 {
		t.Errorf("an unknown path of the API: got %d", w.Code)
	}
	if w := call(h, "GET", "//api/v1/events", "", "Authorization: -"); w.Code != 404 || w.Header().Get("Content-Type") != "application/problem+json" {
		t.Errorf("a path that the console does not have: got %d %s", w.Code, w.Header().Get("Content-Type"))
	}
	if w := call(h, "GET", "/", "", "Authorization: -", "Host: rebound.example"); w.Code != 403 {
		t.Errorf("the console by another host's name: got %d", w.Code)
	}
	if w := call(newServer(t, setup(t).cfg).Handler(), "GET", "/", "", "Authorization: -"); w.Code != 404 {
		t.Errorf("a host without a console: got %d", w.Code)
	}
}
