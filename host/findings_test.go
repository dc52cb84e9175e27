package host

import (
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/berth-host/berth/host/wire"
)

// A running host examines itself, and finds what was broken while it runs.
func TestRunningHostExaminesItself(t *testing.T) {
	s := startWithEcho(t, "routes: {\"*\": {}}\n")
	examine := func() (found wire.Findings) {
		t.Helper()
		if status, p := s.call("GET", "/api/v1/doctor", nil, &found); status != http.StatusOK {
			t.Fatalf("got %d, %+v", status, p)
		}
		return found
	}
	checks := map[string]wire.Finding{}
	for _, f := range examine().Checks {
		checks[f.Check] = f
	}
	for check, want := range map[string]string{
		"configuration": " is valid", "host": "one is running at " + s.host.URL(), "plugins": "1 of 1 are active",
		"installed plugins": "0 stored versions match the lock file", "clock": "",
	} {
		if f := checks[check]; f.Level != wire.FindingOK || !strings.Contains(f.Detail, want) {
			t.Errorf("%s: got %+v, want %q", check, f, want)
		}
	}
	if f, there := checks["compiler"]; there {
		t.Errorf("the host has compiled: %+v", f)
	}
	put(t, s.yaml, "rutes: {}\n")
	check(t, os.Chmod(s.host.DataDir(), 0o755))
	found := examine()
	if found.Problems == 0 || !strings.Contains(found.Checks[0].Detail, "rutes: unknown key") {
		t.Errorf("got %+v", found)
	}
}

// A config is changed, written and in force when the answer comes.
func TestHandlerConfigOverTheAPI(t *testing.T) {
	s := startWithEcho(t, "routes: {\"*\": {}}\nhandlers:\n  echo:\n    config:\n      n: 1 # one\n")
	const path = "/api/v1/events/plugins/echo/config"
	var c wire.HandlerConfig
	if status, p := s.call("PUT", path, wire.NewHandlerConfig{Config: []byte(`{"n":"two"}`)}, &c); status != http.StatusUnprocessableEntity ||
		len(p.Errors) != 1 || p.Errors[0].Path != "handlers.echo.config/n" || p.Errors[0].Line != 6 {
		t.Errorf("a config that does not fit: %d, %+v", status, p)
	}
	if status, p := s.call("PUT", path, wire.NewHandlerConfig{Config: []byte(`{"n":2}`)}, &c); status != http.StatusOK || string(c.Config) != `{"n":2}` {
		t.Fatalf("got %d, %+v, %s", status, p, c.Config)
	}
	if !strings.HasSuffix(s.text(), "n: 2 # one\n") {
		t.Errorf("the file is %s", s.text())
	}
	if got := string(s.host.live.Config().Handlers["echo"].Config); got != `{"n":2}` {
		t.Errorf("in force is %s", got)
	}
	var f wire.ConfigFile
	if status, p := s.call("GET", "/api/v1/config/file", nil, &f); status != http.StatusOK || f.Text != s.text() || len(f.Changed) != 0 {
		t.Errorf("got %d, %+v, %+v", status, p, f)
	}
}
