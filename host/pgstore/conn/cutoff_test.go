package conn_test

import (
	"context"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/pgstore/pgtest"
)

func TestCutOffEndsCalls(t *testing.T) {
	db, server := open(t, pgtest.Schema(t)), pgtest.Shared(t)
	refused := func(err error) {
		t.Helper()
		if !fault.Is(err, fault.Unavailable) || fault.RetryAfter(err) == 0 || !strings.Contains(err.Error(), "does not answer this host") {
			t.Errorf("got %v", err)
		}
	}
	stopped, ended := make(chan struct{}), make(chan error)
	go func() {
		ended <- db.Write(t.Context(), "write", func(ctx context.Context, tx pgx.Tx) error {
			if err := server.Stop(); err != nil {
				t.Error(err)
			}
			close(stopped)
			_, err := tx.Exec(ctx, `INSERT INTO marks VALUES ('late', 1)`)
			return err
		})
	}()
	<-stopped
	db.SetCutOff(true)
	refused(<-ended)
	refused(add(t.Context(), db, "m"))
	if err := server.Continue(); err != nil {
		t.Fatal(err)
	}
	refused(db.Query(t.Context(), "read", `SELECT 1`, nil, nil))
	var one int
	refused(db.WriteOne(t.Context(), "write one", `SELECT 1`, nil, []any{&one}))
	apart, err := db.Apart(1)
	if err != nil {
		t.Fatal(err)
	}
	defer apart.Close()
	if err := add(t.Context(), apart, "m"); err != nil { // the lease is renewed by it
		t.Error(err)
	}
	for range 2 {
		db.SetCutOff(false)
		if err := add(t.Context(), db, "m"); err != nil {
			t.Error(err)
		}
	}
	if got := count(t, db, `SELECT coalesce(sum(n), 0)::bigint FROM marks`); got != 3 {
		t.Errorf("got %d writes, want 3", got)
	}
}
