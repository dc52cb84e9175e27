package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/berth-host/berth/cmd/berth/internal/client"
	"github.com/berth-host/berth/host/wire"
)

// serveVariable makes the test binary be berth: its value is the command line.
const serveVariable = "BERTH_TEST_ARGS"

// server is a berth serve in a process of its own.
type server struct {
	cmd  *exec.Cmd
	log  *bytes.Buffer
	done chan struct{}
	*client.Client
}

// serve starts the real binary and waits until it answers.
func serve(t *testing.T, dir, config string) *server {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return start(t, exec.Command(exe), dir, "--config", config, "--data-dir", filepath.Join(dir, "data"))
}

// start is serve of a command that is not complete yet.
func start(t *testing.T, cmd *exec.Cmd, dir string, flags ...string) *server {
	t.Helper()
	args, err := json.Marshal(append([]string{"serve", "--listen", "127.0.0.1:0"}, flags...))
	if err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(dir, "data")
	s := &server{cmd: cmd, log: new(bytes.Buffer), done: make(chan struct{})}
	s.cmd.Dir = dir
	s.cmd.Env = append(os.Environ(), serveVariable+"="+string(args))
	s.cmd.Stdout, s.cmd.Stderr = s.log, s.log
	_ = os.Remove(filepath.Join(data, client.StateFile)) // a killed host leaves it behind
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = s.cmd.Wait()
		close(s.done)
	}()
	t.Cleanup(func() {
		s.kill()
		if t.Failed() {
			t.Logf("log of the host:\n%s", s.log)
		}
	})
	await(t, "the host answers", func() error {
		select {
		case <-s.done:
			t.Fatalf("the host has ended:\n%s", s.log)
		default:
		}
		c, err := client.Connect(client.Config{URL: os.Getenv("BERTH_URL"), DataDir: data})
		if err != nil {
			return err
		}
		s.Client = c
		_, err = c.Call(t.Context(), "GET", "/readyz", nil, new(any))
		return err
	})
	return s
}

// kill ends the process as a crash would.
func (s *server) kill() {
	_ = s.cmd.Process.Kill()
	<-s.done
}

// terminate shuts the process down in order.
func (s *server) terminate(t *testing.T) {
	t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case <-s.done:
	case <-time.After(testTimeout):
		t.Fatal("the host did not shut down")
	}
	if code := s.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("exit code %d:\n%s", code, s.log)
	}
}

// shorter returns n, or less with -short, as under the race detector, which slows every host that
// a test starts.
func shorter(n, less int) int {
	if testing.Short() {
		return less
	}
	return n
}

// await tries ok until it succeeds.
func await(t *testing.T, what string, ok func() error) {
	t.Helper()
	deadline := time.Now().Add(testTimeout)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ok()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s: %v", what, err)
		}
		<-tick.C
	}
}

func (s *server) active(t *testing.T, name string) {
	t.Helper()
	s.awaitState(t, name, wire.Active)
}

// awaitState waits until a plugin is in a state.
func (s *server) awaitState(t *testing.T, name string, state wire.PluginState) {
	t.Helper()
	await(t, fmt.Sprintf("%s is %s", name, state), func() error {
		var p wire.Plugin
		if _, err := s.Call(t.Context(), "GET", "/api/v1/plugins/"+name, nil, &p); err != nil {
			return err
		}
		if p.State != state {
			return fmt.Errorf("it is %s: %s", p.State, p.Reason)
		}
		return nil
	})
}

// delivered waits until an event is ok at the handler, and returns the delivery.
func (s *server) delivered(t *testing.T, id, handler string) wire.Delivery {
	t.Helper()
	var found wire.Delivery
	await(t, id+" is delivered", func() error {
		var ev wire.Event
		if _, err := s.Call(t.Context(), "GET", "/api/v1/events/"+id, nil, &ev); err != nil {
			return err
		}
		for _, d := range ev.Deliveries {
			if d.Plugin == handler && d.Status == "ok" {
				found = d
				return nil
			}
		}
		return fmt.Errorf("deliveries: %+v", ev.Deliveries)
	})
	if len(found.SHA256) != sha256.Size*2 || found.Fuel == 0 || found.DurationMS <= 0 || found.At.IsZero() || found.ResultKept != nil {
		t.Errorf("%s: the history of the delivery to %s is not complete: %+v", id, handler, found)
	}
	return found
}

// workplace makes a directory with a configuration that watches plugins/.
func workplace(t *testing.T) (dir, config, plugins string) {
	t.Helper()
	dir = t.TempDir()
	plugins = filepath.Join(dir, "plugins")
	if err := os.Mkdir(plugins, 0o755); err != nil {
		t.Fatal(err)
	}
	config = filepath.Join(dir, "berth.yaml")
	text := "plugin_directories: [" + plugins + "]\nroutes:\n  \"*\": {}\n"
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir, config, plugins
}

func guest(t *testing.T, name string) []byte {
	t.Helper()
	wasm, err := os.ReadFile(filepath.Join("..", "..", "testdata", "guests", name+".wasm"))
	if err != nil {
		t.Fatal(err)
	}
	return wasm
}

// write puts a file in place at once, by rename.
func write(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path+".part", content, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".part", path); err != nil {
		t.Fatal(err)
	}
}

// TestReplaceUnderLoad replaces a plugin's file under 500 events a second.
func TestReplaceUnderLoad(t *testing.T) { replaceUnderLoad(t, sqliteEngine, 500) }

// replaceUnderLoad replaces a plugin's file again and again, also by slow
// writes in place, under so many events a second, for three seconds. No event may be lost or
// fail, no half of a file may be loaded, and removing the file drains.
func replaceUnderLoad(t *testing.T, engine string, rate int) {
	total := 3 * rate
	dir, config, plugins := workplace(t)
	write(t, config, []byte("plugin_directories: ["+plugins+"]\nroutes: {\"*\": {}}\n"+busOf(t, engine)))
	path := filepath.Join(plugins, "echo.wasm")
	versions := [][]byte{guest(t, "echo"), guest(t, "field_echo"), guest(t, "config_echo")}
	write(t, path, versions[0])
	s := serve(t, dir, config)
	s.active(t, "echo")

	ids := make(chan string, total)
	published := make(chan error, 1)
	go func() {
		published <- load(t.Context(), s.Client, rate, total, ids)
	}()
	for i := 1; ; i++ {
		next := versions[i%len(versions)]
		if i%2 == 0 {
			write(t, path, next)
		} else {
			writeSlowly(t, path, next)
		}
		awaitSHA(t, s, next)
		select {
		case err := <-published:
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("the file was replaced %d times", i)
			if i < 3 {
				t.Errorf("only %d replacements came under the load", i)
			}
			goto loaded
		default:
		}
	}
loaded:
	close(ids)
	results := make(map[string]string) // of an event, by the digest of the version
	for i, result := range []string{`{"echo":"x"}`, `{"code":-4,"error":"the event has no such field"}`, `{}`} {
		results[fmt.Sprintf("%x", sha256.Sum256(versions[i]))] = result
	}
	n := 0
	for id := range ids {
		n++
		d := s.delivered(t, id, "echo")
		if d.Attempts != 1 {
			t.Errorf("%s took %d attempts: %+v", id, d.Attempts, d.Error)
		}
		if string(d.Result) != results[d.SHA256] {
			t.Errorf("%s: %s is not the result of the module %s", id, d.Result, d.SHA256)
		}
	}
	if n != total {
		t.Errorf("%d of %d events", n, total)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	await(t, "the plugin is gone", func() error {
		var p wire.Plugin
		_, err := s.Call(t.Context(), "GET", "/api/v1/plugins/echo", nil, &p)
		var gone client.Problem
		if errors.As(err, &gone) && gone.Status == http.StatusNotFound {
			return nil
		}
		return fmt.Errorf("it is %s: %v", p.State, err)
	})
	s.terminate(t)
}

func awaitSHA(t *testing.T, s *server, wasm []byte) {
	t.Helper()
	want := fmt.Sprintf("%x", sha256.Sum256(wasm))
	await(t, "the new version is active", func() error {
		var p wire.Plugin
		if _, err := s.Call(t.Context(), "GET", "/api/v1/plugins/echo", nil, &p); err != nil {
			return err
		}
		if p.State != wire.Active || p.SHA256 != want || p.Reason != "" {
			return fmt.Errorf("it is %s at %s: %s", p.State, p.SHA256, p.Reason)
		}
		return nil
	})
}

// load publishes total events at rate a second by eight publishers.
func load(ctx context.Context, c *client.Client, rate, total int, ids chan<- string) error {
	const publishers = 8
	tick := time.NewTicker(time.Second / time.Duration(rate))
	defer tick.Stop()
	work := make(chan int)
	errs := make(chan error, publishers)
	for range publishers {
		go func() {
			var first error
			for i := range work {
				var r wire.Receipt
				body := map[string]any{"event_type": "load", "data": map[string]any{"status": "x", "i": i}}
				if _, err := c.Call(ctx, "POST", "/api/v1/events", body, &r); err != nil {
					first = errors.Join(first, err)
					continue
				}
				ids <- r.EventID
			}
			errs <- first
		}()
	}
	for i := range total {
		<-tick.C
		work <- i
	}
	close(work)
	var all error
	for range publishers {
		all = errors.Join(all, <-errs)
	}
	return all
}

// writeSlowly overwrites a file in place, in many pieces.
func writeSlowly(t *testing.T, path string, content []byte) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for r := bytes.NewReader(content); r.Len() > 0; <-tick.C {
		if _, err := io.CopyN(f, r, int64(min(64, r.Len()))); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}
