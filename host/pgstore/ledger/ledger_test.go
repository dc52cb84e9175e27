package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/berth-host/berth/host/cluster"
	"github.com/berth-host/berth/host/cluster/ledgertest"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/pgstore/conn"
	"github.com/berth-host/berth/host/pgstore/ledger"
	"github.com/berth-host/berth/host/pgstore/pgtest"
	"github.com/berth-host/berth/host/pgstore/shelf"
	"github.com/berth-host/berth/host/spec"
)

func TestMain(m *testing.M) { pgtest.Start(m) }

// host is one of several hosts with one ledger.
type host struct {
	*ledger.Ledger
	db *conn.DB
}

func open(t *testing.T, schema string, more ...string) host {
	t.Helper()
	return openAt(t, pgtest.URL(t), schema, more...)
}

func openAt(t *testing.T, url, schema string, more ...string) host {
	t.Helper()
	tables := conn.Units + ledger.Schema + shelf.Schema
	for _, text := range more {
		tables += text
	}
	db, err := conn.Open(t.Context(), conn.Config{URL: url, Schema: schema, Migrations: []string{tables}, MaxConns: 3})
	if err != nil {
		t.Fatal(err)
	}
	l, err := ledger.New(db)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		l.Close()
		db.Close()
	})
	return host{l, db}
}

func TestLedger(t *testing.T) {
	ledgertest.Run(t, func(t *testing.T) (a, b cluster.Ledger) {
		schema := pgtest.Schema(t)
		return open(t, schema), open(t, schema)
	})
}

// A database that answers is not taken for one that cannot be reached.
func TestLockedMemberIsRefused(t *testing.T) {
	l := open(t, pgtest.Schema(t))
	m := spec.Beating{Member: spec.Member{ID: "a"}, Beat: 1}
	if _, err := l.Beat(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	err := l.db.Write(t.Context(), "lock", func(ctx context.Context, tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT FROM members FOR UPDATE`); err != nil {
			return err
		}
		if _, err := l.Beat(ctx, m); !fault.Is(err, fault.Conflict) {
			t.Errorf("got %v (%s), want a conflict", err, fault.CodeOf(err))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Beat(t.Context(), m); err != nil {
		t.Error(err)
	}
}

// TestUnitHasOneOwnerInEachEpoch has 20 hosts take units from each other while all write under
// the epochs that they had: each epoch has one owner, and in the order of the commits the
// epochs of the writes of a unit never fall.
func TestUnitHasOneOwnerInEachEpoch(t *testing.T) {
	const hosts, rounds, units = 20, 30, 4
	schema := pgtest.Schema(t)
	const tables = `
		CREATE TABLE tally (unit text PRIMARY KEY, n bigint NOT NULL);
		CREATE TABLE saves (unit text, n bigint, epoch bigint, host text, PRIMARY KEY (unit, n));
		INSERT INTO tally SELECT 'unit-' || i, 0 FROM generate_series(0, 3) AS i;`
	h := hammer{owners: map[spec.Fence]string{}}
	var wg sync.WaitGroup
	for i := range hosts {
		one := open(t, schema, tables)
		wg.Go(func() {
			r := rand.New(rand.NewPCG(7, uint64(i)))
			for round := range rounds {
				if err := h.round(t, one, r, fmt.Sprintf("host-%02d", i), uint64(round+1), units); err != nil {
					t.Errorf("host %d: %v", i, err)
					return
				}
			}
		})
	}
	wg.Wait()
	t.Logf("%d takes, %d writes, %d fenced", len(h.owners), h.saved, h.fenced)
	if len(h.owners) < units || h.saved == 0 || h.fenced == 0 {
		t.Error("the hammer has not met what it tests")
	}
	h.checkSaves(t, open(t, schema, tables))
}

type hammer struct {
	mu            sync.Mutex
	owners        map[spec.Fence]string
	saved, fenced int
}

// round is a look at the ledger with what a host does then.
func (h *hammer) round(t *testing.T, one host, r *rand.Rand, id string, beat uint64, units int) error {
	ctx := t.Context()
	view, err := one.Beat(ctx, spec.Beating{Member: spec.Member{ID: id}, Beat: beat})
	if err != nil {
		return err
	}
	members := map[string]spec.Beating{}
	for _, m := range view.Members {
		members[m.ID] = m
	}
	if members[id].Beat != beat {
		return fmt.Errorf("got the member %+v, want beat %d", members[id], beat)
	}
	present := map[string]spec.Unit{}
	for _, u := range view.Units {
		if _, there := members[u.Owner]; u.Owner != "" && !there {
			return fmt.Errorf("the owner of %+v is no member", u)
		}
		present[u.Name] = u
	}
	name := fmt.Sprint("unit-", r.IntN(units))
	u := present[name]
	if u.Owner != "" && u.Owner != id && r.IntN(2) == 0 { // as if it had ended
		if err := one.Expire(ctx, []spec.Beating{members[u.Owner]}); err != nil {
			return err
		}
		u.Owner = ""
	}
	if u.Owner == "" || u.Owner == id {
		if err := h.take(ctx, one, u, name, id); err != nil {
			return err
		}
	}
	for _, f := range h.fencesOf(id) {
		if err := h.save(ctx, one, f, id); err != nil {
			return err
		}
		if r.IntN(8) == 0 {
			if err := one.Give(ctx, f); err != nil && !errors.Is(err, spec.ErrFenced) {
				return err
			}
		}
	}
	if r.IntN(20) == 0 {
		return one.Leave(ctx, id)
	}
	return nil
}

func (h *hammer) take(ctx context.Context, one host, seen spec.Unit, name, id string) error {
	epoch, err := one.Take(ctx, name, seen, id)
	if fault.Is(err, fault.Conflict) {
		return nil
	}
	if err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	f := spec.Fence{Unit: name, Epoch: epoch}
	if other, taken := h.owners[f]; taken {
		return fmt.Errorf("%+v was taken by %s and %s", f, other, id)
	}
	if epoch != seen.Epoch+1 {
		return fmt.Errorf("%s: the epoch after %d is %d", name, seen.Epoch, epoch)
	}
	h.owners[f] = id
	return nil
}

// fencesOf returns every epoch that a host ever had: it may not know that most are past.
func (h *hammer) fencesOf(id string) (list []spec.Fence) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for f, owner := range h.owners {
		if owner == id {
			list = append(list, f)
		}
	}
	return list
}

// save writes under a fence.
func (h *hammer) save(ctx context.Context, one host, f spec.Fence, id string) error {
	err := one.db.Write(spec.WithFence(ctx, f), "save", func(ctx context.Context, tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `WITH next AS (UPDATE tally SET n = n + 1 WHERE unit = $1 RETURNING n)
			INSERT INTO saves SELECT $1, n, $2, $3 FROM next`, f.Unit, int64(f.Epoch), id)
		return err
	})
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case errors.Is(err, spec.ErrFenced):
		h.fenced++
		return nil
	case err == nil:
		h.saved++
	}
	return err
}

func (h *hammer) checkSaves(t *testing.T, one host) {
	t.Helper()
	if err := one.db.Read(t.Context(), "check", func(ctx context.Context, tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `SELECT unit, epoch, host FROM saves ORDER BY unit, n`)
		if err != nil {
			return err
		}
		var f, last spec.Fence
		var id string
		_, err = pgx.ForEachRow(rows, []any{&f.Unit, &f.Epoch, &id}, func() error {
			if f.Unit == last.Unit && f.Epoch < last.Epoch {
				t.Errorf("%+v was written after %+v", f, last)
			}
			if h.owners[f] != id {
				t.Errorf("%s wrote in %+v, which was %s's", id, f, h.owners[f])
			}
			last = f
			return nil
		})
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

// TestBeatAfterExpireShowsThatTheUnitsAreFree has a host renew its row while it is deleted: the
// view that it gets is the one after the deletion.
func TestBeatAfterExpireShowsThatTheUnitsAreFree(t *testing.T) {
	schema := pgtest.Schema(t)
	slow, other := open(t, schema), open(t, schema)
	ctx := t.Context()
	me := spec.Beating{Member: spec.Member{ID: "slow"}, Beat: 1}
	if _, err := slow.Beat(ctx, me); err != nil {
		t.Fatal(err)
	}
	if _, err := slow.Take(ctx, "u", spec.Unit{}, "slow"); err != nil {
		t.Fatal(err)
	}
	locked, commit := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() { // what Expire does, with a pause before its commit
		if err := other.db.Write(ctx, "expire", func(ctx context.Context, tx pgx.Tx) error {
			for _, text := range []string{`DELETE FROM members WHERE id = 'slow'`, `UPDATE units SET owner = '' WHERE owner = 'slow'`} {
				if _, err := tx.Exec(ctx, text); err != nil {
					return err
				}
			}
			close(locked)
			<-commit
			return nil
		}); err != nil {
			t.Error(err)
		}
	})
	<-locked
	viewed := make(chan spec.ClusterView)
	wg.Go(func() {
		view, err := slow.Beat(ctx, spec.Beating{Member: me.Member, Beat: 2})
		if err != nil {
			t.Error(err)
		}
		viewed <- view
	})
	close(commit)
	view := <-viewed
	wg.Wait()
	if len(view.Units) != 1 || view.Units[0].Owner != "" || len(view.Members) != 1 || view.Members[0].Beat != 2 {
		t.Errorf("got %+v", view)
	}
}

// TestBeatDoesNotWaitForTheConnectionsOfOthers has open writes use every connection.
func TestBeatDoesNotWaitForTheConnectionsOfOthers(t *testing.T) {
	const conns = 3
	h := open(t, pgtest.Schema(t))
	var wg sync.WaitGroup
	begun, end := make(chan struct{}), make(chan struct{})
	for range conns {
		wg.Go(func() {
			if err := h.db.Write(t.Context(), "wait", func(context.Context, pgx.Tx) error {
				begun <- struct{}{}
				<-end
				return nil
			}); err != nil {
				t.Error(err)
			}
		})
	}
	for range conns {
		<-begun
	}
	for beat := range uint64(3) {
		if _, err := h.Beat(t.Context(), spec.Beating{Member: spec.Member{ID: "x"}, Beat: beat + 1}); err != nil {
			t.Error(err)
		}
	}
	close(end)
	wg.Wait()
}

// waiting waits until so many transactions wait for a unit.
func (h host) waiting(t *testing.T, want int) {
	t.Helper()
	for n := 0; n < want; {
		if err := h.db.Query(t.Context(), "count", `SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted`, nil,
			func(rows pgx.Rows) (err error) {
				n, err = pgx.CollectExactlyOneRow(rows, pgx.RowTo[int])
				return err
			}); err != nil {
			t.Fatal(err)
		}
	}
}

// TestTakeGoesBeforeLaterWrites has a take wait for an open write: one that begins meanwhile
// waits for the take, and is refused.
func TestTakeGoesBeforeLaterWrites(t *testing.T) {
	schema := pgtest.Schema(t)
	h, other := open(t, schema), open(t, schema)
	ctx := t.Context()
	if _, err := h.Beat(ctx, spec.Beating{Member: spec.Member{ID: "x"}, Beat: 1}); err != nil {
		t.Fatal(err)
	}
	epoch, err := h.Take(ctx, "u", spec.Unit{}, "x")
	if err != nil {
		t.Fatal(err)
	}
	fenced := spec.WithFence(ctx, spec.Fence{Unit: "u", Epoch: epoch})
	begun, end := make(chan struct{}), make(chan struct{})
	var first, later, taken error
	var wg sync.WaitGroup
	wg.Go(func() {
		first = h.db.Write(fenced, "write", func(context.Context, pgx.Tx) error {
			close(begun)
			<-end
			return nil
		})
	})
	<-begun
	wg.Go(func() { _, taken = other.Take(ctx, "u", spec.Unit{Owner: "x", Epoch: epoch}, "x") })
	other.waiting(t, 1)
	wg.Go(func() {
		later = h.db.Write(fenced, "write later", func(context.Context, pgx.Tx) error {
			t.Error("a write has passed a take that waits")
			return nil
		})
	})
	other.waiting(t, 2)
	close(end)
	wg.Wait()
	if first != nil || taken != nil || !errors.Is(later, spec.ErrFenced) {
		t.Errorf("the open write: %v, the take: %v, the later write: %v", first, taken, later)
	}
}

// TestOldCommandsAreRemoved makes commands and answers older.
func TestOldCommandsAreRemoved(t *testing.T) {
	schema := pgtest.Schema(t)
	h := open(t, schema)
	ctx := t.Context()
	for _, id := range []string{"old", "old answer", "new"} {
		if err := h.Ask(ctx, spec.ClusterCommand{ID: id, Unit: "u", Method: "m"}); err != nil {
			t.Fatal(err)
		}
	}
	if err := h.Answer(ctx, "old answer", []byte("1"), ""); err != nil {
		t.Fatal(err)
	}
	if err := h.db.Write(ctx, "age", func(ctx context.Context, tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `UPDATE commands SET asked_at = asked_at - interval '90 s', answered_at = answered_at - interval '90 s'
			WHERE id <> 'new'`)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	list, err := open(t, schema).Asked(ctx, []string{"u"}) // the first call of a host removes them
	if err != nil || len(list) != 1 || list[0].ID != "new" {
		t.Errorf("got %+v, %v", list, err)
	}
	if _, _, done, err := h.Answered(ctx, "old answer"); done || err != nil {
		t.Errorf("the old answer is there: %v", err)
	}
}
