package pgstore_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/berth-host/berth/host/bus"
	"github.com/berth-host/berth/host/bus/logtest"
	"github.com/berth-host/berth/host/bus/logtest/effecttest"
	"github.com/berth-host/berth/host/bus/logtest/kvtest"
	"github.com/berth-host/berth/host/bus/logtest/modeltest"
	"github.com/berth-host/berth/host/bus/logtest/pasttest"
	"github.com/berth-host/berth/host/bus/logtest/scheduletest"
	"github.com/berth-host/berth/host/bus/logtest/sharedtest"
	"github.com/berth-host/berth/host/pgstore"
	"github.com/berth-host/berth/host/pgstore/pgtest"
	"github.com/berth-host/berth/host/spec"
)

// openWith opens a store, in a fresh schema unless one is given, and closes it when the test
// ends.
func openWith(t testing.TB, cfg pgstore.Config) *pgstore.Store {
	t.Helper()
	if cfg.URL == "" {
		cfg.URL = pgtest.URL(t)
	}
	if cfg.Schema == "" {
		cfg.Schema = pgtest.Schema(t)
	}
	if cfg.Window == nil {
		cfg.Window = bus.NewWindow(bus.WindowConfig{})
	}
	if cfg.MaxConns == 0 {
		cfg.MaxConns = 6
	}
	s, err := pgstore.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// reopener opens stores, and opens the data of one again.
type reopener map[bus.Engine]pgstore.Config

func (r reopener) open(t *testing.T, now func() time.Time) bus.Engine {
	return r.with(t, pgstore.Config{Schema: pgtest.Schema(t), Now: now})
}

func (r reopener) with(t *testing.T, cfg pgstore.Config) bus.Engine {
	s := openWith(t, cfg)
	r[s] = cfg
	return s
}

func (r reopener) reopen(t *testing.T, s bus.Engine) bus.Engine {
	s.Close() //nolint:errcheck // it returns none
	cfg := r[s]
	cfg.Window = nil
	return r.with(t, cfg)
}

func TestLog(t *testing.T) {
	logtest.Run(t, func(t *testing.T, now func() time.Time) bus.Log { return openWith(t, pgstore.Config{Now: now}) })
}

// A small window has readers read from the database.
func TestLogWithSmallWindow(t *testing.T) {
	logtest.Run(t, func(t *testing.T, now func() time.Time) bus.Log {
		return openWith(t, pgstore.Config{Now: now, Window: bus.NewWindow(bus.WindowConfig{Events: 3})})
	})
}

func TestState(t *testing.T) {
	logtest.RunState(t, reopener{}.open)
	pasttest.Run(t, func(t *testing.T) bus.Engine { return reopener{}.open(t, nil) })
}

func TestModel(t *testing.T) {
	r := reopener{}
	modeltest.Run(t, r.open, r.reopen)
}

func TestSchedule(t *testing.T) {
	r := reopener{}
	scheduletest.Run(t, r.open, r.reopen)
}

func TestKeyValue(t *testing.T) {
	kvtest.Run(t, func(t *testing.T, quota int64) bus.Engine { return openWith(t, pgstore.Config{KVBytes: quota}) })
	kvtest.RunLimits(t, func(t *testing.T, quota int64, now func() time.Time) bus.Engine {
		return openWith(t, pgstore.Config{KVBytes: quota, Now: now})
	})
}

func TestEffects(t *testing.T) {
	effecttest.Run(t, func(t *testing.T, quota int64, now func() time.Time) effecttest.Engine {
		r, cfg := reopener{}, pgstore.Config{Schema: pgtest.Schema(t), KVBytes: quota, Now: now}
		s := r.with(t, cfg)
		return effecttest.Engine{Engine: s, Restart: func() bus.Engine { return r.reopen(t, s) }}
	})
}

func TestTwoHosts(t *testing.T) {
	sharedtest.Run(t, func(t *testing.T) (one, two bus.Engine) {
		schema := pgtest.Schema(t)
		return openWith(t, pgstore.Config{Schema: schema}), openWith(t, pgstore.Config{Schema: schema})
	})
}

func TestFences(t *testing.T) {
	sharedtest.RunFenced(t, func(t *testing.T) sharedtest.Cluster {
		s := openWith(t, pgstore.Config{})
		l, err := s.Ledger()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(l.Close)
		return sharedtest.Cluster{Engine: s, Take: func(t testing.TB, name string) spec.Fence {
			t.Helper()
			view, err := l.Beat(t.Context(), spec.Beating{Member: spec.Member{ID: "host-" + name, Name: name}})
			if err != nil {
				t.Fatal(err)
			}
			unit := spec.Unit{}
			for _, u := range view.Units {
				if u.Name == name {
					unit = u
				}
			}
			epoch, err := l.Take(t.Context(), name, unit, "host-"+name)
			if err != nil {
				t.Fatal(err)
			}
			return spec.Fence{Unit: name, Epoch: epoch}
		}}
	})
}

// exec changes the database beside the engine.
func exec(t testing.TB, statement string, args ...any) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	c, err := pgx.Connect(ctx, pgtest.URL(t))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(ctx) //nolint:errcheck // everything is committed
	if _, err := c.Exec(ctx, statement, args...); err != nil {
		t.Fatal(err)
	}
}
