package progress_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/berth-host/berth/host/bus"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/pgstore/conn"
	"github.com/berth-host/berth/host/pgstore/keyvalue"
	"github.com/berth-host/berth/host/pgstore/pglog"
	"github.com/berth-host/berth/host/pgstore/pgtest"
	"github.com/berth-host/berth/host/pgstore/progress"
	"github.com/berth-host/berth/host/pgstore/shelf"
	"github.com/berth-host/berth/host/pgstore/timed"
)

func TestMain(m *testing.M) { pgtest.Start(m) }

type kvState = keyvalue.State

// engine joins this package with the other parts of an engine. The suites that state what an
// engine does run on the whole of it, in package pgstore.
type engine struct {
	*pglog.Log
	*progress.State
	*kvState
	*shelf.Shelf
	*timed.Schedule
	db     *conn.DB
	schema string
	once   sync.Once
}

func (e *engine) Close() error {
	e.once.Do(func() {
		e.Schedule.Close()
		e.kvState.Close()
		e.Log.Close()
		e.db.Close()
	})
	return nil
}

// options sets up an engine; the zero value has the defaults.
type options struct {
	schema string // "" for a new one
	quota  int64
	now    func() time.Time
}

func open(t testing.TB, o options) *engine {
	t.Helper()
	ctx := context.Background()
	if o.schema == "" {
		o.schema = pgtest.Schema(t)
	}
	db, err := conn.Open(ctx, conn.Config{URL: pgtest.URL(t), Schema: o.schema,
		Migrations: []string{conn.Units + pglog.Schema + progress.Schema + keyvalue.Schema + shelf.Schema + timed.Schema, timed.SchemaBytes}})
	if err != nil {
		t.Fatal(err)
	}
	log, err := pglog.Open(ctx, pglog.Config{DB: db, Window: bus.NewWindow(bus.WindowConfig{}), Now: o.now})
	if err != nil {
		t.Fatal(err)
	}
	e := &engine{Log: log, db: db, schema: o.schema, Shelf: shelf.New(db), kvState: keyvalue.New(keyvalue.Config{DB: db, Quota: o.quota, Now: o.now}),
		Schedule: timed.New(timed.Config{DB: db, Now: o.now})}
	e.State = progress.New(progress.Config{DB: db, Event: log.Event, LogLimit: log.LogLimit, Quota: o.quota, Now: o.now, Published: func([]event.Receipt) {
		log.CatchUp(context.Background()) //nolint:errcheck // the log repeats it
		log.Notify()
	}})
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}
