package progress_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/berth-host/berth/host/bus/logtest"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/pgstore/outcomes"
	"github.com/berth-host/berth/host/pgstore/pgtest"
)

// kill gives a handler dead letters of the Seqs from one to another, which need no events. The
// server has no statistics of them.
func kill(t *testing.T, e *engine, handler string, from, to int) {
	t.Helper()
	pgtest.Exec(t, fmt.Sprintf(`INSERT INTO %s.deliveries SELECT '%s', seq, 'dead', 1, '', 'trap', 'x', 1, 1, 1, 0, 1, '', false
		FROM generate_series(%d, %d) AS seq`, e.schema, handler, from, to))
}

// rows returns how many rows of deliveries a transaction has read.
func rows(ctx context.Context, tx pgx.Tx) (n int, err error) {
	err = tx.QueryRow(ctx, `SELECT idx_tup_fetch + seq_tup_read FROM pg_stat_xact_user_tables WHERE relid = 'deliveries'::regclass`).Scan(&n)
	return n, err
}

// TestChangeReadsItsDeadLettersOnly: a change of dead letters does not read the others, also when all
// of them have just died.
func TestChangeReadsItsDeadLettersOnly(t *testing.T) {
	e := open(t, options{now: noon})
	const many = 20_000
	kill(t, e, "h", 1, many)
	at := []event.DeadPosition{{Seq: many + 1, Handler: "h"}, {Seq: 8, Handler: "other"}} // and those that there are
	for seq := range uint64(500) {
		at = append(at, event.DeadPosition{Seq: many - seq, Handler: "h"})
	}
	for name, change := range map[string]func(ctx context.Context, tx pgx.Tx) (int, error){
		"redrive": func(ctx context.Context, tx pgx.Tx) (int, error) { return outcomes.Redrive(ctx, tx, at, noon()) },
		"purge":   func(ctx context.Context, tx pgx.Tx) (int, error) { return outcomes.Purge(ctx, tx, at, 10) },
	} {
		var changed, again, read int
		err := e.db.Write(t.Context(), name, func(ctx context.Context, tx pgx.Tx) (err error) {
			if changed, err = change(ctx, tx); err != nil {
				return err
			}
			if again, err = change(ctx, tx); err != nil {
				return err
			}
			if read, err = rows(ctx, tx); err != nil {
				return err
			}
			return pgx.ErrTxClosed // the next one finds the same
		})
		if changed != 500 || again != 0 || read > 2000 {
			t.Errorf("%s: %d changed, then %d, and %d rows read: %v", name, changed, again, read, err)
		}
	}
}

// TestForgetInSeveralTransactions: more than one transaction removes.
func TestForgetInSeveralTransactions(t *testing.T) {
	e := open(t, options{now: noon})
	if _, err := e.Append(t.Context(), logtest.Numbered(t, "k", 3)); err != nil {
		t.Fatal(err)
	}
	const many = 70_000
	kill(t, e, "h", 1, many)
	kill(t, e, "other", 1, 3)
	pgtest.Exec(t, fmt.Sprintf(`UPDATE %s.head SET trimmed = 2`, e.schema))
	name := event.HandlerCursors("h").Position
	if err := e.SetCursor(t.Context(), event.Cursor{Name: name, Seq: many - 1}); err != nil {
		t.Fatal(err)
	}
	b, err := e.LoadBacklog(t.Context(), "h")
	if err != nil || len(b.Done) != 1 || b.Done[0] != many {
		t.Fatalf("%d of the backlog: %v", len(b.Done), err)
	}
	if err := e.StartReplay(t.Context(), "h", 1, many, noon()); err != nil {
		t.Fatal(err)
	}
	if err := e.SetCursor(t.Context(), event.Cursor{Name: name, Seq: many - 1}); err != nil {
		t.Fatal(err)
	}
	if err := e.ForgetHandler(t.Context(), "h"); err != nil {
		t.Fatal(err)
	}
	if b, err := e.LoadBacklog(t.Context(), "h"); err != nil || b.Found {
		t.Errorf("it is known still: %+v, %v", b, err)
	}
	if n, err := e.DeadCounts(t.Context()); err != nil || n["h"] != 0 || n["other"] != 3 {
		t.Errorf("the dead letters are %v: %v", n, err)
	}
	var released int
	if err := e.db.Read(t.Context(), "count", func(ctx context.Context, tx pgx.Tx) error {
		return tx.QueryRow(ctx, `SELECT count(*) FROM released`).Scan(&released)
	}); err != nil || released != 2 {
		t.Errorf("%d events are released: %v", released, err)
	}
}
