package store_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/berth-host/berth/host/bus"
	"github.com/berth-host/berth/host/bus/logtest"
	"github.com/berth-host/berth/host/bus/logtest/modeltest"
	"github.com/berth-host/berth/host/bus/logtest/pasttest"
	"github.com/berth-host/berth/host/bus/logtest/scheduletest"
	"github.com/berth-host/berth/host/store"
)

func newWindow() *bus.Window { return bus.NewWindow(bus.WindowConfig{}) }

func open(t testing.TB, cfg store.Config) *store.Store {
	t.Helper()
	if cfg.Path == "" {
		cfg.Path = filepath.Join(t.TempDir(), "berth.db")
	}
	if cfg.Window == nil {
		cfg.Window = newWindow()
	}
	s, err := store.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return s
}

func TestLog(t *testing.T) {
	for _, tt := range []struct {
		name string
		cfg  store.Config
	}{
		{"read from memory", store.Config{}},
		{"read from the file", store.Config{Window: bus.NewWindow(bus.WindowConfig{Events: 1})}},
		{"read from both", store.Config{Window: bus.NewWindow(bus.WindowConfig{Events: 1000, Bytes: 20 << 10})}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			logtest.Run(t, func(t *testing.T, now func() time.Time) bus.Log {
				cfg := tt.cfg
				cfg.Now = now
				return open(t, cfg)
			})
		})
	}
}

func TestState(t *testing.T) {
	configs := make(map[bus.Engine]store.Config)
	keep := func(t *testing.T, cfg store.Config) bus.Engine {
		s := open(t, cfg)
		configs[s] = cfg
		return s
	}
	empty := func(t *testing.T, now func() time.Time) bus.Engine {
		return keep(t, store.Config{Now: now, Window: bus.NewWindow(bus.WindowConfig{Events: 5}), Path: filepath.Join(t.TempDir(), "berth.db")})
	}
	logtest.RunState(t, empty)
	pasttest.Run(t, func(t *testing.T) bus.Engine { return empty(t, time.Now) })
	reopen := func(t *testing.T, s bus.Engine) bus.Engine {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		cfg := configs[s]
		delete(configs, s)
		return keep(t, cfg)
	}
	t.Run("model", func(t *testing.T) { modeltest.Run(t, empty, reopen) })
	t.Run("scheduled", func(t *testing.T) { scheduletest.Run(t, empty, reopen) })
}
