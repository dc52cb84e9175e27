package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/berth-host/berth/host/bus"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/pgstore"
	"github.com/berth-host/berth/host/pgstore/pgtest"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/store"
)

// migrating is a data directory and a configuration that names a schema.
type migrating struct {
	*testing.T
	dir, config, schema string
}

func newMigrating(t *testing.T) *migrating {
	t.Helper()
	m := &migrating{T: t, dir: filepath.Join(t.TempDir(), "data"), schema: pgtest.Schema(t)}
	if err := os.MkdirAll(m.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	m.config = filepath.Join(filepath.Dir(m.dir), "berth.yaml")
	write(t, m.config, fmt.Appendf(nil, "bus: {postgres: {url: %q, schema: %s}}\n", pgtest.URL(t), m.schema))
	return m
}

func (m *migrating) file() string { return filepath.Join(m.dir, "berth.db") }

// events is the number of events of the store: BERTH_MIGRATE_EVENTS, or a few thousand.
func (m *migrating) events() int {
	m.Helper()
	text := os.Getenv("BERTH_MIGRATE_EVENTS")
	if text == "" {
		return 3000
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		m.Fatal(err)
	}
	return n
}

// must fails the test on an error.
func (m *migrating) must(err error) {
	m.Helper()
	if err != nil {
		m.Fatal(err)
	}
}

// fill writes a store in SQLite that has everything that a store can have.
func (m *migrating) fill() {
	m.Helper()
	ctx := m.Context()
	s, err := store.Open(ctx, store.Config{Path: m.file(), Window: bus.NewWindow(bus.WindowConfig{Events: 1000})})
	m.must(err)
	const batch = 500
	at := time.Now()
	for n := 0; n < m.events(); n += batch {
		list := make([]*event.Event, batch)
		for i := range list {
			list[i], err = event.New(event.Draft{Type: fmt.Sprintf("type_%d", i%7), Subject: fmt.Sprintf("order-%d", (n+i)%100),
				IdempotencyKey: fmt.Sprintf("key-%d", n+i), Data: fmt.Appendf(nil, `{"order_id":"order-%d","status":"shipped","total_cents":%d,"text":"\u0000é"}`, i, n)})
			m.must(err)
		}
		receipts, err := s.Append(ctx, list)
		m.must(err)
		successes := event.Successes{Handler: "plain", Digest: strings.Repeat("ab", 32)}
		var dead []event.Delivery
		for i, r := range receipts {
			successes.Append(r.Seq, event.Success{At: at, Duration: time.Millisecond, Fuel: 1 << 63}, []byte(`{"n":1}`))
			if i%50 == 0 {
				dead = append(dead, event.Delivery{Handler: "dead", Seq: r.Seq, Status: event.StatusDead, Attempts: 3, ErrorClass: event.ClassTrap,
					ErrorMessage: "boom \x00", At: at, FirstAttempt: at, Logs: []spec.GuestLine{{Message: "line"}}})
			}
		}
		_, _, err = s.SaveDeliveries(ctx, nil, []event.Successes{successes}, dead, []event.Cursor{{Name: "plain", Seq: receipts[batch-1].Seq}})
		m.must(err)
		m.must(s.KVSet(ctx, "plugin", fmt.Sprintf("key \x00 %d", n), []byte{0, 1, 255}))
	}
	later, err := event.New(event.Draft{Type: "later", IdempotencyKey: "later", Deferral: event.Deferral{After: time.Hour}})
	m.must(err)
	_, err = s.Append(ctx, []*event.Event{later})
	m.must(err)
	m.must(s.KVExpire(ctx, "plugin", "key \x00 0", at.Add(time.Hour)))
	m.must(s.PutDocuments(ctx, []event.Document{{Kind: "k", ID: "i", Body: `{"a":1}`}}))
	m.must(s.StartReplay(ctx, "plain", 1, 100, at))
	_, err = s.Trim(ctx, 200)
	m.must(err)
	m.must(s.Close())
}

// migratedKind is a line of the command's answer.
type migratedKind struct {
	Kind   string `json:"kind"`
	Stored int    `json:"rows"`
	SHA256 string `json:"sha256"`
}

// command returns berth migrate in a process of its own.
func (m *migrating) command(ctx context.Context, args ...string) *exec.Cmd {
	m.Helper()
	exe, err := os.Executable()
	m.must(err)
	line, err := json.Marshal(append([]string{"migrate", "--config", m.config, "--data-dir", m.dir, "--json"}, args...))
	m.must(err)
	cmd := exec.CommandContext(ctx, exe)
	cmd.Env = append(os.Environ(), serveVariable+"="+string(line))
	return cmd
}

// migrate runs berth migrate, which must succeed.
func (m *migrating) migrate(from, to string) []migratedKind {
	m.Helper()
	cmd := m.command(m.Context(), "--from", from, "--to", to)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		m.Fatalf("%v: %s", err, stderr.String())
	}
	var answer struct {
		Kinds   []migratedKind
		Seconds float64
	}
	m.must(json.Unmarshal(stdout.Bytes(), &answer))
	peak := cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss
	m.Logf("%s to %s: %d events in %.1f s, with at most %d MiB of memory", from, to, answer.Kinds[1].Stored, answer.Seconds, peak>>10)
	return answer.Kinds
}

// away moves the store in SQLite to another directory.
func (m *migrating) away() {
	m.Helper()
	files, err := filepath.Glob(m.file() + "*")
	m.must(err)
	to := m.TempDir()
	for _, file := range files {
		m.must(os.Rename(file, filepath.Join(to, filepath.Base(file))))
	}
}

// answers is what an engine says, and should say after a migration too.
func (m *migrating) answers(e bus.Engine) map[string]any {
	m.Helper()
	ctx := m.Context()
	got := make(map[string]any)
	add := func(name string, value any, err error) {
		m.Helper()
		m.must(err)
		got[name] = value
	}
	status, err := e.Status(ctx)
	add("status", status, err)
	records, err := e.Read(ctx, 1, 300)
	var texts []string
	for _, r := range records {
		texts = append(texts, fmt.Sprint(r.Seq, r.Event.Envelope()))
	}
	add("read", texts, err)
	found, err := e.Event(ctx, "key-1234")
	add("by key", fmt.Sprint(found.Seq, found.Event.ID()), err)
	backlog, err := e.LoadBacklog(ctx, "plain")
	add("backlog", backlog, err)
	cursors, err := e.Cursors(ctx)
	add("cursors", cursors, err)
	deliveries, err := e.Deliveries(ctx, 501)
	add("deliveries", deliveries, err)
	attempts, err := e.Attempts(ctx, 501)
	add("attempts", attempts, err)
	counts, err := e.DeadCounts(ctx)
	add("dead", counts, err)
	used, quota, err := e.KVUsage(ctx, "plugin")
	add("kv", fmt.Sprint(used, quota), err)
	keys, err := e.KVList(ctx, "plugin", "", "", 100)
	add("keys", keys, err)
	documents, err := e.Documents(ctx, "k")
	add("documents", documents, err)
	scheduled, err := e.ScheduledEvent(ctx, "later")
	add("scheduled", fmt.Sprint(scheduled.Due.UnixNano(), scheduled.Event.Envelope()), err)
	return got
}

func (m *migrating) sqlite() map[string]any {
	m.Helper()
	s, err := store.Open(m.Context(), store.Config{Path: m.file(), Window: bus.NewWindow(bus.WindowConfig{Events: 1000})})
	m.must(err)
	got := m.answers(s)
	m.must(s.Close())
	return got
}

func (m *migrating) postgres() map[string]any {
	m.Helper()
	s, err := pgstore.Open(m.Context(), pgstore.Config{URL: pgtest.URL(m), Schema: m.schema, Window: bus.NewWindow(bus.WindowConfig{Events: 1000})})
	m.must(err)
	got := m.answers(s)
	m.must(s.Close())
	return got
}

// TestMigrateThereAndBack: BERTH_MIGRATE_EVENTS=1000000 measures it with a million events.
func TestMigrateThereAndBack(t *testing.T) {
	m := newMigrating(t)
	m.fill()
	before := m.sqlite()
	there := m.migrate("sqlite", "postgres")
	m.same("in PostgreSQL", m.postgres(), before)
	m.away()
	back := m.migrate("postgres", "sqlite")
	if !slices.Equal(there, back) || there[1].Stored == 0 {
		t.Errorf("got %v there and %v back", there, back)
	}
	m.same("back in SQLite", m.sqlite(), before)
}

func (m *migrating) same(where string, got, want map[string]any) {
	m.Helper()
	for name, value := range want {
		if !reflect.DeepEqual(got[name], value) {
			m.Errorf("%s: %s: got %+v, want %+v", where, name, got[name], value)
		}
	}
}

// TestMigrateSurvivesKills kills the command at random moments until it is through, in both
// directions.
func TestMigrateSurvivesKills(t *testing.T) {
	m := newMigrating(t)
	m.fill()
	before := m.sqlite()
	for _, direction := range [][2]string{{"sqlite", "postgres"}, {"postgres", "sqlite"}} {
		kills := 0
		for limit := 50 * time.Millisecond; ; limit += limit / 4 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rand.Int64N(int64(limit))))
			cmd := m.command(ctx, "--from", direction[0], "--to", direction[1])
			out, err := cmd.CombinedOutput()
			killed := ctx.Err() != nil
			cancel()
			if err == nil {
				break
			}
			if !killed {
				t.Fatalf("%v: %s", err, out)
			}
			kills++
		}
		t.Logf("%s to %s: killed %d times", direction[0], direction[1], kills)
		if direction[0] == "sqlite" {
			m.same("in PostgreSQL", m.postgres(), before)
			m.away()
		}
	}
	m.same("back in SQLite", m.sqlite(), before)
}

func TestMigrateRefusals(t *testing.T) {
	m := newMigrating(t)
	nameless := filepath.Join(t.TempDir(), "berth.yaml")
	write(t, nameless, nil)
	for _, tt := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"--from", "sqlite"}, 2, "to"},
		{[]string{"--from", "sqlite", "--to", "memory"}, 2, "--from and --to are sqlite and postgres"},
		{[]string{"--from", "sqlite", "--to", "postgres"}, 1, "there is no store"},
		{[]string{"--from", "postgres", "--to", "sqlite"}, 1, "there is no store in the schema"},
		{[]string{"--from", "sqlite", "--to", "postgres", "--config", nameless}, 1, "bus.postgres.url"},
	} {
		var stdout, stderr bytes.Buffer
		args := append([]string{"migrate", "--config", m.config, "--data-dir", m.dir}, tt.args...)
		if code := doMain(t.Context(), args, strings.NewReader(""), &stdout, &stderr); code != tt.code || !strings.Contains(stderr.String(), tt.says) {
			t.Errorf("%q: got %d, %s", tt.args, code, stderr.String())
		}
	}
}

// TestMigrateRefusesRunningHost migrates the store of a host that runs.
func TestMigrateRefusesRunningHost(t *testing.T) {
	dir, config, plugins := workplace(t)
	write(t, config, fmt.Appendf(nil, "plugin_directories: [%s]\nbus: {postgres: {url: %q, schema: %s}}\n", plugins, pgtest.URL(t), pgtest.Schema(t)))
	serve(t, dir, config)
	var stdout, stderr bytes.Buffer
	code := doMain(t.Context(), []string{"migrate", "--from", "sqlite", "--to", "postgres", "--config", config, "--data-dir", filepath.Join(dir, "data")},
		strings.NewReader(""), &stdout, &stderr)
	if code != 1 || !strings.Contains(stderr.String(), "is in use by another process") {
		t.Errorf("got %d, %s", code, stderr.String())
	}
}
