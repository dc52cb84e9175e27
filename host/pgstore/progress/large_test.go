package progress_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/berth-host/berth/host/bus/logtest"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
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

// TestFilterIsComparedInSteps: no statement looks at many dead letters, however few of them a filter
// selects. They are the oldest ones, which come last.
func TestFilterIsComparedInSteps(t *testing.T) {
	e := open(t, options{now: noon})
	events := logtest.Numbered(t, "k", 3)
	if _, err := e.Append(t.Context(), events); err != nil {
		t.Fatal(err)
	}
	const many, step = 30_000, 2048
	pgtest.Exec(t, fmt.Sprintf(`INSERT INTO %s.events SELECT seq, NULL, seq::text::bytea, 'noise', '', 1, '', '' FROM generate_series(4, %d) AS seq`,
		e.schema, many))
	kill(t, e, "h", 1, many)
	kill(t, e, "other", 2, 2)
	pgtest.Exec(t, fmt.Sprintf(`UPDATE %s.deliveries SET error_class = 'timeout', at = 2 WHERE seq < 4`, e.schema))
	e.Close()
	for _, f := range []event.DeadFilter{{Type: string(events[0].Type())}, {Class: "timeout"}, {Handler: "h", Since: time.Unix(0, 2)},
		{Handler: "h", Subject: "none"}} {
		want := 4
		if f.Handler != "" {
			want--
		}
		if f.Subject != "" {
			want = 0
		}
		for _, do := range []struct {
			name string
			run  func(e *engine) (int, error)
		}{
			{"list", func(e *engine) (n int, err error) {
				cursor := ""
				for pages := 0; pages == 0 || cursor != ""; pages++ {
					var page []event.DeadLetter
					if page, cursor, err = e.DeadLetters(t.Context(), f, cursor, 2); err != nil {
						return n, err
					}
					for _, l := range page {
						if l.Seq > 3 {
							t.Errorf("%+v: got the dead letter of %d", f, l.Seq)
						}
					}
					n += len(page)
				}
				return n, nil
			}},
			{"redrive", func(e *engine) (int, error) { return e.Redrive(t.Context(), f) }},
			{"purge", func(e *engine) (int, error) {
				pgtest.Exec(t, fmt.Sprintf(`UPDATE %s.deliveries SET status = 'dead', error_class = 'timeout', at = 2 WHERE seq < 4`, e.schema))
				return e.Purge(t.Context(), f)
			}},
		} {
			before := reads(t, e.schema)
			e := open(t, options{schema: e.schema, now: noon})
			n, err := do.run(e)
			e.Close()
			if n != want || err != nil {
				t.Errorf("%s %+v: got %d, %v; want %d", do.name, f, n, err, want)
			}
			if after := reads(t, e.schema); after.rows-before.rows > step*(after.scans-before.scans) {
				t.Errorf("%s %+v: %d rows read by %d scans", do.name, f, after.rows-before.rows, after.scans-before.scans)
			}
		}
		pgtest.Exec(t, fmt.Sprintf(`UPDATE %s.deliveries SET purged = false WHERE seq < 4`, e.schema))
	}
}

// TestDeadLettersOfOneHandlerAreFound: those of a handler with few are not looked for among those of
// one with many.
func TestDeadLettersOfOneHandlerAreFound(t *testing.T) {
	e := open(t, options{now: noon})
	if _, err := e.Append(t.Context(), logtest.Numbered(t, "k", 3)); err != nil {
		t.Fatal(err)
	}
	kill(t, e, "h", 1, 30_000)
	kill(t, e, "few", 1, 3)
	e.Close()
	before := reads(t, e.schema)
	e = open(t, options{schema: e.schema, now: noon})
	for _, f := range []event.DeadFilter{{Handler: "few"}, {Handler: "few", Class: "trap"}} {
		if list, next, err := e.DeadLetters(t.Context(), f, "", 100); len(list) != 3 || next != "" || err != nil {
			t.Errorf("%+v: got %d, %q, %v", f, len(list), next, err)
		}
	}
	e.Close()
	if n := reads(t, e.schema).rows - before.rows; n > 100 {
		t.Errorf("%d rows read", n)
	}
}

// TestErrorSaysHowManyDeadLettersWereChanged fails the change of the last one, which is in the second
// transaction.
func TestErrorSaysHowManyDeadLettersWereChanged(t *testing.T) {
	e := open(t, options{now: noon})
	const many = 600
	if _, err := e.Append(t.Context(), logtest.Numbered(t, "k", many)); err != nil {
		t.Fatal(err)
	}
	kill(t, e, "h", 1, many)
	pgtest.Exec(t, fmt.Sprintf(`CREATE FUNCTION %[1]s.fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'injected'
		USING ERRCODE = '58030'; END $$; CREATE TRIGGER fail BEFORE UPDATE ON %[1]s.deliveries FOR EACH ROW WHEN (OLD.seq = 1)
		EXECUTE FUNCTION %[1]s.fail()`, e.schema))
	n, err := e.Redrive(t.Context(), event.DeadFilter{})
	if n != 512 || !fault.Is(err, fault.Unavailable) || !strings.Contains(err.Error(), "512 of them were changed before") {
		t.Errorf("got %d, %v", n, err)
	}
	pgtest.Exec(t, fmt.Sprintf(`DROP FUNCTION %s.fail CASCADE`, e.schema))
	if n, err = e.Redrive(t.Context(), event.DeadFilter{}); n != many-512 || err != nil {
		t.Errorf("repeated: got %d, %v", n, err)
	}
}

// read counts the scans of the indexes of deliveries, and the rows that they have found.
type read struct{ scans, rows int }

func reads(t *testing.T, schema string) (r read) {
	t.Helper()
	scans(t, schema) // waits for the counts of connections that have ended
	c, err := pgx.Connect(t.Context(), pgtest.URL(t))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(context.WithoutCancel(t.Context())) //nolint:errcheck // it only reads
	if err := c.QueryRow(t.Context(), `SELECT sum(idx_scan), sum(idx_tup_read) FROM pg_stat_user_indexes WHERE schemaname = $1
		AND relname = 'deliveries'`, schema).Scan(&r.scans, &r.rows); err != nil {
		t.Fatal(err)
	}
	return r
}
