package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/berth-host/berth/host/wire"
)

// nobody is a user without any right; a test that is run by root runs the host as it.
const nobody = 65534

// somewhere is an empty directory of a user who is not root, and the binary that
// this user may run there.
func somewhere(t *testing.T) (dir string, command func() *exec.Cmd, own func(path string)) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	top, err := os.MkdirTemp("", "berth-first") // t.TempDir's are for their owner only
	must(err)
	t.Cleanup(func() { must(os.RemoveAll(top)) })
	dir = filepath.Join(top, "empty")
	must(os.Mkdir(dir, 0o755))
	exe, err := os.Executable()
	must(err)
	command = func() *exec.Cmd { return exec.Command(exe) }
	if os.Geteuid() != 0 {
		return dir, command, func(string) {}
	}
	must(os.Chmod(top, 0o755))
	binary, err := os.ReadFile(exe)
	must(err)
	copied := filepath.Join(top, "berth")
	must(os.WriteFile(copied, binary, 0o755))
	asNobody := func() *exec.Cmd {
		cmd := exec.Command(copied)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
		return cmd
	}
	probe := asNobody()
	probe.Args = append(probe.Args, "--version")
	probe.Dir = dir
	if out, err := probe.CombinedOutput(); err != nil {
		t.Logf("root can start nothing as another user in %s, so it is root who starts the host: %v %s", top, err, out)
		return dir, command, func(string) {}
	}
	own = func(path string) { must(os.Chown(path, nobody, nobody)) }
	own(dir)
	return dir, asNobody, own
}

// The first start of all: an empty directory, no configuration, no plugins, no
// rights. Nothing is made but the data directory; then the operator adds one after
// the other, and each counts at once.
func TestFirstStart(t *testing.T) {
	dir, command, own := somewhere(t)
	s := start(t, command(), dir)
	mode := func(path string, want os.FileMode) {
		t.Helper()
		info, err := os.Stat(filepath.Join(dir, path))
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: got %v, %v", path, info, err)
		}
	}
	mode("data", 0o700)
	mode("data/cache", 0o700)
	mode("data/admin.token", 0o600)
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("it has made %v, %v", entries, err)
	}
	publish := func() (id string, ev wire.Event) {
		t.Helper()
		r, err := post(t.Context(), s.Client)
		if err != nil {
			t.Fatal(err)
		}
		s.get(t, "/api/v1/events/"+r.EventID, &ev)
		return r.EventID, ev
	}
	if _, ev := publish(); len(ev.Deliveries) != 0 {
		t.Errorf("without a handler: got %+v", ev.Deliveries)
	}

	plugins := filepath.Join(dir, "plugins")
	if err := os.Mkdir(plugins, 0o755); err != nil {
		t.Fatal(err)
	}
	own(plugins)
	write(t, filepath.Join(plugins, "echo.wasm"), guest(t, "echo"))
	own(filepath.Join(plugins, "echo.wasm"))
	s.active(t, "echo")
	if _, ev := publish(); len(ev.Deliveries) != 0 {
		t.Errorf("without a route: got %+v", ev.Deliveries)
	}

	// An edit makes the file that there is not.
	for _, verb := range []string{"disable", "enable"} {
		if _, err := s.Call(t.Context(), "POST", "/api/v1/events/plugins/echo/"+verb, nil, new(any)); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(dir, "config", "event_handlers.yaml")
	text, err := os.ReadFile(path)
	if err != nil || !strings.Contains(string(text), "enabled: true") {
		t.Fatalf("got %s, %v", text, err)
	}
	write(t, path, []byte("routes: {\"*\": {}}\n"+string(text)))
	own(path)
	var result wire.ReloadResult
	if _, err := s.Call(t.Context(), "POST", "/api/v1/events/reload-config", nil, &result); err != nil {
		t.Fatal(err)
	}
	id, _ := publish()
	await(t, "the event is delivered", func() error {
		var ev wire.Event
		s.get(t, "/api/v1/events/"+id, &ev)
		if len(ev.Deliveries) != 1 || ev.Deliveries[0].Status != "ok" {
			return os.ErrNotExist
		}
		return nil
	})
	s.terminate(t)
	if n := strings.Count(s.log.String(), `"level":"INFO","msg":"no configuration file; defaults apply`); n != 1 ||
		strings.Contains(s.log.String(), `"level":"ERROR"`) ||
		strings.Count(s.log.String(), `"level":"WARN"`) != strings.Count(s.log.String(), `"level":"WARN","msg":"event type has no route`) {
		t.Errorf("the log says:\n%s", s.log)
	}
	s = start(t, command(), dir)
	s.active(t, "echo")
	s.terminate(t)
}
