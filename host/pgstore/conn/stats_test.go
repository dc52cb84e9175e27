package conn_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/berth-host/berth/host/pgstore/conn"
	"github.com/berth-host/berth/host/pgstore/pgtest"
	"github.com/berth-host/berth/host/spec"
)

func TestStatsCountWhatWasDone(t *testing.T) {
	db := open(t, pgtest.Schema(t))
	take(t, db, "u", 2)
	before := db.Stats()
	if err := add(t.Context(), db, "m"); err != nil {
		t.Fatal(err)
	}
	var n int64
	if err := db.WriteOne(t.Context(), "write", `INSERT INTO marks VALUES ('one', 1) RETURNING n`, nil, []any{&n}); err != nil {
		t.Fatal(err)
	}
	if err := db.Query(t.Context(), "query", `SELECT n FROM marks`, nil, func(pgx.Rows) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if err := add(spec.WithFence(t.Context(), spec.Fence{Unit: "u", Epoch: 1}), db, "m"); !errors.Is(err, spec.ErrFenced) {
		t.Errorf("got %v", err)
	}
	got := db.Stats()
	if commits, queries := got.Commits.Since(&before.Commits), got.Queries.Since(&before.Queries); commits.Count() != 2 || commits.Sum() == 0 ||
		queries.Count() != 1 || queries.Sum() == 0 || got.Refused-before.Refused != 1 {
		t.Errorf("got %d commits, %d queries, %d refused", commits.Count(), queries.Count(), got.Refused-before.Refused)
	}
}

func TestStatsHaveConnectionsInUseAndCallsThatWait(t *testing.T) {
	db, err := conn.Open(t.Context(), conn.Config{URL: pgtest.URL(t), Schema: pgtest.Schema(t), Migrations: migrations(), MaxConns: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	limit := time.After(time.Minute) // only a hang gets there
	for waited := false; !waited; {  // a call that is counted can come to the pool after the other one has ended
		began, proceed, results := make(chan struct{}), make(chan struct{}), make(chan error)
		go func() {
			results <- db.Read(t.Context(), "read", func(context.Context, pgx.Tx) error {
				close(began)
				<-proceed
				return nil
			})
		}()
		<-began
		if s := db.Stats(); s.Used != 1 || s.Idle != 0 || s.Limit != 1 || s.Waiting != 0 {
			t.Errorf("while one is in use: got %d, %d idle, %d at most, %d waiting", s.Used, s.Idle, s.Limit, s.Waiting)
		}
		go func() { results <- add(t.Context(), db, "m") }()
		for db.Stats().Waiting == 0 {
			select {
			case <-tick.C:
			case <-limit:
				t.Fatal("no call waits")
			}
		}
		before := db.Stats().Waited
		close(proceed)
		for range 2 {
			if err := <-results; err != nil {
				t.Fatal(err)
			}
		}
		s := db.Stats()
		if s.Used != 0 || s.Idle != 1 || s.Waiting != 0 {
			t.Errorf("afterwards: got %d, %d idle, %d waiting", s.Used, s.Idle, s.Waiting)
		}
		if waited = s.Waited > before; !waited {
			select {
			case <-tick.C:
			case <-limit:
				t.Fatal("the time that a call waits is not counted")
			}
		}
	}
}
