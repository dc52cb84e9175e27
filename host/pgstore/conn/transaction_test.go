package conn_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/pgstore/conn"
	"github.com/berth-host/berth/host/pgstore/pgtest"
	"github.com/berth-host/berth/host/spec"
)

// add adds one to a mark, under the fence of the context.
func add(ctx context.Context, db *conn.DB, name string) error {
	return db.Write(ctx, "add", func(ctx context.Context, tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO marks VALUES ($1, 1) ON CONFLICT (name) DO UPDATE SET n = marks.n + 1`, name)
		return err
	})
}

// take makes an epoch of a unit the present one.
func take(t *testing.T, db *conn.DB, unit string, epoch uint64) {
	t.Helper()
	err := db.Write(t.Context(), "take", func(ctx context.Context, tx pgx.Tx) error {
		if err := conn.LockUnits(ctx, tx, unit); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `INSERT INTO units (name, epoch) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET epoch = excluded.epoch`,
			unit, int64(epoch))
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func TestWriteUnderFence(t *testing.T) {
	db := open(t, pgtest.Schema(t))
	take(t, db, "u", 3)
	for _, tt := range []struct {
		fence spec.Fence
		want  error
	}{
		{spec.Fence{Unit: "u", Epoch: 3}, nil},
		{spec.Fence{Unit: "u", Epoch: 2}, spec.ErrFenced},
		{spec.Fence{Unit: "u", Epoch: 4}, spec.ErrFenced},
		{spec.Fence{Unit: "free", Epoch: 0}, nil},
		{spec.Fence{Unit: "free", Epoch: 1}, spec.ErrFenced},
	} {
		before := count(t, db, `SELECT coalesce(sum(n), 0)::bigint FROM marks`)
		err := add(spec.WithFence(t.Context(), tt.fence), db, "m")
		if !errors.Is(err, tt.want) || tt.want != nil && !fault.Is(err, fault.Conflict) {
			t.Errorf("%+v: got %v, want %v", tt.fence, err, tt.want)
		}
		if n := count(t, db, `SELECT coalesce(sum(n), 0)::bigint FROM marks`) - before; (n == 1) != (tt.want == nil) {
			t.Errorf("%+v: %d writes", tt.fence, n)
		}
	}
}

// A take waits for the fenced writes that have begun, and every later one is refused.
func TestTakeAgainstOpenWrites(t *testing.T) {
	db := open(t, pgtest.Schema(t))
	take(t, db, "u", 1)
	began, proceed := make(chan struct{}), make(chan struct{})
	written, taken := make(chan error, 1), make(chan struct{})
	go func() {
		written <- db.Write(spec.WithFence(t.Context(), spec.Fence{Unit: "u", Epoch: 1}), "write", func(ctx context.Context, tx pgx.Tx) error {
			close(began)
			<-proceed
			_, err := tx.Exec(ctx, `INSERT INTO marks VALUES ('late', 1)`)
			return err
		})
	}()
	<-began
	go func() {
		defer close(taken)
		take(t, db, "u", 2)
	}()
	waitFor(t, db, `SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'SELECT pg_advisory_xact_lock(%'`)
	select {
	case <-taken:
		t.Error("the take did not wait")
	default:
	}
	close(proceed)
	if err := <-written; err != nil {
		t.Error(err)
	}
	<-taken
	if err := add(spec.WithFence(t.Context(), spec.Fence{Unit: "u", Epoch: 1}), db, "m"); !errors.Is(err, spec.ErrFenced) {
		t.Errorf("got %v", err)
	}
}

// waitFor returns when a query selects a number above zero.
func waitFor(t *testing.T, db *conn.DB, query string) {
	t.Helper()
	for count(t, db, query) == 0 {
		if t.Context().Err() != nil {
			t.Fatal(t.Context().Err())
		}
	}
}

// Of two transactions that lock two rows crosswise, the server undoes one: it runs again.
func TestDeadlockIsRepeated(t *testing.T) {
	db := open(t, pgtest.Schema(t))
	for _, name := range []string{"a", "b"} {
		if err := add(t.Context(), db, name); err != nil {
			t.Fatal(err)
		}
	}
	var both, wg sync.WaitGroup
	both.Add(2)
	for _, names := range [][]string{{"a", "b"}, {"b", "a"}} {
		wg.Go(func() {
			first := true
			err := db.Write(t.Context(), "cross", func(ctx context.Context, tx pgx.Tx) error {
				for i, name := range names {
					if _, err := tx.Exec(ctx, `UPDATE marks SET n = n + 1 WHERE name = $1`, name); err != nil {
						return err
					}
					if i == 0 && first {
						first = false
						both.Done()
						both.Wait()
					}
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got := count(t, db, `SELECT sum(n)::bigint FROM marks`); got != 6 {
		t.Errorf("got %d, want 6", got)
	}
}

func TestEndedContext(t *testing.T) {
	db := open(t, pgtest.Schema(t))
	ctx, cancel := context.WithCancel(t.Context())
	err := db.Write(ctx, "write", func(ctx context.Context, tx pgx.Tx) error {
		cancel() // it has begun
		_, err := tx.Exec(ctx, `INSERT INTO marks VALUES ('m', 1)`)
		return err
	})
	if err != nil {
		t.Errorf("a write that had begun: %v", err)
	}
	if err := add(ctx, db, "m"); !errors.Is(err, context.Canceled) {
		t.Errorf("a write that had not: got %v", err)
	}
	if got := count(t, db, `SELECT sum(n)::bigint FROM marks`); got != 1 {
		t.Errorf("got %d, want 1", got)
	}
	ctx, cancel = context.WithCancel(t.Context())
	err = db.Read(ctx, "read", func(ctx context.Context, tx pgx.Tx) error {
		cancel()
		_, err := tx.Exec(ctx, `SELECT pg_sleep(60)`)
		return err
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("a read: got %v", err)
	}
}

func TestServerLimitsStatements(t *testing.T) {
	db := open(t, pgtest.Schema(t))
	err := db.Write(t.Context(), "write", func(ctx context.Context, tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `SELECT pg_sleep(60)`)
		return err
	})
	if !fault.Is(err, fault.Unavailable) || fault.RetryAfter(err) <= 0 {
		t.Errorf("got %v", err)
	}
}

// When the wait for a synchronous standby is cancelled, the server reports a success with a
// warning. It must not pass for one.
func TestUnconfirmedCommit(t *testing.T) {
	db := open(t, pgtest.Schema(t))
	pgtest.Exec(t, `ALTER SYSTEM SET synchronous_standby_names = 'missing'`, `SELECT pg_reload_conf()`)
	t.Cleanup(func() { pgtest.Exec(t, `ALTER SYSTEM RESET synchronous_standby_names`, `SELECT pg_reload_conf()`) })
	waitFor(t, db, `SELECT (current_setting('synchronous_standby_names') <> '')::int`)
	written := make(chan error, 1)
	go func() {
		var err error
		for n := 0; err == nil; n++ { // the first ones can come before all of the server knows the setting
			err = add(t.Context(), db, fmt.Sprint("m", n))
		}
		written <- err
	}()
	const waiting = `FROM pg_stat_activity WHERE wait_event = 'SyncRep'`
	waitFor(t, db, `SELECT count(*) `+waiting)
	pgtest.Exec(t, `SELECT pg_cancel_backend(pid) `+waiting)
	if err := <-written; !fault.Is(err, fault.Unavailable) {
		t.Errorf("got %v, want that the result is not known", err)
	}
}

func TestClosed(t *testing.T) {
	db := open(t, pgtest.Schema(t))
	db.Close()
	db.Close()
	if err := add(t.Context(), db, "m"); !fault.Is(err, fault.Unavailable) {
		t.Errorf("write: got %v", err)
	}
	err := db.Read(t.Context(), "read", func(context.Context, pgx.Tx) error { return nil })
	if !fault.Is(err, fault.Unavailable) {
		t.Errorf("read: got %v", err)
	}
}

func TestNotifications(t *testing.T) {
	schema := pgtest.Schema(t)
	one, two := open(t, schema), open(t, schema)
	waitFor(t, one, `SELECT (count(*) >= 2)::int FROM pg_stat_activity WHERE query = 'LISTEN "berth_`+schema+`"'`)
	for _, dbs := range [][2]*conn.DB{{one, two}, {two, one}, {one, two}} {
		got := dbs[1].Notified("x")
		for drained := false; !drained; {
			select {
			case <-got: // what came before
			default:
				drained = true
			}
		}
		dbs[0].Notify("x")
		<-got
	}
}

func TestBroadcastArrivesAtOtherHosts(t *testing.T) {
	schema := pgtest.Schema(t)
	one, two := open(t, schema), open(t, schema)
	ctx, cancel := context.WithCancel(t.Context())
	got, ended := make(chan string, 4), make(chan error, 2)
	for _, d := range []*conn.DB{one, two} {
		go func() { ended <- d.Receive(ctx, func(m string) { got <- m }) }()
	}
	waitFor(t, one, `SELECT (count(*) = 2)::int FROM pg_stat_activity WHERE query = 'LISTEN "berth_feed_`+schema+`"'`)
	large := strings.Repeat("x", conn.MaxMessage)
	if err := one.Broadcast(ctx, []string{"a", large}); err != nil {
		t.Fatal(err)
	}
	if a, b := <-got, <-got; a != "a" || b != large {
		t.Errorf("got %.20q and %.20q", a, b)
	}
	cancel()
	for range 2 {
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	}
	if len(got) > 0 {
		t.Errorf("a host has got its own message, or another one: %q", <-got)
	}
}

// After a crash of the server, writes fail with a time to retry, and go on by themselves when
// it is back. What was confirmed is there.
func TestServerIsKilled(t *testing.T) {
	db := open(t, pgtest.Schema(t))
	notified := db.Notified("x")
	<-notified
	confirmed := 0
	for range 20 {
		if err := add(t.Context(), db, "m"); err != nil {
			t.Fatal(err)
		}
		confirmed++
	}
	pgtest.Kill(t)
	if err := add(t.Context(), db, "m"); !fault.Is(err, fault.Unavailable) || fault.RetryAfter(err) < time.Millisecond {
		t.Errorf("without a server: got %v", err)
	}
	pgtest.Restart(t)
	if err := add(t.Context(), db, "m"); err != nil {
		t.Errorf("after its return: %v", err)
	}
	<-notified // it listens again
	if got := count(t, db, `SELECT n FROM marks WHERE name = 'm'`); got < int64(confirmed)+1 {
		t.Errorf("got %d, want %d", got, confirmed+1)
	}
}
