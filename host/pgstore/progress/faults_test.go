package progress_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/berth-host/berth/host/bus/logtest"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/pgstore/pgtest"
	"github.com/berth-host/berth/host/spec"
)

// noon is the time of all hosts in these tests, so that two engines that did the same have
// equal tables.
func noon() time.Time { return time.Unix(1_800_000_000, 0).UTC() }

// at is a time of outcomes.
func at(seconds int64) time.Time { return time.Unix(seconds, 0).UTC() }

// tables are what the engine stores, by table, except for what differs between two engines that
// did the same: the id of the log, and the ids of attempts, of which only the order counts.
var tables = map[string]string{
	"head":   "seq, events, bytes, at, trimmed, scheduled, cancelled",
	"events": "seq, idempotency_key, type, subject, envelope", "deliveries": "*", "outcome_blocks": "*", "attempt_logs": "*", "cursors": "*", "replays": "*", "released": "*", "kv": "*", "kv_usage": "*",
	"attempts": "handler, seq, row_number() OVER (PARTITION BY handler ORDER BY id), number, at, status, class, message, logs, log_size",
}

// dump returns the content of all tables.
func dump(t testing.TB, e *engine) string {
	t.Helper()
	var text []string
	err := e.db.Read(t.Context(), "dump", func(ctx context.Context, tx pgx.Tx) error {
		text = nil
		for _, table := range slices.Sorted(maps.Keys(tables)) {
			var rows string
			if err := tx.QueryRow(ctx, `SELECT coalesce(string_agg(t::text, E'\n' ORDER BY t::text COLLATE "C"), '') FROM (SELECT `+tables[table]+
				` FROM `+table+`) AS t`).Scan(&rows); err != nil {
				return err
			}
			text = append(text, table+":", rows)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(text, "\n")
}

// change is a writing method, and the tables that it changes when prepare was called before.
type change struct {
	name   string
	tables string
	do     func(ctx context.Context, e *engine) error
}

// effects returns those of a key that was read as absent, and one write.
func effects(key, value string) *event.Effects {
	return &event.Effects{Plugin: "p", Reads: []event.EffectRead{{Key: "none"}}, Writes: []event.EffectWrite{{Key: key, Value: []byte(value)}}}
}

// prepare stores 12 events and outcomes of h: 1 and 2 are dead letters, 3 waits for a retry,
// 4 to 9 are done, the log is trimmed to 2.
func prepare(t testing.TB, e *engine, events []*event.Event) {
	t.Helper()
	ctx := t.Context()
	if _, err := e.Append(ctx, events); err != nil {
		t.Fatal(err)
	}
	done := event.Successes{Handler: "h"}
	for seq := uint64(4); seq <= 9; seq++ {
		done.Append(seq, event.Success{At: at(5)}, []byte("1"))
	}
	dead := func(seq uint64) event.Delivery {
		return event.Delivery{Handler: "h", Seq: seq, Status: event.StatusDead, Attempts: 1, ErrorClass: event.ClassTrap, ErrorMessage: "boom", At: at(4),
			Logs: []spec.GuestLine{{At: at(4), Level: "info", Message: "line"}}}
	}
	retrying := dead(3)
	retrying.Status, retrying.Due = event.StatusRetrying, at(6)
	if _, _, err := e.SaveDeliveries(ctx, nil, []event.Successes{done}, []event.Delivery{dead(1), dead(2), retrying},
		[]event.Cursor{{Name: "handler/h", Seq: 9}}); err != nil {
		t.Fatal(err)
	}
	if n, err := e.Trim(ctx, 3); n != 0 || err != nil {
		t.Fatal(n, err)
	}
}

func changes(t testing.TB) []change {
	child := func(key string) []*event.Event {
		return []*event.Event{logtest.Make(t, event.Draft{IdempotencyKey: key, Data: []byte(`{"a":1}`)})}
	}
	children := [][]*event.Event{child("c1"), child("c2")}
	return []change{
		{"save", "outcome_blocks deliveries attempts attempt_logs cursors events head kv kv_usage released", func(ctx context.Context, e *engine) error {
			more := event.Successes{Handler: "h"}
			for _, seq := range []uint64{2, 3, 10, 12} { // in place of a dead letter, and of one that waits
				more.Append(seq, event.Success{At: at(20)}, []byte("2"))
			}
			saved, _, err := e.SaveDeliveries(ctx, nil, []event.Successes{more}, []event.Delivery{
				{Handler: "h", Seq: 11, Status: event.StatusRetrying, Attempts: 1, At: at(20), Due: at(30), ErrorClass: event.ClassRetry, ErrorMessage: "later",
					Logs: []spec.GuestLine{{At: at(20), Level: "info", Message: "again"}}},
				{Handler: "i", Seq: 10, Status: event.StatusOK, Attempts: 1, At: at(20), FirstAttempt: at(20), Children: children[0]},
				{Handler: "j", Seq: 10, Status: event.StatusOK, Attempts: 2, At: at(20), FirstAttempt: at(19), Children: children[1], Effects: effects("key", "v")},
			}, []event.Cursor{{Name: "handler/h", Seq: 12}, {Name: "handler/j", Seq: 10}})
			if err == nil && len(saved.Refused)+len(saved.Conflicts) > 0 {
				err = fmt.Errorf("refused: %+v", saved)
			}
			return err
		}},
		{"redrive", "deliveries", func(ctx context.Context, e *engine) error {
			_, err := e.Redrive(ctx, event.DeadFilter{Handler: "h"})
			return err
		}},
		{"purge", "deliveries released", func(ctx context.Context, e *engine) error {
			_, err := e.Purge(ctx, event.DeadFilter{Handler: "h"})
			return err
		}},
		{"requeue", "deliveries", func(ctx context.Context, e *engine) error {
			_, err := e.Requeue(ctx, "h", []uint64{1, 4, 8})
			return err
		}},
		{"replay", "replays cursors", func(ctx context.Context, e *engine) error { return e.StartReplay(ctx, "h", 4, 8, at(50)) }},
		{"set a cursor", "cursors", func(ctx context.Context, e *engine) error {
			return e.SetCursor(ctx, event.Cursor{Name: "handler/h", Seq: 4})
		}},
		{"forget", "cursors deliveries outcome_blocks attempts attempt_logs released", func(ctx context.Context, e *engine) error { return e.ForgetHandler(ctx, "h") }},
		{"trim", "events head outcome_blocks", func(ctx context.Context, e *engine) error {
			_, err := e.Trim(ctx, 13)
			return err
		}},
	}
}

// failures are how a statement fails: the server refuses it, or ends the connection.
var failures = []string{
	`RAISE EXCEPTION 'injected' USING ERRCODE = '58030'`,
	`PERFORM pg_terminate_backend(pg_backend_pid())`,
}

// arm makes every change of a row of a table do this, until the returned function is called.
func arm(t testing.TB, e *engine, table, action string) (disarm func()) {
	t.Helper()
	pgtest.Exec(t, fmt.Sprintf(`CREATE FUNCTION %[1]s.inject() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN %[3]s; RETURN coalesce(NEW, OLD); END $$;
		CREATE TRIGGER inject BEFORE INSERT OR UPDATE OR DELETE ON %[1]s.%[2]s FOR EACH ROW EXECUTE FUNCTION %[1]s.inject()`, e.schema, table, action))
	return func() { pgtest.Exec(t, fmt.Sprintf(`DROP FUNCTION %s.inject CASCADE`, e.schema)) }
}

// TestFaults fails every step of each writing method, once each: the call returns an error,
// and the database has nothing of the change. Calling it again stores the whole of it, and a
// caller that does not know that calls it a third time, which changes nothing more.
func TestFaults(t *testing.T) {
	events := logtest.Numbered(t, "k", 12)
	for _, c := range changes(t) {
		want := open(t, options{now: noon})
		prepare(t, want, events)
		if err := c.do(t.Context(), want); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		after := dump(t, want)
		for n, table := range strings.Fields(c.tables) {
			for i, action := range failures {
				if c.name != "save" && n%len(failures) != i {
					continue
				}
				t.Run(c.name+"/"+table+"/"+[]string{"refused", "ended"}[i], func(t *testing.T) {
					e := open(t, options{now: noon})
					prepare(t, e, events)
					before := dump(t, e)
					disarm := arm(t, e, table, action)
					if err := c.do(t.Context(), e); !fault.Is(err, fault.Unavailable) {
						t.Errorf("got %v, want unavailable", err)
					}
					disarm()
					if got := dump(t, e); got != before {
						t.Errorf("after the failure: got\n%s\nwant\n%s", got, before)
					}
					for _, call := range []string{"again", "repeated"} {
						if err := c.do(t.Context(), e); err != nil {
							t.Fatalf("%s: %v", call, err)
						}
						if got := dump(t, e); got != after {
							t.Errorf("%s: got\n%s\nwant\n%s", call, got, after)
						}
					}
				})
			}
		}
	}
}

// blocked returns a session that keeps an advisory lock on which the armed table waits, and a
// function that returns when a transaction does wait.
func blocked(t testing.TB, e *engine, table string) (session *pgx.Conn, waiting func()) {
	t.Helper()
	ctx := t.Context()
	session, err := pgx.Connect(ctx, pgtest.URL(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { session.Close(context.Background()) }) //nolint:errcheck // the server may be gone
	if _, err := session.Exec(ctx, `SELECT pg_advisory_lock(77)`); err != nil {
		t.Fatal(err)
	}
	arm(t, e, table, `PERFORM pg_advisory_xact_lock(77)`)
	return session, func() {
		for n := 0; n == 0; {
			if err := session.QueryRow(ctx, `SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 77 AND NOT granted`).Scan(&n); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestServerKilled kills the server while it executes a step of each change, as a power failure
// does, and starts it again.
func TestServerKilled(t *testing.T) {
	events := logtest.Numbered(t, "k", 12)
	for _, c := range changes(t) {
		if c.name != "save" && c.name != "forget" {
			continue
		}
		want := open(t, options{now: noon})
		prepare(t, want, events)
		if err := c.do(t.Context(), want); err != nil {
			t.Fatal(err)
		}
		after := dump(t, want)
		for _, table := range []string{"outcome_blocks", "cursors"} {
			t.Run(c.name+"/"+table, func(t *testing.T) {
				e := open(t, options{now: noon})
				prepare(t, e, events)
				before := dump(t, e)
				_, waiting := blocked(t, e, table)
				result := make(chan error, 1)
				go func() { result <- c.do(context.WithoutCancel(t.Context()), e) }()
				waiting()
				pgtest.Kill(t)
				if err := <-result; !fault.Is(err, fault.Unavailable) || fault.RetryAfter(err) <= 0 {
					t.Errorf("got %v, want unavailable for a while", err)
				}
				pgtest.Restart(t)
				pgtest.Exec(t, fmt.Sprintf(`DROP FUNCTION %s.inject CASCADE`, e.schema))
				if got := dump(t, e); got != before {
					t.Errorf("after the restart: got\n%s\nwant\n%s", got, before)
				}
				if err := c.do(t.Context(), e); err != nil {
					t.Fatal(err)
				}
				if got := dump(t, e); got != after {
					t.Errorf("again: got\n%s\nwant\n%s", got, after)
				}
			})
		}
	}
}

// TestRefusedContent: what the database refuses for its content concerns one delivery, and no
// other of the call.
func TestRefusedContent(t *testing.T) {
	e := open(t, options{now: noon})
	prepare(t, e, logtest.Numbered(t, "k", 12))
	pgtest.Exec(t, fmt.Sprintf(`ALTER TABLE %[1]s.deliveries ADD CHECK (octet_length(result) < 1000 AND octet_length(error_message) < 1000);
		ALTER TABLE %[1]s.events ADD CHECK (subject <> 'unwanted')`, e.schema))
	long := strings.Repeat("x", 1000)
	child := func(key, subject string) []*event.Event {
		return []*event.Event{logtest.Make(t, event.Draft{IdempotencyKey: key, Subject: subject})}
	}
	ok := func(seq uint64) event.Delivery {
		return event.Delivery{Handler: "i", Seq: seq, Status: event.StatusOK, Attempts: 2, At: at(20), FirstAttempt: at(19)}
	}
	first, large, unwanted, retrying, last := ok(1), ok(4), ok(5), ok(6), ok(7)
	first.Children, unwanted.Children, last.Children = child("first", "s"), child("unwanted", "unwanted"), child("last", "s")
	large.Result = `"` + long + `"`
	retrying.Status, retrying.ErrorClass, retrying.ErrorMessage = event.StatusRetrying, event.ClassRetry, long
	first.Effects, unwanted.Effects, last.Effects = effects("first", "1"), effects("unwanted", "1"), effects("last", "1")
	saved, _, err := e.SaveDeliveries(t.Context(), nil, nil, []event.Delivery{first, large, unwanted, retrying, last}, []event.Cursor{{Name: "handler/i", Seq: 7}})
	if err != nil || len(saved.Refused) != 2 || len(saved.Conflicts) > 0 {
		t.Fatalf("got %+v, %v", saved, err)
	}
	for seq, want := range map[uint64]struct {
		status event.Status
		class  event.Class
	}{
		1: {event.StatusOK, ""}, 4: {event.StatusDead, event.ClassBadResult}, 5: {event.StatusDead, event.ClassConflict},
		6: {event.StatusRetrying, event.ClassRetry}, 7: {event.StatusOK, ""},
	} {
		list, err := e.Deliveries(t.Context(), seq)
		i := slices.IndexFunc(list, func(d event.Delivery) bool { return d.Handler == "i" })
		if err != nil || i < 0 || list[i].Status != want.status || list[i].ErrorClass != want.class {
			t.Errorf("event %d: got %+v, %v, want %+v", seq, list, err, want)
		}
	}
	for key, want := range map[string]bool{"first": true, "unwanted": false, "last": true} {
		_, err := e.Event(t.Context(), key)
		_, found, err2 := e.KVGet(t.Context(), "p", key)
		if (err == nil) != want || found != want || err2 != nil {
			t.Errorf("%s: the child %v, the key %v, %v; want %v", key, err, found, err2, want)
		}
	}
}
