package host

import (
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/berth-host/berth/host/audit"
	"github.com/berth-host/berth/host/config"
	"github.com/berth-host/berth/host/live"
	"github.com/berth-host/berth/host/marketplace"
	"github.com/berth-host/berth/host/wire"
)

// put writes a file as a whole: who looks at any moment finds the old or the new.
func put(t *testing.T, path, text string) {
	t.Helper()
	check(t, os.WriteFile(path+".new", []byte(text), 0o600))
	check(t, os.Rename(path+".new", path))
}

// stocked is a host with the plugin echo, dropped, whose config has a schema.
func startWithEcho(t *testing.T, text string) *testHost {
	t.Helper()
	plugins := t.TempDir()
	wasm, err := os.ReadFile("../testdata/guests/echo.wasm")
	check(t, err)
	check(t, os.WriteFile(filepath.Join(plugins, "echo.wasm"), wasm, 0o600))
	check(t, os.WriteFile(filepath.Join(plugins, "echo.wasm.json"),
		[]byte(`{"name":"echo","config_schema":{"type":"object","properties":{"n":{"type":"integer"}}}}`), 0o600))
	s := startHost(t, "plugin_directories: ["+plugins+"]\n"+text, marketplace.Config{})
	check(t, s.host.Ready(t.Context()))
	return s
}

func (s *testHost) text() string {
	s.t.Helper()
	text, err := os.ReadFile(s.yaml)
	check(s.t, err)
	return string(text)
}

// eventually waits for something that comes by itself.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatal(what)
		}
		<-tick.C
	}
}

// audited returns the records of an action, the oldest first.
func (s *testHost) audited(action string) (found []wire.AuditRecord) {
	s.t.Helper()
	all, err := audit.List(filepath.Join(s.host.DataDir(), audit.File), 1000)
	check(s.t, err)
	for _, r := range all {
		if r.Action == action {
			found = append(found, r)
		}
	}
	return found
}

const disable = "/api/v1/events/plugins/echo/disable"

// A file that has gone is nothing that an edit may make anew: what is in force
// would go with it.
func TestEditRefusesMissingFile(t *testing.T) {
	s := startWithEcho(t, "routes: {\"*\": {}}\n")
	was := s.text()
	check(t, os.Remove(s.yaml))
	for range 2 {
		if status, p := s.call("POST", disable, nil, nil); status != http.StatusUnprocessableEntity || !strings.Contains(p.Detail, "is gone") || len(p.Errors) != 1 {
			t.Errorf("an edit: got %d, %+v", status, p)
		}
		if status, p := s.call("POST", "/api/v1/events/reload-config", nil, nil); status != http.StatusUnprocessableEntity || !strings.Contains(p.Detail, "is gone") {
			t.Errorf("a reload: got %d, %+v", status, p)
		}
	}
	if _, err := os.Stat(s.yaml); err == nil {
		t.Errorf("there is a file again: %s", s.text())
	}
	put(t, s.yaml, was)
	if status, p := s.call("POST", disable, nil, nil); status != http.StatusOK {
		t.Errorf("with the file back: got %d, %+v", status, p)
	}
	if got := s.text(); !strings.HasPrefix(got, was) || !strings.Contains(got, "enabled: false") {
		t.Errorf("the file is %s", got)
	}
}

// An empty file is what a program leaves that is about to write it. It is not
// taken over by itself, and no edit is made in it; a reload that is asked for
// takes it for what it says.
func TestEmptyFileIsAppliedOnlyOnRequest(t *testing.T) {
	s := startWithEcho(t, "routes: {\"*\": {}}\n")
	put(t, s.yaml, " \n")
	if status, p := s.call("POST", disable, nil, nil); status != http.StatusUnprocessableEntity || !strings.Contains(p.Detail, "is empty") {
		t.Errorf("an edit: got %d, %+v", status, p)
	}
	if got := s.host.live.Config().Routes; len(got) != 1 {
		t.Errorf("the routes are %+v", got)
	}
	var result wire.ReloadResult
	if status, p := s.call("POST", "/api/v1/events/reload-config", nil, &result); status != http.StatusOK || len(result.Changed) != 2 {
		t.Errorf("a reload: got %d, %+v, %+v", status, p, result)
	}
	if status, p := s.call("POST", "/api/v1/events/reload-config", nil, &result); status != http.StatusOK || len(result.Changed) != 0 {
		t.Errorf("another reload: got %d, %+v, %+v", status, p, result)
	}
}

// Without a file there is nothing to reload, which is no mistake.
func TestReloadWithoutAFile(t *testing.T) {
	t.Chdir(t.TempDir())
	h, err := New(Config{Listen: "127.0.0.1:0"})
	check(t, err)
	check(t, h.Start(t.Context()))
	defer func() { check(t, h.Close(t.Context())) }()
	result, err := h.live.Reload(t.Context())
	if err != nil || len(result.Changed)+len(result.NeedsRestart) != 0 {
		t.Errorf("got %+v, %v", result, err)
	}
	check(t, os.MkdirAll("config", 0o700))
	put(t, live.DefaultPath, "routes: {\"*\": {}}\n")
	eventually(t, "the file is not taken over", func() bool { return len(h.live.Config().Routes) == 1 })
	check(t, os.Remove(live.DefaultPath))
	if _, err := h.live.Reload(t.Context()); len(config.Problems(err)) != 1 {
		t.Errorf("without the file that was there: got %v", err)
	}
}

// What somebody has written by hand is checked and recorded as by a reload before
// an edit by the API is made in it: the edit must not bring in what a reload refuses.
func TestEditFirstAppliesManualChanges(t *testing.T) {
	s := startWithEcho(t, "routes: {\"*\": {}}\n")
	first, _, _ := strings.Cut(s.text(), "\n")
	bad := first + "\nroutes: {}\nhandlers:\n  echo:\n    config: {n: many}\n"
	put(t, s.yaml, bad)
	if status, p := s.call("POST", disable, nil, nil); status != http.StatusUnprocessableEntity || len(p.Errors) != 1 || p.Errors[0].Line != 5 {
		t.Errorf("got %d, %+v", status, p)
	}
	if got := s.host.live.Config(); len(got.Routes) != 1 || s.text() != bad {
		t.Errorf("routes %+v, file %s", got.Routes, s.text())
	}

	put(t, s.yaml, first+"\nroutes: {\"a\": {}, \"b\": {}}\n")
	if status, p := s.call("POST", disable, nil, nil); status != http.StatusOK {
		t.Fatalf("got %d, %+v", status, p)
	}
	found := s.audited("reload-config")
	if len(found) == 0 {
		t.Fatal("what was written by hand is not in the audit log")
	}
	if got := found[len(found)-1]; got.Who != "the file" || got.Result != "ok" || !strings.Contains(string(got.After), "routes.b: added") {
		t.Errorf("recorded is %+v, %s", got, got.After)
	}
}

// What only a start can change stays what it is until then, in all its uses, and
// every reload says what waits.
func TestRestartOnlySettingsKeepTheirValue(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "berth.yaml")
	before := "data_dir: " + filepath.Join(dir, "a") + "\nserver: {listen: \"127.0.0.1:0\"}\n"
	put(t, path, before)
	h, err := New(Config{ConfigPath: path})
	check(t, err)
	check(t, h.Start(t.Context()))
	defer func() { check(t, h.Close(t.Context())) }()
	secrets := h.secrets()

	put(t, path, "data_dir: "+filepath.Join(dir, "b")+"\nserver: {listen: \"127.0.0.1:9\"}\n")
	for range 2 {
		result, err := h.live.Reload(t.Context())
		if err != nil || strings.Join(result.NeedsRestart, " ") != "data_dir server.listen" {
			t.Errorf("got %+v, %v", result, err)
		}
	}
	if h.DataDir() != filepath.Join(dir, "a") || h.live.Listen() != "127.0.0.1:0" || h.secrets().Directory != secrets.Directory {
		t.Errorf("in force are %s, %s, %s", h.DataDir(), h.live.Listen(), h.secrets().Directory)
	}
	put(t, path, before)
	result, err := h.live.Reload(t.Context())
	if err != nil || len(result.NeedsRestart) != 0 || strings.Contains(strings.Join(result.Changed, " "), "next start") {
		t.Errorf("back: got %+v, %v", result, err)
	}
}

// A reload by a signal is in the audit log as one by the API is, and so is one that fails.
func TestSignalReloadIsAudited(t *testing.T) {
	s := startWithEcho(t, "routes: {\"*\": {}}\n")
	check(t, s.host.Hangup(t.Context()))
	put(t, s.yaml, "rutes: {}\n")
	if err := s.host.Hangup(t.Context()); err == nil {
		t.Error("a wrong file was taken")
	}
	var of []string
	for _, r := range s.audited("reload-config") {
		if r.Who == "SIGHUP" {
			of = append(of, r.Result+" "+r.Error)
		}
	}
	if len(of) != 2 || of[0] != "ok " || !strings.HasPrefix(of[1], "failed ") || !strings.Contains(of[1], "rutes") {
		t.Errorf("recorded is %q", of)
	}
}

// While the audit log cannot be written, dropped files run all the same; what became
// of them is written down when it can.
func TestFileChangesAreAuditedOnceTheLogIsWritable(t *testing.T) {
	var log lines
	plugins := t.TempDir()
	s := startHost(t, "plugin_directories: ["+plugins+"]\nroutes: {\"*\": {}}\n", marketplace.Config{}, func(c *Config) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	check(t, s.host.Ready(t.Context()))
	path := filepath.Join(s.host.DataDir(), audit.File)
	check(t, os.WriteFile(path, nil, 0o600))
	check(t, os.Chmod(path, 0o644)) // which is refused
	wasm, err := os.ReadFile("../testdata/guests/echo.wasm")
	check(t, err)
	for _, name := range []string{"a", "b"} {
		put(t, filepath.Join(plugins, name+".wasm"), string(wasm))
		eventually(t, name+" does not run", func() bool {
			p, err := s.host.plugins.Plugin(name)
			return err == nil && p.State == wire.Active
		})
		eventually(t, "nobody says that nothing is written", func() bool { return log.count("cannot be written to the audit log") == 1 })
	}
	before := time.Now()
	check(t, os.Chmod(path, 0o600))
	eventually(t, "they are not recorded", func() bool { return len(s.audited("drop")) >= 2 })
	found := s.audited("drop")
	if len(found) != 2 || found[0].Target != "a" || found[1].Target != "b" || found[1].At.After(before) {
		t.Errorf("recorded is %+v", found)
	}
	check(t, s.host.Close(t.Context()))
	if log.count("cannot be written to the audit log") != 1 || log.count("are in the audit log again") != 1 {
		t.Error("it is not said once each")
	}
}

// Who changes files in a watched directory is not known, but that they changed is
// in the audit log: what was there at the start, and what came, changed and went.
func TestFileChangesAreAudited(t *testing.T) {
	s := startWithEcho(t, "routes: {\"*\": {}}\n")
	dir := s.host.live.Config().PluginDirectories[0]
	recorded := func(action, target string, n int) wire.AuditRecord {
		t.Helper()
		var found []wire.AuditRecord
		eventually(t, action+" of "+target+" is not recorded", func() bool {
			found = nil
			for _, r := range s.audited(action) {
				if r.Target == target {
					found = append(found, r)
				}
			}
			return len(found) >= n
		})
		if len(found) != n || found[n-1].Who != "the file system" {
			t.Errorf("%s of %s: %+v", action, target, found)
		}
		return found[n-1]
	}
	wasm, err := os.ReadFile("../testdata/guests/echo.wasm")
	check(t, err)
	recorded("drop", "echo", 1)
	put(t, filepath.Join(dir, "more.wasm"), string(wasm))
	if r := recorded("drop", "more", 1); r.Before != nil || r.Result != "ok" || !strings.Contains(string(r.After), "more.wasm") || !strings.Contains(string(r.After), `"sha256":"73005e`) {
		t.Errorf("dropped: %+v, %s", r, r.After)
	}
	put(t, filepath.Join(dir, "more.wasm"), "no module")
	if r := recorded("replace", "more", 1); !strings.Contains(string(r.Before), "73005e") || r.Result != "failed" || !strings.Contains(r.Error, "not a WebAssembly module") {
		t.Errorf("replaced: %+v, %s", r, r.Before)
	}
	put(t, filepath.Join(dir, "echo.wasm.json"), `{"name":"echo","version":"2.0.0","capabilities":[{"name":"kv"}]}`)
	if r := recorded("replace", "echo", 1); !strings.Contains(string(r.After), `"asks":["kv"]`) || !strings.Contains(string(r.After), "2.0.0") {
		t.Errorf("the manifest: %+v, %s", r, r.After)
	}
	check(t, os.Remove(filepath.Join(dir, "more.wasm")))
	if r := recorded("remove", "more", 1); r.After != nil || r.Before == nil {
		t.Errorf("removed: %+v", r)
	}
	if status, p := s.call("DELETE", "/api/v1/plugins/uninstall/echo", nil, nil); status != 204 {
		t.Errorf("uninstall: %d, %+v", status, p)
	}
	check(t, s.host.Close(t.Context()))
	if got := len(s.audited("remove")); got != 1 {
		t.Errorf("%d removals are recorded; what the host removes is not the file system's", got)
	}
}
