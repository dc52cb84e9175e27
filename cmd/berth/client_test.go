package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/berth-host/berth/cmd/berth/internal/client"
	"github.com/berth-host/berth/cmd/berth/internal/command"
	"github.com/berth-host/berth/host/wire"
)

// What BERTH_URL and BERTH_TOKEN hold is judged before anything is sent, and a
// password in them shows nowhere.
func TestWhereTheHostIs(t *testing.T) {
	var asked []string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(wire.VersionHeader, "test")
		if r.Header.Get("Authorization") != "" {
			asked = append(asked, r.URL.Path)
		}
		w.Header().Set("Content-Type", client.JSONType)
		_, _ = w.Write([]byte(`{"items":[],"next":null}`)) // the recorder of a test
	}))
	defer s.Close()
	bare := strings.TrimPrefix(s.URL, "http://")
	for _, tt := range []struct{ url, token, path, want string }{
		{s.URL, "t", "/api/v1/events/plugins", ""},
		{s.URL + "/", "t", "/api/v1/events/plugins", ""},
		{s.URL + "/berth//", "t", "/berth/api/v1/events/plugins", ""},
		{bare, "t", "", "http://127.0.0.1:8080"},
		{"localhost:8080", "t", "", "http://127.0.0.1:8080"},
		{"ftp://" + bare, "t", "", "http://127.0.0.1:8080"},
		{"http://", "t", "", "http://127.0.0.1:8080"},
		{" ", "t", "", "http://127.0.0.1:8080"},
		{"http://admin:hunter2@" + bare, "t", "", "BERTH_TOKEN"},
		{"http://admin:hunter2%zz@" + bare, "t", "", "http://127.0.0.1:8080"},
		{s.URL + "?x=hunter2", "t", "", "query"},
		{s.URL, "hunter2\nx", "", "BERTH_TOKEN is not a token"},
		{s.URL, "hunter2 x", "", "BERTH_TOKEN is not a token"},
	} {
		asked = nil
		t.Setenv("BERTH_URL", tt.url)
		t.Setenv("BERTH_TOKEN", tt.token)
		code, _, stderr := berth(t, "plugin", "list")
		switch {
		case tt.path != "" && (code != command.ExitOK || len(asked) != 1 || asked[0] != tt.path):
			t.Errorf("%s: exit code %d, asked %q: %s", tt.url, code, asked, stderr)
		case tt.path == "" && (code != command.ExitFailed || len(asked) != 0 || !strings.Contains(stderr, tt.want)):
			t.Errorf("%s: exit code %d, asked %q: %s", tt.url, code, asked, stderr)
		}
		if strings.Contains(stderr, "hunter2") {
			t.Errorf("%s: a secret is in %s", tt.url, stderr)
		}
	}
}
