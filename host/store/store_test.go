package store_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/berth-host/berth/host/bus"
	"github.com/berth-host/berth/host/bus/logtest"
	"github.com/berth-host/berth/host/store"
)

func open(t testing.TB, cfg store.Config) *store.Store {
	t.Helper()
	if cfg.Path == "" {
		cfg.Path = filepath.Join(t.TempDir(), "berth.db")
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
		{"read from the file", store.Config{RecentEvents: 1}},
		{"read from both", store.Config{RecentEvents: 1000, RecentBytes: 20 << 10}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			logtest.Run(t, func(t *testing.T) bus.Log { return open(t, tt.cfg) })
		})
	}
}

func TestState(t *testing.T) {
	configs := make(map[logtest.State]store.Config)
	keep := func(t *testing.T, cfg store.Config) logtest.State {
		s := open(t, cfg)
		configs[s] = cfg
		return s
	}
	logtest.RunState(t, func(t *testing.T, now func() time.Time) logtest.State {
		return keep(t, store.Config{Now: now, RecentEvents: 5, Path: filepath.Join(t.TempDir(), "berth.db")})
	}, func(t *testing.T, s logtest.State) logtest.State {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		cfg := configs[s]
		delete(configs, s)
		return keep(t, cfg)
	})
}
