package ledger_test

import (
	"context"
	"errors"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/berth-host/berth/host/pgstore/pgserver"
	"github.com/berth-host/berth/host/pgstore/pgtest"
	"github.com/berth-host/berth/host/spec"
)

// behind returns a server and its standby, and a function that has the standby get no more commits,
// for which the server then does not wait.
func behind(t *testing.T) (server, standby *pgserver.Server, part func()) {
	t.Helper()
	pgtest.Shared(t) // skips where there is no PostgreSQL
	server, err := pgserver.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	if standby, err = server.Standby(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(standby.Close)
	return server, standby, func() {
		if err := standby.Exec("ALTER SYSTEM SET primary_conninfo = ''", "SELECT pg_reload_conf()"); err != nil {
			t.Fatal(err)
		}
		awaitGone(t, server)
		if err := server.Exec("ALTER SYSTEM RESET synchronous_standby_names", "SELECT pg_reload_conf()"); err != nil {
			t.Fatal(err)
		}
	}
}

// awaitGone waits until no standby follows a server.
func awaitGone(t *testing.T, server *pgserver.Server) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c, err := pgx.Connect(ctx, server.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(context.WithoutCancel(ctx)) //nolint:errcheck // it only reads
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for n := 1; n > 0; <-tick.C {
		if err := c.QueryRow(ctx, "SELECT count(*) FROM pg_stat_replication").Scan(&n); err != nil {
			t.Fatal(err)
		}
	}
}

// TestPromotionEndsEpochs promotes a standby that lacks takes: their epochs are not given again, and
// all writes under epochs of the server before it are refused, also before the next take.
func TestPromotionEndsEpochs(t *testing.T) {
	server, standby, part := behind(t)
	ctx := t.Context()
	me := spec.Beating{Member: spec.Member{ID: "x"}, Beat: 1}
	before := openAt(t, server.URL(), "berth")
	if _, err := before.Beat(ctx, me); err != nil {
		t.Fatal(err)
	}
	var taken []spec.Fence
	take := func(h host, unit string, seen uint64, want uint64) {
		t.Helper()
		u := spec.Unit{Epoch: seen}
		if seen > 0 {
			u.Owner = "x"
		}
		epoch, err := h.Take(ctx, unit, u, "x")
		if u.Name = unit; err != nil || epoch != want {
			t.Fatalf("take %s after epoch %d: got %d, %v; want %d", unit, seen, epoch, err, want)
		}
		taken = append(taken, spec.Fence{Unit: unit, Epoch: epoch})
	}
	take(before, "kept", 0, 1)
	part()
	take(before, "kept", 1, 2)
	take(before, "lost", 0, 1)
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := standby.Promote(); err != nil {
		t.Fatal(err)
	}
	after := openAt(t, standby.URL(), "berth")
	write := func(f spec.Fence) error {
		return after.db.Write(spec.WithFence(ctx, f), "write", func(context.Context, pgx.Tx) error { return nil })
	}
	refused := func(past []spec.Fence, when string) {
		t.Helper()
		for _, f := range past {
			if err := write(f); !errors.Is(err, spec.ErrFenced) {
				t.Errorf("a write in epoch %d of %s, %s: %v", f.Epoch, f.Unit, when, err)
			}
			if err := after.Give(ctx, f); !errors.Is(err, spec.ErrFenced) {
				t.Errorf("give %s in epoch %d, %s: %v", f.Unit, f.Epoch, when, err)
			}
		}
	}
	past := taken
	refused(past, "before the next take")

	const base = 1 << 32
	me.Beat++
	view, err := after.Beat(ctx, me)
	if want := (spec.Unit{Name: "kept", Owner: "x", Epoch: base}); err != nil || len(view.Units) != 1 || view.Units[0] != want {
		t.Fatalf("got the units %+v, %v; want %+v", view.Units, err, want)
	}
	take(after, "kept", base, base+1)
	take(after, "lost", 0, base+1)
	refused(past, "after it")
	for _, f := range taken[len(past):] {
		if err := write(f); err != nil {
			t.Errorf("a write in the present epoch %d of %s: %v", f.Epoch, f.Unit, err)
		}
	}
	take(after, "kept", base+1, base+2) // an ordinary one
}

// TestUnitsRunAgainAfterAPromotion: the owner of units takes them again from the standby that was
// promoted, and runs them in epochs of that.
func TestUnitsRunAgainAfterAPromotion(t *testing.T) {
	server, standby, _ := behind(t)
	both := strings.Replace(server.URL(), "host=", "host="+url.QueryEscape(filepath.Dir(standby.Socket())+","), 1) + "&target_session_attrs=read-write"
	f := newFleet(t)
	n := f.start("a", openAt(t, both, "berth"))
	f.await("all units run", map[string]int{"a": 9})
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := standby.Promote(); err != nil {
		t.Fatal(err)
	}
	f.awaitThat("all units run again", func() bool {
		for unit, owner := range f.owners {
			if owner != "a" || f.epochs[unit] <= 1<<32 {
				return false
			}
		}
		return true
	})
	n.stop()
	if err := <-n.ended; err != nil {
		t.Errorf("Run: %v", err)
	}
}
