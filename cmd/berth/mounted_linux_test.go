package main

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/berth-host/berth/host/config/file"
	"github.com/berth-host/berth/host/wire"
)

// TestMountedConfiguration runs the real binary with a configuration that is mounted
// by itself, as containers mount it: no other file can take its place.
func TestMountedConfiguration(t *testing.T) {
	dir, config, plugins := workplace(t)
	write(t, filepath.Join(plugins, "echo.wasm"), guest(t, "echo"))
	real := filepath.Join(dir, "real.yaml")
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	former := string(text) + "# kept\n"
	write(t, real, []byte(former))
	if err := unix.Mount(real, config, "", unix.MS_BIND, ""); err != nil {
		t.Logf("no file can be mounted, which only root can: %v", err)
		return
	}
	t.Cleanup(func() {
		if err := unix.Unmount(config, 0); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	holds := func(want string) {
		t.Helper()
		if got, err := os.ReadFile(real); err != nil || string(got) != want {
			t.Errorf("the file holds %q, %v; want %q", got, err, want)
		}
	}
	s := serve(t, dir, config)
	s.active(t, "echo")
	edited := former + "handlers:\n  echo:\n    enabled: false\n"
	if resp, text, err := s.post("/api/v1/events/plugins/echo/disable", nil); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("disable: %v, %s", err, text)
	}
	holds(edited)
	doctorSays(t, dir, config, "can be overwritten, with a copy in the data directory")
	if _, err := os.Stat(filepath.Join(dir, "data", file.CopyFile)); err == nil {
		t.Error("the copy stays")
	}
	// This name's directory has no event of a change under the other name.
	if err := os.WriteFile(real, []byte(former), 0o644); err != nil {
		t.Fatal(err)
	}
	s.active(t, "echo")
	s.kill()

	// The next start undoes an edit that a crash has interrupted.
	resolved, err := filepath.EvalSymlinks(config)
	if err != nil {
		t.Fatal(err)
	}
	other := "# " + former
	write(t, filepath.Join(dir, "data", file.CopyFile), fmt.Appendf(nil, "berth-edit-1 %d %d %q\n%s%s", len(former), len(other), resolved, former, other))
	if err := os.WriteFile(real, []byte(other[:10]+former[10:]), 0o644); err != nil {
		t.Fatal(err)
	}
	s = serve(t, dir, config)
	s.active(t, "echo")
	holds(former)

	// Mounted read-only, it is unchanged, and the answer has the edit.
	if err := unix.Mount("", config, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	resp, body, err := s.post("/api/v1/events/plugins/echo/disable", nil)
	if err != nil || resp.StatusCode != http.StatusConflict || !strings.Contains(string(body), `handlers:\n  echo:\n    enabled: false\n`) {
		t.Errorf("read-only: got %d, %s, %v; want 409 with the YAML", resp.StatusCode, body, err)
	}
	holds(former)
	var p wire.Plugin
	if _, err := s.Call(t.Context(), "GET", "/api/v1/plugins/echo", nil, &p); err != nil || p.State != wire.Active {
		t.Errorf("echo is %s, %v; want active", p.State, err)
	}
	doctorSays(t, dir, config, "cannot be written")
	s.terminate(t)
}

// doctorSays checks the doctor's findings about a host's directory.
func doctorSays(t *testing.T, dir, config, want string) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), serveVariable+`=["doctor","--config","`+config+`","--data-dir","`+filepath.Join(dir, "data")+`"]`)
	out, _ := cmd.CombinedOutput() // this machine may have problems of its own
	if !strings.Contains(string(out), want) {
		t.Errorf("doctor does not say %q:\n%s", want, out)
	}
}
