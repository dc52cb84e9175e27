package keyvalue_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/berth-host/berth/host/bus"
	"github.com/berth-host/berth/host/bus/logtest"
	"github.com/berth-host/berth/host/bus/logtest/kvtest"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/pgstore/conn"
	"github.com/berth-host/berth/host/pgstore/keyvalue"
	"github.com/berth-host/berth/host/pgstore/pgtest"
	"github.com/berth-host/berth/host/spec"
)

func TestMain(m *testing.M) { pgtest.Start(m) }

// others has the methods of an engine that are not tested here.
type others struct{ *bus.Memory }

type engine struct {
	others
	*keyvalue.State
	db     *conn.DB
	schema string
}

func (e engine) Close() error {
	e.State.Close()
	e.db.Close()
	return e.Memory.Close()
}

// openIn opens the state in a schema, as one host of several.
func openIn(t *testing.T, schema string, quota int64, now func() time.Time) engine {
	t.Helper()
	db, err := conn.Open(t.Context(), conn.Config{URL: pgtest.URL(t), Schema: schema, Migrations: []string{conn.Units + keyvalue.Schema}})
	if err != nil {
		t.Fatal(err)
	}
	e := engine{others{bus.NewMemory(bus.MemoryConfig{})}, keyvalue.New(keyvalue.Config{DB: db, Quota: quota, Now: now}), db, schema}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

func open(t *testing.T, quota int64) engine { return openIn(t, pgtest.Schema(t), quota, nil) }

func TestState(t *testing.T) {
	kvtest.Run(t, func(t *testing.T, quota int64) bus.Engine { return open(t, quota) })
}

func TestLimits(t *testing.T) {
	kvtest.RunLimits(t, func(t *testing.T, quota int64, now func() time.Time) bus.Engine {
		return openIn(t, pgtest.Schema(t), quota, now)
	})
}

// checkUsage compares the usage of a plugin with what its rows say.
func checkUsage(t *testing.T, e engine, plugin string) {
	t.Helper()
	var counted, stored int64
	if err := e.db.Read(t.Context(), "count", func(ctx context.Context, tx pgx.Tx) error {
		if err := tx.QueryRow(ctx, `SELECT coalesce(sum(octet_length(key) + octet_length(value) + 128), 0)::bigint FROM kv WHERE plugin = $1`,
			plugin).Scan(&counted); err != nil {
			return err
		}
		return tx.QueryRow(ctx, `SELECT coalesce((SELECT bytes FROM kv_usage WHERE plugin = $1), 0)`, plugin).Scan(&stored)
	}); err != nil {
		t.Fatal(err)
	}
	if counted != stored {
		t.Errorf("the usage of %s is %d, its rows have %d", plugin, stored, counted)
	}
}

// setEpoch makes an epoch the present one of a unit.
func setEpoch(t *testing.T, e engine, unit string, epoch int64) {
	t.Helper()
	if err := e.db.Write(t.Context(), "set an epoch", func(ctx context.Context, tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO units (name, epoch) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET epoch = excluded.epoch`, unit, epoch)
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

func TestStaleFenceIsRefusedInEveryMethod(t *testing.T) {
	e := open(t, 0)
	setEpoch(t, e, "p", 2)
	present, stale := spec.WithFence(t.Context(), spec.Fence{Unit: "p", Epoch: 2}), spec.WithFence(t.Context(), spec.Fence{Unit: "p", Epoch: 1})
	logtest.WantCode(t, "KVSet in the present epoch", e.KVSet(present, "p", "k", []byte("v")), "")
	for name, call := range map[string]func(context.Context) error{
		"KVSet":    func(ctx context.Context) error { return e.KVSet(ctx, "p", "k", nil) },
		"KVCAS":    func(ctx context.Context) error { return e.KVCAS(ctx, "p", "k", []byte("v"), []byte("w")) },
		"KVDelete": func(ctx context.Context) error { return e.KVDelete(ctx, "p", "k") },
		"KVClear":  func(ctx context.Context) error { return e.KVClear(ctx, "p") },
		"KVExpire": func(ctx context.Context) error { return e.KVExpire(ctx, "p", "k", time.Unix(1, 0)) },
	} {
		if err := call(stale); !errors.Is(err, spec.ErrFenced) {
			t.Errorf("%s: got %v, want it fenced", name, err)
		}
		if v, found, err := e.KVGet(t.Context(), "p", "k"); string(v) != "v" || !found || err != nil {
			t.Fatalf("after %s: got %q, %v, %v", name, v, found, err)
		}
	}
	checkUsage(t, e, "p")
}

// TestWritesOfOneFenceAreNotRefusedForAnother has writes of two epochs wait at once.
func TestWritesOfOneFenceAreNotRefusedForAnother(t *testing.T) {
	e := open(t, 0)
	setEpoch(t, e, "p", 2)
	var wg sync.WaitGroup
	for i := range 40 {
		epoch := uint64(1 + i%2)
		wg.Go(func() {
			err := e.KVSet(spec.WithFence(t.Context(), spec.Fence{Unit: "p", Epoch: epoch}), "p", fmt.Sprint(i), nil)
			if errors.Is(err, spec.ErrFenced) != (epoch == 1) {
				t.Errorf("epoch %d: got %v", epoch, err)
			}
		})
	}
	wg.Wait()
	if list, err := e.KVList(t.Context(), "p", "", "", 100); len(list) != 20 || err != nil {
		t.Errorf("got %d keys, %v, want 20", len(list), err)
	}
	checkUsage(t, e, "p")
}

func TestWriteDoesNotWaitForAnotherPlugin(t *testing.T) {
	e := open(t, 0)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	logtest.WantCode(t, "set", e.KVSet(ctx, "p", "k", nil), "")
	locked, release := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := e.db.Write(ctx, "lock", func(ctx context.Context, tx pgx.Tx) error {
			_, err := tx.Exec(ctx, `SELECT FROM kv_usage WHERE plugin = 'p' FOR UPDATE`)
			close(locked)
			<-release
			return err
		}); err != nil {
			t.Error(err)
		}
	})
	<-locked
	written := make(chan error, 1)
	go func() { written <- e.KVSet(ctx, "p", "k", []byte("later")) }()
	logtest.WantCode(t, "set of another plugin", e.KVSet(ctx, "q", "k", nil), "")
	select {
	case err := <-written:
		t.Errorf("a write passed the lock of its plugin: %v", err)
	default:
	}
	close(release)
	wg.Wait()
	logtest.WantCode(t, "set after the lock", <-written, "")
}

// TestHostsShareTheState has several hosts count in the same keys, and fill the quota.
func TestHostsShareTheState(t *testing.T) {
	const hosts, each = 3, 25
	schema := pgtest.Schema(t)
	quota := int64(hosts*each/2) * (128 + 6)
	var wg sync.WaitGroup
	var mu sync.Mutex
	stored := 0
	var last engine
	for h := range hosts {
		e := openIn(t, schema, quota, nil)
		last = e
		wg.Go(func() {
			for i := range each {
				err := e.KVSet(t.Context(), "p", fmt.Sprintf("%03d", h*each+i), []byte("abc"))
				if err != nil && !fault.Is(err, fault.Exhausted) {
					t.Error(err)
				}
				if err == nil {
					mu.Lock()
					stored++
					mu.Unlock()
				}
				for { // counts in a key of a plugin without a limit
					old, found, err := e.KVGet(t.Context(), "q", "n")
					if !found {
						old = nil
					}
					if err == nil {
						err = e.KVCAS(t.Context(), "q", "n", old, append([]byte{'x'}, old...))
					}
					if err == nil {
						break
					}
					if !fault.Is(err, fault.Conflict) {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	wg.Wait()
	if stored != hosts*each/2 {
		t.Errorf("%d were stored, want %d", stored, hosts*each/2)
	}
	if v, _, err := last.KVGet(t.Context(), "q", "n"); len(v) != hosts*each || err != nil {
		t.Errorf("counted %d, %v, want %d", len(v), err, hosts*each)
	}
	checkUsage(t, last, "p")
	checkUsage(t, last, "q")
}

func TestExpiredValuesAreRemoved(t *testing.T) {
	clock := new(kvtest.Clock)
	e := openIn(t, pgtest.Schema(t), 0, clock.Now)
	want := map[string]int64{}
	for i := range 600 {
		plugin, key := fmt.Sprint("p", i%2), fmt.Sprint(i)
		logtest.WantCode(t, "set", e.KVSet(t.Context(), plugin, key, nil), "")
		if i%3 > 0 {
			logtest.WantCode(t, "expire", e.KVExpire(t.Context(), plugin, key, clock.Now().Add(time.Second)), "")
		} else {
			want[plugin] += int64(len(key)) + spec.KVEntry
		}
	}
	clock.Pass(time.Second)
	if err := e.RemoveExpired(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, plugin := range []string{"p0", "p1"} {
		checkUsage(t, e, plugin)
		if used, _, err := e.KVUsage(t.Context(), plugin); used != want[plugin] || err != nil {
			t.Errorf("%s: got %d, %v, want %d", plugin, used, err, want[plugin])
		}
		if list, err := e.KVList(t.Context(), plugin, "", "", 1000); len(list) != 100 || err != nil {
			t.Errorf("%s: %d keys remain, %v, want 100", plugin, len(list), err)
		}
	}
}

// TestClearRemovesManyKeys has many values: the server does not end a statement, nor the host a
// transaction, and what was removed before a failure stays removed.
func TestClearRemovesManyKeys(t *testing.T) {
	e := open(t, 0)
	const keys = 100_000
	logtest.WantCode(t, "set of another plugin", e.KVSet(t.Context(), "q", "k", nil), "")
	pgtest.Exec(t, fmt.Sprintf(`INSERT INTO %s.kv (plugin, key, value) SELECT 'p', convert_to(i::text, 'UTF8'), '' FROM generate_series(1, %d) AS i`,
		e.schema, keys), fmt.Sprintf(`INSERT INTO %s.kv_usage SELECT 'p', sum(octet_length(key) + 128) FROM %[1]s.kv WHERE plugin = 'p'`, e.schema))
	checkUsage(t, e, "p")
	pgtest.Exec(t, fmt.Sprintf(`CREATE FUNCTION %[1]s.fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'injected'
		USING ERRCODE = '58030'; END $$; CREATE TRIGGER fail BEFORE DELETE ON %[1]s.kv FOR EACH ROW WHEN (OLD.key = '99999')
		EXECUTE FUNCTION %[1]s.fail()`, e.schema)) // the last one
	all, _, err := e.KVUsage(t.Context(), "p")
	logtest.WantCode(t, "clear", e.KVClear(t.Context(), "p"), fault.Unavailable)
	if used, _, err2 := e.KVUsage(t.Context(), "p"); used == 0 || used > all/10 || err != nil || err2 != nil {
		t.Errorf("%d of %d bytes remain after a failure at the end: %v, %v", used, all, err, err2)
	}
	checkUsage(t, e, "p")
	pgtest.Exec(t, fmt.Sprintf(`DROP FUNCTION %s.fail CASCADE`, e.schema))
	logtest.WantCode(t, "clear again", e.KVClear(t.Context(), "p"), "")
	if used, _, err := e.KVUsage(t.Context(), "p"); used != 0 || err != nil {
		t.Errorf("got %d bytes, %v", used, err)
	}
	if v, found, err := e.KVGet(t.Context(), "q", "k"); !found || err != nil {
		t.Errorf("another plugin: got %q, %v, %v", v, found, err)
	}
	checkUsage(t, e, "p")
}

// TestServerIsKilledDuringWrites kills the server beside writers: what was acknowledged is
// there afterwards, and the usage is exact.
func TestServerIsKilledDuringWrites(t *testing.T) {
	e := open(t, 0)
	const writers, before, after = 8, 20, 40
	var wg sync.WaitGroup
	begun, restarted := make(chan struct{}, writers), make(chan struct{})
	for w := range writers {
		wg.Go(func() {
			for n := 1; n <= after; {
				err := e.KVSet(t.Context(), "p", fmt.Sprint(w), fmt.Append(nil, n))
				if err != nil {
					if !fault.Is(err, fault.Unavailable) {
						t.Errorf("got %v", err)
						return
					}
					<-restarted
					continue
				}
				if n++; n == before {
					begun <- struct{}{}
				}
			}
		})
	}
	for range writers {
		<-begun
	}
	pgtest.Kill(t)
	pgtest.Restart(t)
	close(restarted)
	wg.Wait()
	for w := range writers {
		if v, _, err := e.KVGet(t.Context(), "p", fmt.Sprint(w)); string(v) != fmt.Sprint(after) || err != nil {
			t.Errorf("key %d: got %q, %v", w, v, err)
		}
	}
	checkUsage(t, e, "p")
}

// TestAcknowledgedWritesSurviveAKill reads the state after the server was killed beside writers.
func TestAcknowledgedWritesSurviveAKill(t *testing.T) {
	e := open(t, 0)
	const writers, before = 8, 20
	var wg sync.WaitGroup
	begun := make(chan struct{}, writers)
	stored := make([]int, writers) // the last number that was acknowledged
	for w := range writers {
		wg.Go(func() {
			for n := 1; e.KVSet(t.Context(), "p", fmt.Sprint(w), fmt.Append(nil, n)) == nil; n++ {
				if stored[w] = n; n == before {
					begun <- struct{}{}
				}
			}
		})
	}
	for range writers {
		<-begun
	}
	pgtest.Kill(t)
	wg.Wait()
	pgtest.Restart(t)
	for w := range writers {
		v, found, err := e.KVGet(t.Context(), "p", fmt.Sprint(w))
		var n int
		fmt.Sscan(string(v), &n) //nolint:errcheck // then it is 0
		if !found || err != nil || n < stored[w] || n > stored[w]+1 {
			t.Errorf("key %d: got %q, %v, %v, want %d, or the next one", w, v, found, err, stored[w])
		}
	}
	checkUsage(t, e, "p")
}
