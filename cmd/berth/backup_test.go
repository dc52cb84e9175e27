package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/berth-host/berth/cmd/berth/internal/client"
	"github.com/berth-host/berth/cmd/berth/internal/command"
	"github.com/berth-host/berth/host/auth"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/wire"
)

// backupLoad is the load of TestBackupUnderLoad. The variables BERTH_TEST_BACKUP_RATE,
// BERTH_TEST_BACKUP_EVENTS and BERTH_TEST_BACKUP_SECONDS change it, for measurements.
type backupLoad struct {
	rate    int // events a second
	before  int // events in the store at the beginning
	seconds int // of load without a backup, and again with one, at least
}

func readBackupLoad(t *testing.T) backupLoad {
	t.Helper()
	l := backupLoad{rate: 200, before: 2000, seconds: 1}
	for name, value := range map[string]*int{"RATE": &l.rate, "EVENTS": &l.before, "SECONDS": &l.seconds} {
		if text := os.Getenv("BERTH_TEST_BACKUP_" + name); text != "" {
			var err error
			if *value, err = strconv.Atoi(text); err != nil {
				t.Fatal(err)
			}
		}
	}
	return l
}

// publishers publish at a constant rate and know what was acknowledged.
type publishers struct {
	mu           sync.Mutex
	acknowledged []string // keys
	took         []time.Duration
	errs         []error
	stop         context.CancelFunc
	all          sync.WaitGroup
}

func startPublishers(c *client.Client, rate int) *publishers {
	ctx, stop := context.WithCancel(context.Background())
	p := &publishers{stop: stop}
	work := make(chan string, rate)
	p.all.Go(func() {
		defer close(work)
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		began := time.Now()
		for n := 0; ; {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			for ; n < int(time.Since(began).Seconds()*float64(rate)) && len(work) < cap(work); n++ {
				work <- fmt.Sprint("key-", n)
			}
		}
	})
	for range 32 {
		p.all.Go(func() {
			for key := range work {
				began := time.Now()
				_, err := c.Call(context.Background(), "POST", "/api/v1/events", map[string]any{"event_type": "load", "data": map[string]any{"status": key},
					"metadata": map[string]any{"idempotency_key": key}}, new(wire.Receipt))
				p.mu.Lock()
				if err != nil {
					p.errs = append(p.errs, err)
				} else {
					p.acknowledged, p.took = append(p.acknowledged, key), append(p.took, time.Since(began))
				}
				p.mu.Unlock()
			}
		})
	}
	return p
}

// count returns the number of acknowledged events.
func (p *publishers) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.acknowledged)
}

// keys returns what was acknowledged so far.
func (p *publishers) keys() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.acknowledged)
}

// latencies describes how long the events from one number to another took.
func (p *publishers) latencies(from, to int) string {
	p.mu.Lock()
	took := slices.Clone(p.took[from:to])
	p.mu.Unlock()
	if len(took) == 0 {
		return "no events"
	}
	slices.Sort(took)
	at := func(share float64) time.Duration {
		return took[min(len(took)-1, int(share*float64(len(took))))].Round(10 * time.Microsecond)
	}
	return fmt.Sprintf("%d events, p50 %s, p99 %s, max %s", len(took), at(0.5), at(0.99), at(1))
}

// TestBackupUnderLoad publishes at a constant rate to the real binary, makes a backup
// meanwhile with the command, restores it elsewhere and starts a host there. Every event
// that was acknowledged before the backup began is in the restored log, once, and its
// handler continues.
func TestBackupUnderLoad(t *testing.T) {
	l := readBackupLoad(t)
	dir, config, plugins := workplace(t)
	write(t, filepath.Join(plugins, "echo.wasm"), guest(t, "echo"))
	s := serve(t, dir, config)
	s.active(t, "echo")
	publishBatches(t, s, l.before)

	p := startPublishers(s.Client, l.rate)
	wait := func(from int) { // for the seconds, on a machine that keeps up with the rate
		await(t, "events are published", func() error {
			if n := p.count() - from; n < l.rate*l.seconds {
				return fmt.Errorf("%d", n)
			}
			return nil
		})
	}
	wait(0)
	quiet, before := p.count(), p.keys()
	began := time.Now()
	file := filepath.Join(dir, "berth.tar")
	runCommand(t, "backup "+file+" --data-dir "+filepath.Join(dir, "data"))
	took, during := time.Since(began), p.count()
	wait(during)
	p.stop()
	p.all.Wait()
	if err := errors.Join(p.errs...); err != nil {
		t.Error(err)
	}
	s.kill() // the machine is lost

	elsewhere := t.TempDir()
	data := filepath.Join(elsewhere, "data")
	runCommand(t, "restore "+file+" "+data)
	restored := serve(t, elsewhere, config)
	found := restored.logged(t)
	missing := 0
	for _, key := range before {
		if found[key] != 1 {
			missing++
		}
	}
	if missing > 0 {
		t.Errorf("%d of %d events that were acknowledged before the backup are missing", missing, len(before))
	}
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d events in the store, %d/s: a backup of %d MiB took %s", l.before, l.rate, info.Size()>>20, took.Round(time.Millisecond))
	t.Logf("publish before the backup: %s", p.latencies(0, quiet))
	t.Logf("publish during the backup: %s", p.latencies(quiet, during))
	t.Logf("publish after the backup:  %s", p.latencies(during, p.count()))
	t.Logf("%d events were acknowledged before the backup, and %d of them are missing in the restored log of %d", len(before), missing, len(found))

	restored.active(t, "echo")
	var r wire.Receipt
	if _, err := restored.Call(t.Context(), "POST", "/api/v1/events", map[string]any{"event_type": "load", "data": map[string]any{"status": "after"}}, &r); err != nil {
		t.Fatal(err)
	}
	restored.delivered(t, r.EventID, "echo")
	restored.terminate(t)
}

// publishBatches fills the store.
func publishBatches(t *testing.T, s *server, n int) {
	t.Helper()
	for i := 0; i < n; {
		var batch []any
		for ; len(batch) < 500 && i < n; i++ {
			batch = append(batch, map[string]any{"event_type": "load", "data": map[string]any{"status": strings.Repeat("x", 500)},
				"metadata": map[string]any{"idempotency_key": fmt.Sprint("before-", i)}})
		}
		if _, err := s.Call(t.Context(), "POST", "/api/v1/events", batch, new(any)); err != nil {
			t.Fatal(err)
		}
	}
}

// logged returns how often each idempotency key is in the log.
func (s *server) logged(t *testing.T) map[string]int {
	t.Helper()
	found := make(map[string]int)
	for cursor := ""; ; {
		var page wire.List[wire.Event]
		s.get(t, command.Path("/api/v1/events", "limit", "500", "cursor", cursor), &page)
		for _, ev := range page.Items {
			var meta struct {
				IdempotencyKey string `json:"idempotency_key"`
			}
			if err := client.Decode(ev.Metadata, &meta); err != nil {
				t.Fatal(err)
			}
			found[meta.IdempotencyKey]++
		}
		if page.Next == nil {
			return found
		}
		cursor = *page.Next
	}
}

// runCommand runs a command line of this program, which must succeed.
func runCommand(t *testing.T, line string) {
	t.Helper()
	var stdout, stderr strings.Builder
	if code := doMain(t.Context(), strings.Fields(line), strings.NewReader(""), &stdout, &stderr); code != command.ExitOK {
		t.Fatalf("berth %s: exit code %d: %s", line, code, &stderr)
	}
}

// TestBackupNeedsAdminToken: a token with every scope that tokens can have is refused, and
// there is no file.
func TestBackupNeedsAdminToken(t *testing.T) {
	dir, config, _ := workplace(t)
	s := serve(t, dir, config)
	_, secret, err := auth.Create(filepath.Join(dir, "data"), "all", spec.Scopes(), time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("BERTH_URL", s.URL)
	t.Setenv("BERTH_TOKEN", secret)
	var stdout, stderr strings.Builder
	code := doMain(t.Context(), []string{"backup", filepath.Join(dir, "x.tar")}, strings.NewReader(""), &stdout, &stderr)
	if code != command.ExitFailed || !strings.Contains(stderr.String(), "only the admin token may do this") {
		t.Errorf("got %d, %s", code, &stderr)
	}
	entries, err := filepath.Glob(filepath.Join(dir, "x.tar*"))
	if err != nil || len(entries) > 0 {
		t.Errorf("there are %v, %v", entries, err)
	}
	s.terminate(t)
}

// TestKilledHostLeavesNoBackup kills the host while it sends a backup: the reader gets an
// error instead of the end, and the next start removes the work directory.
func TestKilledHostLeavesNoBackup(t *testing.T) {
	dir, config, _ := workplace(t)
	s := serve(t, dir, config)
	publishBatches(t, s, 30_000) // more bytes than sockets buffer
	resp, err := s.Do(t.Context(), "POST", "/api/v1/backup", "application/x-tar", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	work := filepath.Join(dir, "data", ".backup")
	if _, err := os.Stat(filepath.Join(work, "berth.db")); err != nil {
		t.Errorf("the host keeps no copy while it sends: %v", err)
	}
	s.kill()
	if n, err := io.Copy(io.Discard, resp.Body); err == nil {
		t.Errorf("the host was killed, and all %d bytes came", n)
	}
	s = serve(t, dir, config)
	if _, err := os.Stat(work); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the work directory is still there: %v", err)
	}
	s.terminate(t)
}

// TestIncompleteBackupIsNotKept answers the command with archives that are not whole: it
// fails and says why, and a file that was there is unchanged.
func TestIncompleteBackupIsNotKept(t *testing.T) {
	dir, config, _ := workplace(t)
	real := serve(t, dir, config)
	resp, err := real.Do(t.Context(), "POST", "/api/v1/backup", "application/x-tar", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	whole, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	real.terminate(t)
	altered := slices.Clone(whole)
	altered[len(altered)/2] ^= 1
	for _, tt := range []struct {
		name   string
		body   []byte
		length int
		want   string
	}{
		{"shorter than its length", whole[:len(whole)/2], len(whole), "the backup was interrupted"},
		{"half", whole[:len(whole)/2], len(whole) / 2, "it ends early"},
		{"altered", altered, len(altered), "is damaged"},
		{"empty", nil, 0, "it ends early"},
		{"longer", append(slices.Clone(whole), 0), len(whole) + 1, "there are bytes after its end"},
		{"whole", whole, len(whole), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set(wire.VersionHeader, "1")
				if r.Method == http.MethodPost {
					w.Header().Set("Content-Type", "application/x-tar")
					w.Header().Set("Content-Length", strconv.Itoa(tt.length))
					_, _ = w.Write(tt.body)
				}
			}))
			defer h.Close()
			t.Setenv("BERTH_URL", h.URL)
			t.Setenv("BERTH_TOKEN", "secret")
			file := filepath.Join(t.TempDir(), "x.tar")
			for _, before := range []string{"", "the file before"} {
				if before != "" {
					write(t, file, []byte(before))
				}
				var stdout, stderr strings.Builder
				code := doMain(t.Context(), []string{"backup", file, "--force"}, strings.NewReader(""), &stdout, &stderr)
				if !strings.Contains(stderr.String(), tt.want) || (code == command.ExitOK) != (tt.want == "") {
					t.Errorf("got %d: %s, want %q", code, &stderr, tt.want)
				}
				content, err := os.ReadFile(file)
				switch {
				case tt.want == "":
					if !slices.Equal(content, whole) {
						t.Errorf("the file has %d bytes: %v", len(content), err)
					}
				case string(content) != before || before == "" && !errors.Is(err, os.ErrNotExist):
					t.Errorf("the file has %d bytes: %v", len(content), err)
				}
				if _, err := os.Lstat(file + ".tmp"); !errors.Is(err, os.ErrNotExist) {
					t.Errorf("the temporary file: %v", err)
				}
			}
		})
	}
}
