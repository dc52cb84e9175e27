package pglog_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"github.com/berth-host/berth/host/bus"
	"github.com/berth-host/berth/host/bus/logtest"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/pgstore"
	"github.com/berth-host/berth/host/pgstore/conn"
	"github.com/berth-host/berth/host/pgstore/pglog"
	"github.com/berth-host/berth/host/pgstore/pgtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(pgtest.Wrap(m)) }

// open returns a log, its database, and what it says is lost.
func open(t *testing.T) (*pglog.Log, *conn.DB, <-chan error) {
	t.Helper()
	db, err := conn.Open(t.Context(), conn.Config{URL: pgtest.URL(t), Schema: pgtest.Schema(t), Migrations: pgstore.Migrations(), MaxConns: 4})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	lost := make(chan error, 1)
	l, err := pglog.Open(t.Context(), pglog.Config{DB: db, Window: bus.NewWindow(bus.WindowConfig{}), Lost: func(err error) { lost <- err }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l, db, lost
}

// A standby that was promoted has everything, or lacks events: the newest one that was seen
// tells, also when the log has grown beyond it again.
func TestPromotedStandby(t *testing.T) {
	l, db, lost := open(t)
	if _, err := l.Append(t.Context(), logtest.Numbered(t, "k", 5)); err != nil {
		t.Fatal(err)
	}
	l.OnTimeline("before", func() {})
	if err := l.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-lost:
		t.Fatalf("nothing is lost: %v", err)
	default:
	}
	// Another host has published other events in place of the lost ones, and more.
	l.OnTimeline("before", func() { replace(t, db) })
	if err := l.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-lost; !fault.Is(err, fault.Unavailable) {
		t.Errorf("got %v", err)
	}
	if all := logtest.ReadAll(t, reader{Log: l}, 1, 10); len(all) != 7 || all[3].Event.Metadata().IdempotencyKey != "other-0" {
		t.Errorf("got %d events", len(all))
	}
}

// replace removes the events above 3 and adds four others.
func replace(t *testing.T, db *conn.DB) {
	t.Helper()
	err := db.Write(t.Context(), "replace", func(ctx context.Context, tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `DELETE FROM events WHERE seq > 3`); err != nil {
			return err
		}
		h, err := pglog.LockHead(ctx, tx)
		if err != nil {
			return err
		}
		h.Seq, h.Events = 3, 3
		_, err = pglog.Insert(ctx, tx, h, logtest.Numbered(t, "other", 4))
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// reader is a log for functions that only read.
type reader struct {
	*pglog.Log
	bus.Schedule
}
