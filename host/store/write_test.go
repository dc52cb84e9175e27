package store_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/berth-host/berth/host/bus"
	"github.com/berth-host/berth/host/bus/logtest"
	"github.com/berth-host/berth/host/bus/logtest/effecttest"
	"github.com/berth-host/berth/host/bus/logtest/kvtest"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/store"
)

func setStatus(order string) func(tx *sql.Tx) error {
	return func(tx *sql.Tx) error {
		_, err := tx.Exec(`INSERT INTO orders VALUES (?, 'c', 'EUR', '[]', 0, 'pending', 1, 0, 0)`, order)
		return err
	}
}

func countOrders(t *testing.T, s *store.Store) (n int) {
	t.Helper()
	if err := s.Reader().QueryRow(`SELECT count(*) FROM orders`).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestWriteIsBothOrNeither(t *testing.T) {
	ctx := t.Context()
	errMine := errors.New("mine")
	taken := logtest.Make(t, event.Draft{IdempotencyKey: "taken"})
	for _, tt := range []struct {
		name   string
		events []*event.Event
		err    error
		panics bool
		want   fault.Code // "" for none
	}{
		{name: "one event", events: logtest.Numbered(t, "k", 1)},
		{name: "no event"},
		{name: "many events", events: logtest.Numbered(t, "many", 40)},
		{name: "a duplicate", events: []*event.Event{taken}},
		{name: "its own error", events: logtest.Numbered(t, "k", 1), err: errMine, want: fault.Internal},
		{name: "its own code", err: fault.New(fault.Conflict, "x"), want: fault.Conflict},
		{name: "a conflict", events: []*event.Event{logtest.Make(t, event.Draft{}), logtest.Make(t, event.Draft{IdempotencyKey: "taken", Data: []byte("1")})}, want: fault.Conflict},
		{name: "a nil event", events: []*event.Event{nil}, want: fault.Invalid},
		{name: "a panic", panics: true, want: fault.Internal},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := open(t, store.Config{})
			if _, err := s.Append(ctx, []*event.Event{taken}); err != nil {
				t.Fatal(err)
			}
			receipts, err := s.Write(ctx, func(tx *sql.Tx) ([]*event.Event, error) {
				if err := setStatus("7")(tx); err != nil {
					t.Error(err)
				}
				if tt.panics {
					panic("oh")
				}
				return tt.events, tt.err
			})
			if got := fault.CodeOf(err); got != tt.want || tt.err != nil && !errors.Is(err, tt.err) {
				t.Errorf("got %v, want code %q", err, tt.want)
			}
			orders := 0
			if tt.want == "" {
				orders = 1
				if len(receipts) != len(tt.events) {
					t.Errorf("got %d receipts for %d events", len(receipts), len(tt.events))
				}
			}
			if got := countOrders(t, s); got != orders {
				t.Errorf("got %d orders, want %d", got, orders)
			}
			events := 1
			for _, r := range receipts {
				if !r.Duplicate {
					events++
				}
			}
			if all := logtest.ReadAll(t, s, 1, 100); len(all) != events {
				t.Errorf("the log has %d events, want %d", len(all), events)
			}
			// The writer works as before.
			if _, err := s.Append(ctx, logtest.Numbered(t, "after", 1)); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestWritesOfOneGroup races writes that fail with others: each gets its own result.
func TestWritesOfOneGroup(t *testing.T) {
	s := open(t, store.Config{})
	ctx := t.Context()
	const writers, each = 8, 20
	var wg sync.WaitGroup
	errMine := errors.New("mine")
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				id := fmt.Sprintf("%d-%d", w, i)
				_, err := s.Write(ctx, func(tx *sql.Tx) ([]*event.Event, error) {
					if err := setStatus(id)(tx); err != nil {
						return nil, err
					}
					if i%3 == 0 {
						return nil, errMine
					}
					return []*event.Event{logtest.Make(t, event.Draft{IdempotencyKey: "order:" + id})}, nil
				})
				if want := i%3 == 0; errors.Is(err, errMine) != want || err != nil != want {
					t.Errorf("write %s: got %v", id, err)
				}
				if _, err := s.Append(ctx, []*event.Event{logtest.Make(t, event.Draft{IdempotencyKey: "append:" + id})}); err != nil {
					t.Errorf("append %s: %v", id, err)
				}
			}
		})
	}
	wg.Wait()
	orders := make(map[string]bool)
	for _, r := range logtest.ReadAll(t, s, 1, 1000) {
		if id, ok := strings.CutPrefix(r.Event.Metadata().IdempotencyKey, "order:"); ok {
			orders[id] = true
		}
	}
	if got := countOrders(t, s); got != len(orders) || got != writers*13 {
		t.Errorf("%d orders, %d events of orders, want %d", got, len(orders), writers*13)
	}
}

func TestWriteGivenUpDoesNotRunLater(t *testing.T) {
	s := open(t, store.Config{})
	for range 200 {
		ctx, cancel := context.WithCancel(t.Context())
		returned, ran := false, false
		go cancel()
		_, err := s.Write(ctx, func(*sql.Tx) ([]*event.Event, error) {
			if returned {
				t.Error("fn ran after Write had returned")
			}
			ran = true
			return nil, nil
		})
		returned = true // the race detector watches these
		if err == nil != ran {
			t.Errorf("ran: %v, error: %v", ran, err)
		}
	}
}

func TestReaderCannotWrite(t *testing.T) {
	s := open(t, store.Config{})
	if _, err := s.Reader().Exec(`DELETE FROM events`); err == nil {
		t.Error("a reader deleted events")
	}
}

func TestKV(t *testing.T) {
	kvtest.Run(t, func(t *testing.T, quota int64) bus.Engine { return open(t, store.Config{KVBytes: quota}) })
	kvtest.RunLimits(t, func(t *testing.T, quota int64, now func() time.Time) bus.Engine {
		return open(t, store.Config{KVBytes: quota, Now: now})
	})
}

func TestEffects(t *testing.T) {
	effecttest.Run(t, func(t *testing.T, quota int64, now func() time.Time) effecttest.Engine {
		cfg := store.Config{Path: filepath.Join(t.TempDir(), "berth.db"), KVBytes: quota, Now: now, KVCache: 16 * 1000}
		s := open(t, cfg)
		return effecttest.Engine{Engine: s, Restart: func() bus.Engine {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s = open(t, cfg)
			return s
		}}
	})
}

func TestOpenRefuses(t *testing.T) {
	ctx := t.Context()
	sqlFile := func(t *testing.T, path string, statements ...string) {
		t.Helper()
		db, err := sql.Open("sqlite", path)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		for _, st := range statements {
			if _, err := db.Exec(st); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, tt := range []struct {
		name string
		make func(t *testing.T, path string)
		code fault.Code
		text string
	}{
		{"no SQLite file", func(t *testing.T, path string) {
			if err := os.WriteFile(path, []byte(strings.Repeat("garbage ", 1000)), 0o600); err != nil {
				t.Fatal(err)
			}
		}, fault.Internal, "is damaged or not a database"},
		{"a torn file", func(t *testing.T, path string) {
			s := open(t, store.Config{Path: path})
			if _, err := s.Append(ctx, logtest.Numbered(t, "k", 500)); err != nil {
				t.Fatal(err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			content, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			for i := 100; i < 4096; i++ { // the first page, after the header
				content[i] ^= 0x5a
			}
			if err := os.WriteFile(path, content, 0o600); err != nil {
				t.Fatal(err)
			}
		}, fault.Internal, "is damaged or not a database"},
		{"another program's database", func(t *testing.T, path string) {
			sqlFile(t, path, `CREATE TABLE mine (x)`)
		}, fault.Invalid, "not one of Berth's"},
		{"a newer version", func(t *testing.T, path string) {
			open(t, store.Config{Path: path}).Close()
			sqlFile(t, path, `PRAGMA user_version = 1000`)
		}, fault.Invalid, "newer Berth"},
		{"no directory", func(t *testing.T, path string) {
			if err := os.Remove(filepath.Dir(path)); err != nil {
				t.Fatal(err)
			}
		}, fault.Unavailable, "no such file or directory"},
		{"open already", func(t *testing.T, path string) {
			open(t, store.Config{Path: path})
		}, fault.Conflict, fmt.Sprintf("in use by another process (pid %d)", os.Getpid())},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "data", "berth.db")
			if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
				t.Fatal(err)
			}
			tt.make(t, path)
			s, err := store.Open(ctx, store.Config{Window: newWindow(), Path: path})
			if err == nil {
				s.Close()
				t.Fatal("it was opened")
			}
			if !fault.Is(err, tt.code) || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("got %v (%s), want %q (%s)", err, fault.CodeOf(err), tt.text, tt.code)
			}
		})
	}
	if _, err := store.Open(ctx, store.Config{}); !fault.Is(err, fault.Invalid) {
		t.Errorf("without a path: got %v", err)
	}
}

func TestOpenAgain(t *testing.T) {
	ctx := t.Context()
	// Characters that mean something in a URI.
	path := filepath.Join(t.TempDir(), "a b%20c?d#e&f", "bérth.db")
	if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	s := open(t, store.Config{Path: path})
	events := logtest.Numbered(t, "k", 10)
	if _, err := s.Append(ctx, events); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Trim(ctx, 11); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{path, path + "-wal", path + "-shm", path + ".lock"} {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != 0o600 {
			t.Errorf("%s: mode %o, want 600", name, got)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, store.Config{Path: path})
	if got := s.Last(); got != 10 {
		t.Errorf("Last of a trimmed log: got %d, want 10", got)
	}
	receipts, err := s.Append(ctx, events[:1])
	if err != nil || receipts[0].Seq != 11 || receipts[0].Duplicate {
		t.Errorf("got %+v, %v", receipts, err)
	}
}
