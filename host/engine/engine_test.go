package engine_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/berth-host/berth/host/auth"
	"github.com/berth-host/berth/host/config"
	"github.com/berth-host/berth/host/engine"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/pgstore/pgtest"
	"github.com/berth-host/berth/host/secret"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(pgtest.Wrap(m)) }

// open opens the engine of a configuration.
func open(t *testing.T, text string) *engine.Engine {
	t.Helper()
	e, err := openIn(t, t.TempDir(), text)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

// openIn is open in a data directory; the caller closes the engine.
func openIn(t *testing.T, dir, text string) (*engine.Engine, error) {
	t.Helper()
	return openLogged(t, dir, text, slog.New(slog.DiscardHandler))
}

func openLogged(t *testing.T, dir, text string, log *slog.Logger) (*engine.Engine, error) {
	t.Helper()
	c, err := config.Parse("f.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return engine.Open(t.Context(), engine.Config{Settings: func() config.Bus { return c.Bus }, File: filepath.Join(dir, "berth.db"),
		Secrets: secret.Source{Directory: secret.Directory(dir)}, Env: os.LookupEnv, Logger: log, Now: time.Now,
		Commit: func(ctx context.Context, _ int) (context.Context, func(error)) { return ctx, func(error) {} }})
}

// A second host in a data directory would announce itself in place of the first one.
func TestDataDirectoryHasOneHost(t *testing.T) {
	text := fmt.Sprintf("bus: {engine: postgres, postgres: {url: %q, schema: %s}}\n", pgtest.URL(t), pgtest.Schema(t))
	dir := t.TempDir()
	first, err := openIn(t, dir, text)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := openIn(t, dir, text); !fault.Is(err, fault.Conflict) || !strings.Contains(err.Error(), "use another data directory") {
		t.Errorf("two hosts use one data directory: %v", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := openIn(t, dir, "bus: {engine: postgres, postgres: {url: 'postgres://u@127.0.0.1:1/x'}}\n"); !fault.Is(err, fault.Unavailable) {
		t.Errorf("without a server: %v", err)
	}
	next, err := openIn(t, dir, text)
	if err != nil {
		t.Fatalf("after one that ended, and one that did not start: %v", err)
	}
	if err := next.Close(); err != nil {
		t.Error(err)
	}
}

// A host that was configured for PostgreSQL without a migration begins with an empty log.
func TestStoreThatWasNotMovedIsNoted(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("bus: {engine: postgres, postgres: {url: %q, schema: %s}}\n", pgtest.URL(t), pgtest.Schema(t))
	var lines bytes.Buffer
	start := func(text string, use func(*engine.Engine)) {
		t.Helper()
		e, err := openLogged(t, dir, text, slog.New(slog.NewTextHandler(&lines, nil)))
		if err != nil {
			t.Fatal(err)
		}
		use(e)
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
	}
	const warning = "has a store in SQLite that is not in the database"
	start(text, func(*engine.Engine) {})
	start("bus: {}\n", func(*engine.Engine) {})
	if start(text, func(*engine.Engine) {}); strings.Contains(lines.String(), warning) {
		t.Errorf("nothing was stored: %s", &lines)
	}
	start("bus: {}\n", func(e *engine.Engine) {
		ev, err := event.New(event.Draft{Type: "t"})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := e.Append(t.Context(), []*event.Event{ev}); err != nil {
			t.Fatal(err)
		}
	})
	if start(text, func(*engine.Engine) {}); !strings.Contains(lines.String(), warning) || !strings.Contains(lines.String(), "last_seq=1") {
		t.Errorf("an event was stored: %s", &lines)
	}
}

// Each engine refuses a publisher at its bound, after it has reclaimed what it can.
func TestEveryEngineIsBounded(t *testing.T) {
	for name, text := range map[string]string{
		"memory":   "bus: {engine: memory, max_size: 2MiB}\n",
		"sqlite":   "bus: {max_size: 2MiB}\n",
		"postgres": fmt.Sprintf("bus: {engine: postgres, max_size: 2MiB, postgres: {url: %q, schema: %s}}\n", pgtest.URL(t), pgtest.Schema(t)),
	} {
		t.Run(name, func(t *testing.T) {
			e := open(t, text)
			if (e.Shared != nil) != (name == "postgres") || (e.Copy != nil) != (name == "sqlite") || e.Copy == nil && e.NoCopy == "" {
				t.Errorf("shared %v, copy %v, %q", e.Shared != nil, e.Copy != nil, e.NoCopy)
			}
			if err := e.SetCursor(t.Context(), event.Cursor{Name: event.HandlerCursors("x").Position}); err != nil { // nothing can be reclaimed
				t.Fatal(err)
			}
			var err error
			for n := range 64 {
				ev, failed := event.New(event.Draft{Type: "t", Data: []byte(`"` + strings.Repeat("x", 100<<10) + `"`), IdempotencyKey: fmt.Sprint(n)})
				if failed != nil {
					t.Fatal(failed)
				}
				var receipts []event.Receipt
				if receipts, err = e.Append(t.Context(), []*event.Event{ev}); err == nil {
					err = receipts[0].Err
				}
				if err != nil {
					break
				}
			}
			if !fault.Is(err, fault.Exhausted) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestTokensAreWhereTheHostHasThem(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	use := func() (auth.Tokens, error) {
		tokens, done, err := engine.Tokens(t.Context(), dir, os.LookupEnv)
		if err == nil {
			t.Cleanup(done)
		}
		return tokens, err
	}
	if tokens, err := use(); err != nil || tokens != auth.Files(dir) || engine.Marked(dir) {
		t.Errorf("a host alone: got %v, %v", tokens, err)
	}
	yaml := filepath.Join(dir, "berth.yaml")
	text := fmt.Sprintf("bus: {engine: postgres, postgres: {url: %q, schema: %s}}\n", pgtest.URL(t), pgtest.Schema(t))
	if err := os.WriteFile(yaml, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := engine.Mark(dir, yaml, true); err != nil || !engine.Marked(dir) {
		t.Fatal(err)
	}
	first, err := use()
	if err != nil {
		t.Fatal(err)
	}
	token, _, err := first.Create(t.Context(), "ci", []string{"read"}, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	second, err := use()
	if err != nil {
		t.Fatal(err)
	}
	if list, err := second.List(t.Context()); err != nil || len(list) != 1 || list[0].ID != token.ID {
		t.Errorf("got %v, %v", list, err)
	}
	if err := os.Remove(yaml); err != nil {
		t.Fatal(err)
	}
	if _, err := use(); !fault.Is(err, fault.NotFound) || !strings.Contains(err.Error(), yaml) {
		t.Errorf("without the configuration: got %v", err)
	}
	if err := engine.Mark(dir, yaml, false); err != nil {
		t.Fatal(err)
	}
	if tokens, err := use(); err != nil || tokens != auth.Files(dir) {
		t.Errorf("alone again: got %v, %v", tokens, err)
	}
}

// Commands name the host in the audit log by what its start has left in the data directory.
func TestHostNameOfADataDirectory(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "berth.yaml")
	put := func(bus string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(bus+"cluster: {name: berth-1}\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put("bus: {engine: postgres, postgres: {url: 'postgres://berth@db/berth'}}\n")
	if got := engine.HostName(dir); got != "" {
		t.Errorf("before a start: got %q", got)
	}
	if err := engine.Mark(dir, path, true); err != nil {
		t.Fatal(err)
	}
	if got := engine.HostName(dir); got != "berth-1" {
		t.Errorf("got %q", got)
	}
	put("")
	if got := engine.HostName(dir); got != "" {
		t.Errorf("with another engine: got %q", got)
	}
}
