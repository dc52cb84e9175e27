package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/berth-host/berth/cmd/berth/internal/client"
	"github.com/berth-host/berth/host/auth"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/wire"
)

// TestStartOnAFullDisk stops the real binary, fills its disk to the last block or
// inode, and starts it again: it must start, serve what it has, answer 507 to writes,
// and stop without waiting for space.
func TestStartOnAFullDisk(t *testing.T) {
	remove := func(names ...string) func(*testing.T, fullDisk) {
		return func(t *testing.T, d fullDisk) {
			for _, name := range names {
				if err := os.RemoveAll(filepath.Join(d.data, name)); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	for _, tt := range []struct {
		name    string
		killed  bool
		inodes  bool // these are used up, and not the blocks
		prepare func(*testing.T, fullDisk)
		status  map[string]string // of plugins besides echo: what their reason says
	}{
		{name: "stopped in order"},
		{name: "killed", killed: true},
		{name: "no inodes", inodes: true},
		{name: "no inodes after a kill", inodes: true, killed: true},
		{name: "a new plugin", prepare: func(t *testing.T, d fullDisk) {
			write(t, filepath.Join(d.plugins, "late.wasm"), guest(t, "count"))
		}, status: map[string]string{"late": "disk is full"}},
		{name: "no compilation cache", prepare: remove("cache"), status: map[string]string{"echo": "no space left"}},
		{name: "no index of the WAL", prepare: remove("berth.db-shm")},
		{name: "no lock files", prepare: remove("berth.db.lock", "install.lock")},
		{name: "no audit log", prepare: remove("audit.log")},
		{name: "a state of a killed host", killed: true, prepare: func(t *testing.T, d fullDisk) {
			write(t, filepath.Join(d.data, client.StateFile), []byte(`{"url":"http://127.0.0.1:1"}`))
		}},
		{name: "no admin token", prepare: remove("admin.token")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d, ok := newFullDisk(t)
			if !ok {
				return
			}
			s := d.serve(t)
			s.active(t, "echo")
			acked := []string{d.publish(t, s, "first")}
			s.delivered(t, acked[0], "echo")
			_, secret, err := auth.Create(d.data, "other", spec.Scopes(), time.Time{})
			if err != nil {
				t.Fatal(err)
			}
			if tt.killed {
				for i := range 50 {
					acked = append(acked, d.publish(t, s, fmt.Sprint("more-", i)))
				}
				s.kill()
			} else {
				s.terminate(t)
			}
			if tt.prepare != nil {
				tt.prepare(t, d)
			}
			d.fill(t, tt.inodes)
			t.Setenv("BERTH_TOKEN", secret)

			s = d.serve(t)
			d.answersWhileFull(t, s, acked[0], tt.status, tt.inodes)
			d.stop(t, s)

			// With space again nothing is missing.
			d.freeDisk(t)
			s = d.serve(t)
			s.active(t, "echo")
			for _, id := range acked {
				s.delivered(t, id, "echo")
			}
			s.terminate(t)
		})
	}
}

// answersWhileFull checks that the host answers reads, shows the plugins in their states, and
// refuses what needs space.
func (d fullDisk) answersWhileFull(t *testing.T, s *server, event string, status map[string]string, inodes bool) {
	t.Helper()
	for _, path := range []string{"/healthz", "/api/v1/events", "/api/v1/events/" + event, "/api/v1/events/plugins", "/api/v1/orders", "/api/v1/events/log"} {
		s.get(t, path, new(any))
	}
	if _, there := status["echo"]; !there {
		s.active(t, "echo")
	}
	for name, reason := range status {
		await(t, name+" waits", func() error {
			var p wire.Plugin
			_, err := s.Call(t.Context(), "GET", "/api/v1/plugins/"+name, nil, &p)
			if err == nil && (p.State != wire.Discovered || !strings.Contains(p.Reason, reason)) {
				err = fmt.Errorf("it is %s: %s", p.State, p.Reason)
			}
			return err
		})
	}
	for path, body := range map[string]string{
		"/api/v1/events": `{"event_type":"t","data":{"padding":"` + strings.Repeat("x", 64<<10) + `"}}`,
		"/api/v1/orders": `{"customer_id":"c","currency":"EUR","items":[{"sku":"S","quantity":1,"unit_price_cents":1}]}`,
	} {
		resp, text, err := s.post(path, []byte(body))
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != http.StatusInsufficientStorage && !inodes {
			t.Errorf("%s: got %d, %s", path, resp.StatusCode, text)
		}
	}
}

// TestFullDiskPasses has the space come back under the running host: it makes up for
// everything that it could not write at its start.
func TestFullDiskPasses(t *testing.T) {
	d, ok := newFullDisk(t)
	if !ok {
		return
	}
	s := d.serve(t)
	s.active(t, "echo")
	s.terminate(t)
	write(t, filepath.Join(d.plugins, "late.wasm"), guest(t, "echo"))
	if err := os.Remove(filepath.Join(d.data, auth.TokenFile)); err != nil {
		t.Fatal(err)
	}
	_, secret, err := auth.Create(d.data, "other", spec.Scopes(), time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	d.fill(t, false)
	t.Setenv("BERTH_TOKEN", secret)
	s = d.serve(t)
	d.freeDisk(t)
	id := ""
	await(t, "events are taken", func() error {
		resp, text, err := s.post("/api/v1/events", []byte(`{"event_type":"t","data":{"status":"x"}}`))
		if err == nil && resp.StatusCode != http.StatusAccepted {
			err = errors.New(string(text))
		}
		var r wire.Receipt
		if err == nil {
			err = json.Unmarshal(text, &r)
		}
		id = r.EventID
		return err
	})
	// The plugin that had no place in the log misses nothing published since the start.
	s.delivered(t, id, "late")
	await(t, "there is an admin token, and the commands find the host", func() error {
		if _, err := os.Stat(filepath.Join(d.data, client.StateFile)); err != nil {
			return err
		}
		_, err := auth.ReadToken(d.data)
		return err
	})
	t.Setenv("BERTH_TOKEN", "")
	if c, err := client.Connect(client.Config{URL: os.Getenv("BERTH_URL"), DataDir: d.data}); err != nil {
		t.Error(err)
	} else if _, err := c.Call(t.Context(), "GET", "/api/v1/events/plugins", nil, new(any)); err != nil {
		t.Errorf("with the admin token: %v", err)
	}
	s.terminate(t)
}

// TestStartUnderAFileSizeLimit is the same for every user: no file may grow.
func TestStartUnderAFileSizeLimit(t *testing.T) {
	dir, config, plugins := workplace(t)
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	write(t, config, append(text, "server: {shutdown_timeout: 10m}\n"...))
	write(t, filepath.Join(plugins, "echo.wasm"), guest(t, "echo"))
	d := fullDisk{dir: dir, config: config, plugins: plugins, data: filepath.Join(dir, "data"), url: freeAddress(t)}
	s := d.serve(t)
	s.active(t, "echo")
	id := d.publish(t, s, "first")
	s.delivered(t, id, "echo")
	s.terminate(t)
	write(t, filepath.Join(plugins, "late.wasm"), guest(t, "count"))

	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	s = start(t, exec.Command("/bin/sh", "-c", `ulimit -f 0; exec "$0"`, exe), dir, "--config", config, "--data-dir", d.data, "--listen", strings.TrimPrefix(d.url, "http://"))
	s.active(t, "echo")
	s.get(t, "/api/v1/events/"+id, new(any))
	for path, body := range map[string]string{
		"/api/v1/events":                      `{"event_type":"t","data":{}}`,
		"/api/v1/orders":                      `{"customer_id":"c","currency":"EUR","items":[{"sku":"S","quantity":1,"unit_price_cents":1}]}`,
		"/api/v1/events/plugins/echo/disable": "",
	} {
		resp, text, err := s.post(path, []byte(body))
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != http.StatusInsufficientStorage || resp.Header.Get("Retry-After") == "" {
			t.Errorf("%s: got %d, Retry-After %q, %s", path, resp.StatusCode, resp.Header.Get("Retry-After"), text)
		}
	}
	d.stop(t, s)
	s = d.serve(t)
	s.delivered(t, d.publish(t, s, "second"), "late")
	s.terminate(t)
}

// freeAddress is the URL of a port of this machine that is free.
func freeAddress(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return "http://" + ln.Addr().String()
}

// fullDisk is a workplace whose data directory is a file system of its own.
type fullDisk struct{ dir, config, plugins, data, url string }

// newFullDisk makes the workplace. Only root can: TestStartUnderAFileSizeLimit stands in
// for other users.
func newFullDisk(t *testing.T) (d fullDisk, ok bool) {
	t.Helper()
	dir, config, plugins := workplace(t)
	d = fullDisk{dir: dir, config: config, plugins: plugins, data: filepath.Join(dir, "data")}
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	// So long that a stop which waits for it fails the test.
	write(t, config, append(text, "server: {shutdown_timeout: 10m}\n"...))
	if err := os.Mkdir(d.data, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", d.data, "tmpfs", 0, "size=16m,nr_inodes=500,mode=0700"); err != nil {
		t.Logf("no file system can be mounted: %v", err)
		return d, false
	}
	t.Cleanup(func() {
		if err := unix.Unmount(d.data, 0); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	write(t, filepath.Join(plugins, "echo.wasm"), guest(t, "echo"))
	d.url = freeAddress(t)
	return d, true
}

// serve starts the real binary at a port of its own: on a full disk it cannot write
// where it is.
func (d fullDisk) serve(t *testing.T) *server {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("BERTH_URL", d.url)
	return start(t, exec.Command(exe), d.dir, "--config", d.config, "--data-dir", d.data, "--listen", strings.TrimPrefix(d.url, "http://"))
}

func (d fullDisk) publish(t *testing.T, s *server, key string) string {
	t.Helper()
	var r wire.Receipt
	body := map[string]any{"event_type": "t", "data": map[string]string{"status": "x"}, "metadata": map[string]string{"idempotency_key": key}}
	if _, err := s.Call(t.Context(), "POST", "/api/v1/events", body, &r); err != nil {
		t.Fatal(err)
	}
	return r.EventID
}

// fill uses up every block, or every inode.
func (d fullDisk) fill(t *testing.T, inodes bool) {
	t.Helper()
	if inodes {
		for n := 0; ; n++ {
			err := os.WriteFile(filepath.Join(d.data, fmt.Sprint("ballast-", n)), nil, 0o600)
			if errors.Is(err, syscall.ENOSPC) {
				return
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	f, err := os.Create(filepath.Join(d.data, "ballast-0"))
	if err != nil {
		t.Fatal(err)
	}
	for page := make([]byte, os.Getpagesize()); err == nil; {
		_, err = f.Write(page)
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

func (d fullDisk) freeDisk(t *testing.T) {
	t.Helper()
	ballast, err := filepath.Glob(filepath.Join(d.data, "ballast-*"))
	for _, path := range ballast {
		err = errors.Join(err, os.Remove(path))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// stop ends the host by SIGTERM. Outcomes that could not be written are an error of
// its own, which the exit code may say.
func (d fullDisk) stop(t *testing.T, s *server) {
	t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case <-s.done:
	case <-time.After(testTimeout):
		t.Fatal("the host did not shut down")
	}
}
