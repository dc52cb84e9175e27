package pgstore_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/berth-host/berth/host/bus/logtest"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/pgstore"
	"github.com/berth-host/berth/host/pgstore/ledger"
	"github.com/berth-host/berth/host/pgstore/pgtest"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/wire"
)

// steps is a store whose statements can be made to fail.
type steps struct {
	*pgstore.Store
	ledger *ledger.Ledger
	schema string
	clock  atomic.Int64 // seconds
}

func sumOf(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

var module = []byte("\x00asm")

// openSteps returns a store with state, documents, modules, scheduled events, members and units.
func openSteps(t *testing.T) *steps {
	t.Helper()
	s := &steps{schema: pgtest.Schema(t)}
	s.clock.Store(1_000_000)
	s.Store = openWith(t, pgstore.Config{Schema: s.schema, Now: func() time.Time { return time.Unix(s.clock.Load(), 0) }})
	var err error
	if s.ledger, err = s.Ledger(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.ledger.Close)
	ctx := t.Context()
	var events []*event.Event
	for _, key := range []string{"due", "cancelled", "open"} {
		events = append(events, logtest.Make(t, event.Draft{IdempotencyKey: key,
			Deferral: event.Deferral{After: time.Minute}}))
	}
	_, appended := s.Append(ctx, events)
	_, cancelled := s.CancelScheduled(ctx, "cancelled")
	_, shared := s.Share(ctx, spec.SharedDocument{Kind: "setting", ID: "p", Body: []byte("1")})
	_, beat := s.ledger.Beat(ctx, member)
	_, taken := s.ledger.Take(ctx, "unit", spec.Unit{}, member.ID)
	err = errors.Join(appended, cancelled, shared, beat, taken, s.KVSet(ctx, "p", "k", []byte("v")), s.KVSet(ctx, "p", "l", nil),
		s.PutDocuments(ctx, []event.Document{{Kind: "x", ID: "old", Body: "1"}}), s.PutModule(ctx, sumOf(module), module),
		s.ledger.Ask(ctx, command("asked")))
	if err != nil {
		t.Fatal(err)
	}
	pgtest.Exec(t, fmt.Sprintf(`UPDATE %s.modules SET stored_at = stored_at - interval '1 day'`, s.schema))
	return s
}

var member = spec.Beating{Member: spec.Member{ID: "host"}, Beat: 1}

func command(id string) spec.ClusterCommand {
	return spec.ClusterCommand{ID: id, Unit: "unit", Method: "redrive", Body: []byte("{}")}
}

// dump returns what is in the tables, without what depends on the clock of the server.
func (s *steps) dump(t *testing.T) string {
	t.Helper()
	ctx := t.Context()
	c, err := pgx.Connect(ctx, pgtest.URL(t))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(ctx) //nolint:errcheck // it only reads
	var text strings.Builder
	for _, table := range strings.Fields("head events scheduled kv kv_usage documents shared revisions modules members units commands orders") {
		var rows string
		if err := c.QueryRow(ctx, fmt.Sprintf(`SELECT coalesce(string_agg(r, E'\n' ORDER BY r), '') FROM (SELECT (to_jsonb(t)
			- '{id,store,stored_at,asked_at,answered_at}'::text[])::text AS r FROM %s.%s AS t) AS rows`, s.schema, table)).Scan(&rows); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&text, "%s\n%s\n", table, rows)
	}
	return text.String()
}

// arm makes every change of a row of a table do this, until the returned function is called.
func arm(t testing.TB, schema, table, action string) (disarm func()) {
	t.Helper()
	pgtest.Exec(t, fmt.Sprintf(`CREATE FUNCTION %[1]s.inject() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN %[3]s; RETURN coalesce(NEW, OLD); END $$;
		CREATE TRIGGER inject BEFORE INSERT OR UPDATE OR DELETE ON %[1]s.%[2]s FOR EACH ROW EXECUTE FUNCTION %[1]s.inject()`, schema, table, action))
	return func() { pgtest.Exec(t, fmt.Sprintf(`DROP FUNCTION %s.inject CASCADE`, schema)) }
}

// TestEachStepFails fails every table that a method changes, by an error and by the end of the
// connection: the call returns an error, and the database has nothing of the change. Calling it
// again stores the whole of it, and a caller that does not know that, and calls it a third time,
// changes nothing more.
func TestEachStepFails(t *testing.T) {
	changes := []struct {
		name   string
		tables string
		again  fault.Code // of the third call
		do     func(context.Context, *steps) error
	}{
		{"set", "kv kv_usage", "", func(ctx context.Context, s *steps) error { return s.KVSet(ctx, "q", "k", []byte("w")) }},
		{"replace", "kv kv_usage", "", func(ctx context.Context, s *steps) error { return s.KVSet(ctx, "p", "k", []byte("longer")) }},
		{"swap", "kv kv_usage", fault.Conflict, func(ctx context.Context, s *steps) error { return s.KVCAS(ctx, "p", "k", []byte("v"), []byte("w")) }},
		{"delete", "kv kv_usage", "", func(ctx context.Context, s *steps) error { return s.KVDelete(ctx, "p", "k") }},
		{"expire", "kv kv_usage", "", func(ctx context.Context, s *steps) error { return s.KVExpire(ctx, "p", "k", time.Unix(1<<33, 0)) }},
		{"clear", "kv kv_usage", "", func(ctx context.Context, s *steps) error { return s.KVClear(ctx, "p") }},
		{"order", "orders events head", fault.Conflict, func(ctx context.Context, s *steps) error {
			o := wire.Order{ID: "A-1", CustomerID: "c", Currency: "EUR", Status: "pending", Version: 1}
			_, stored, err := s.Orders().InsertOrder(ctx, o, logtest.Make(t, event.Draft{IdempotencyKey: "order"}))
			if err == nil && !stored {
				err = fault.New(fault.Conflict, "there is such an order")
			}
			return err
		}},
		{"documents", "documents", "", func(ctx context.Context, s *steps) error {
			return s.PutDocuments(ctx, []event.Document{{Kind: "x", ID: "new", Body: "2"}, {Kind: "x", ID: "old"}})
		}},
		{"share", "revisions shared", fault.Conflict, func(ctx context.Context, s *steps) error {
			_, err := s.Share(ctx, spec.SharedDocument{Kind: "setting", ID: "p", Body: []byte("2"), Revision: 1})
			return err
		}},
		{"put a module", "modules", "", func(ctx context.Context, s *steps) error {
			content := make([]byte, 3<<20)
			return s.PutModule(ctx, sumOf(content), content)
		}},
		{"remove modules", "modules", "", func(ctx context.Context, s *steps) error { return s.RemoveModules(ctx, nil) }},
		{"move", "scheduled events head", "", func(ctx context.Context, s *steps) error {
			_, _, err := s.MoveDue(ctx, time.Unix(1_000_061, 0), 10)
			return err
		}},
		{"cancel", "scheduled head", fault.NotFound, func(ctx context.Context, s *steps) error { _, err := s.CancelScheduled(ctx, "due"); return err }},
		{"trim", "scheduled head", "", func(ctx context.Context, s *steps) error {
			_, err := s.TrimCancelled(ctx, time.Unix(1_000_001, 0))
			return err
		}},
		{"beat", "members", "", func(ctx context.Context, s *steps) error {
			_, err := s.ledger.Beat(ctx, spec.Beating{Member: member.Member, Beat: 2})
			return err
		}},
		{"take", "units", fault.Conflict, func(ctx context.Context, s *steps) error {
			_, err := s.ledger.Take(ctx, "unit", spec.Unit{Owner: member.ID, Epoch: 1}, member.ID)
			return err
		}},
		{"take a new one", "units", fault.Conflict, func(ctx context.Context, s *steps) error {
			_, err := s.ledger.Take(ctx, "other", spec.Unit{}, member.ID)
			return err
		}},
		{"give", "units", "", func(ctx context.Context, s *steps) error {
			return s.ledger.Give(ctx, spec.Fence{Unit: "unit", Epoch: 1})
		}},
		{"leave", "members units", "", func(ctx context.Context, s *steps) error { return s.ledger.Leave(ctx, member.ID) }},
		{"remove members", "members units", "", func(ctx context.Context, s *steps) error { return s.ledger.Expire(ctx, []spec.Beating{member}) }},
		{"ask", "commands", "", func(ctx context.Context, s *steps) error { return s.ledger.Ask(ctx, command("new")) }},
		{"answer", "commands", "", func(ctx context.Context, s *steps) error { return s.ledger.Answer(ctx, "asked", []byte("1"), "") }},
	}
	for _, c := range changes {
		t.Run(c.name, func(t *testing.T) {
			s := openSteps(t)
			before := s.dump(t)
			for _, table := range strings.Fields(c.tables) {
				for _, action := range []string{`RAISE EXCEPTION 'injected' USING ERRCODE = '58030'`, `PERFORM pg_terminate_backend(pg_backend_pid())`} {
					disarm := arm(t, s.schema, table, action)
					if err := c.do(t.Context(), s); !fault.Is(err, fault.Unavailable) || fault.RetryAfter(err) <= 0 {
						t.Errorf("%s, %s: got %v, want unavailable", table, action, err)
					}
					disarm()
					if got := s.dump(t); got != before {
						t.Fatalf("%s, %s: got\n%s\nwant\n%s", table, action, got, before)
					}
				}
			}
			logtest.WantCode(t, "again", c.do(t.Context(), s), "")
			after := s.dump(t)
			if after == before {
				t.Error("nothing has changed")
			}
			logtest.WantCode(t, "repeated", c.do(t.Context(), s), c.again)
			if got := s.dump(t); got != after {
				t.Errorf("repeated: got\n%s\nwant\n%s", got, after)
			}
		})
	}
}
