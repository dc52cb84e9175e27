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
	"github.com/berth-host/berth/host/config/document"
	"github.com/berth-host/berth/host/live"
	"github.com/berth-host/berth/host/marketplace"
	"github.com/berth-host/berth/host/wire"
)

// put replaces a file: a reader finds the old content or the new.
func put(t *testing.T, path, text string) {
	t.Helper()
	check(t, os.WriteFile(path+".new", []byte(text), 0o600))
	check(t, os.Rename(path+".new", path))
}

// startWithEcho starts a host with the dropped plugin echo, whose config has a schema.
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

// eventually waits until a condition holds.
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

// An edit must not create a missing file again: the settings in force would be lost.
func TestEditRefusesMissingFile(t *testing.T) {
	s := startWithEcho(t, "routes: {\"*\": {}}\n")
	was := s.text()
	check(t, os.Remove(s.yaml))
	for range 2 {
		if status, p := s.call("POST", disable, nil, nil); status != http.StatusUnprocessableEntity || !strings.Contains(p.Detail, "is missing") || len(p.Errors) != 1 {
			t.Errorf("an edit: got %d, %+v", status, p)
		}
		if status, p := s.call("POST", "/api/v1/events/reload-config", nil, nil); status != http.StatusUnprocessableEntity || !strings.Contains(p.Detail, "is missing") {
			t.Errorf("a reload: got %d, %+v", status, p)
		}
	}
	if _, err := os.Stat(s.yaml); err == nil {
		t.Errorf("the file was created again: %s", s.text())
	}
	put(t, s.yaml, was)
	if status, p := s.call("POST", disable, nil, nil); status != http.StatusOK {
		t.Errorf("with the file restored: got %d, %+v", status, p)
	}
	if got := s.text(); !strings.HasPrefix(got, was) || !strings.Contains(got, "enabled: false") {
		t.Errorf("the file is %s", got)
	}
}

// A program that is about to write a file may leave it empty. The watch does not apply an
// empty file and an edit is refused; a requested reload applies it.
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

// A reload without a file that ever existed changes nothing and is no error.
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
	eventually(t, "the file is not applied", func() bool { return len(h.live.Config().Routes) == 1 })
	check(t, os.Remove(live.DefaultPath))
	if _, err := h.live.Reload(t.Context()); len(document.Problems(err)) != 1 {
		t.Errorf("after the file was removed: got %v", err)
	}
}

// A change by hand is checked and audited as by a reload before an edit by the API: the
// edit must not apply a change that a reload refuses.
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
		t.Fatal("the change by hand is not in the audit log")
	}
	if got := found[len(found)-1]; got.Who != "the file" || got.Result != "ok" || !strings.Contains(string(got.After), "routes.b: added") {
		t.Errorf("the audit log has %+v, %s", got, got.After)
	}
}

// A setting that only a start applies keeps its value in all uses until then, and every
// reload lists it.
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
		t.Errorf("the values in force are %s, %s, %s", h.DataDir(), h.live.Listen(), h.secrets().Directory)
	}
	put(t, path, before)
	result, err := h.live.Reload(t.Context())
	if err != nil || len(result.NeedsRestart) != 0 || strings.Contains(strings.Join(result.Changed, " "), "next start") {
		t.Errorf("with the former file: got %+v, %v", result, err)
	}
}

// Successful and failed reloads by a signal are in the audit log.
func TestSignalReloadIsAudited(t *testing.T) {
	s := startWithEcho(t, "routes: {\"*\": {}}\n")
	check(t, s.host.Hangup(t.Context()))
	put(t, s.yaml, "rutes: {}\n")
	if err := s.host.Hangup(t.Context()); err == nil {
		t.Error("an invalid file was applied")
	}
	var of []string
	for _, r := range s.audited("reload-config") {
		if r.Who == "SIGHUP" {
			of = append(of, r.Result+" "+r.Error)
		}
	}
	if len(of) != 2 || of[0] != "ok " || !strings.HasPrefix(of[1], "failed ") || !strings.Contains(of[1], "rutes") {
		t.Errorf("the audit log has %q", of)
	}
}

// Dropped files run while the audit log cannot be written; the records are written once
// it can.
func TestFileChangesAreAuditedOnceTheLogIsWritable(t *testing.T) {
	var log lines
	plugins := t.TempDir()
	s := startHost(t, "plugin_directories: ["+plugins+"]\nroutes: {\"*\": {}}\n", marketplace.Config{}, func(c *Config) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	check(t, s.host.Ready(t.Context()))
	path := filepath.Join(s.host.DataDir(), audit.File)
	check(t, os.WriteFile(path, nil, 0o600))
	check(t, os.Chmod(path, 0o644)) // which the log refuses
	wasm, err := os.ReadFile("../testdata/guests/echo.wasm")
	check(t, err)
	for _, name := range []string{"a", "b"} {
		put(t, filepath.Join(plugins, name+".wasm"), string(wasm))
		eventually(t, name+" does not run", func() bool {
			p, err := s.host.plugins.Plugin(name)
			return err == nil && p.State == wire.Active
		})
		eventually(t, "the failure is not logged once", func() bool { return log.count("cannot be written to the audit log") == 1 })
	}
	before := time.Now()
	check(t, os.Chmod(path, 0o600))
	eventually(t, "the drops are not audited", func() bool { return len(s.audited("drop")) >= 2 })
	found := s.audited("drop")
	if len(found) != 2 || found[0].Target != "a" || found[1].Target != "b" || found[1].At.After(before) {
		t.Errorf("the audit log has %+v", found)
	}
	check(t, s.host.Close(t.Context()))
	if log.count("cannot be written to the audit log") != 1 || log.count("are in the audit log again") != 1 {
		t.Error("failure and recovery are not logged once each")
	}
}

// The audit log has the files found at the start in watched directories, and every file
// added, changed and removed later, without an author.
func TestFileChangesAreAudited(t *testing.T) {
	s := startWithEcho(t, "routes: {\"*\": {}}\n")
	dir := s.host.live.Config().PluginDirectories[0]
	recorded := func(action, target string, n int) wire.AuditRecord {
		t.Helper()
		var found []wire.AuditRecord
		eventually(t, action+" of "+target+" is not audited", func() bool {
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
		t.Errorf("%d removals are audited, want none for a removal by the host", got)
	}
}
