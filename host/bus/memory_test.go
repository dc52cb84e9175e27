package bus_test

import (
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/berth-host/berth/host/bus"
	"github.com/berth-host/berth/host/bus/logtest"
	"github.com/berth-host/berth/host/bus/logtest/effecttest"
	"github.com/berth-host/berth/host/bus/logtest/kvtest"
	"github.com/berth-host/berth/host/bus/logtest/modeltest"
	"github.com/berth-host/berth/host/bus/logtest/pasttest"
	"github.com/berth-host/berth/host/bus/logtest/scheduletest"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newMemory(t testing.TB, cfg bus.MemoryConfig) *bus.Memory {
	m := bus.NewMemory(cfg)
	t.Cleanup(func() { m.Close() })
	return m
}

func TestMemory(t *testing.T) {
	logtest.Run(t, func(t *testing.T, now func() time.Time) bus.Log { return newMemory(t, bus.MemoryConfig{Now: now}) })
	open := func(t *testing.T, now func() time.Time) bus.Engine { return newMemory(t, bus.MemoryConfig{Now: now}) }
	logtest.RunState(t, open)
	pasttest.Run(t, func(t *testing.T) bus.Engine { return newMemory(t, bus.MemoryConfig{}) })
	t.Run("model", func(t *testing.T) { modeltest.Run(t, open, nil) })
	t.Run("scheduled", func(t *testing.T) { scheduletest.Run(t, open, nil) })
}

func TestMemoryKV(t *testing.T) {
	kvtest.Run(t, func(t *testing.T, quota int64) bus.Engine { return newMemory(t, bus.MemoryConfig{KVBytes: quota}) })
	kvtest.RunLimits(t, func(t *testing.T, quota int64, now func() time.Time) bus.Engine {
		return newMemory(t, bus.MemoryConfig{KVBytes: quota, Now: now})
	})
}

func TestMemoryEffects(t *testing.T) {
	effecttest.Run(t, func(t *testing.T, quota int64, now func() time.Time) effecttest.Engine {
		return effecttest.Engine{Engine: newMemory(t, bus.MemoryConfig{KVBytes: quota, Now: now})}
	})
}

func TestMemoryIsFull(t *testing.T) {
	one := logtest.Make(t, event.Draft{Time: time.Unix(1, 0)})
	m := newMemory(t, bus.MemoryConfig{MaxBytes: one.Size()})
	appendOne := func(ev *event.Event) error {
		_, err := m.Append(t.Context(), []*event.Event{ev})
		return err
	}
	if err := appendOne(one); err != nil {
		t.Fatal(err)
	}
	next := logtest.Make(t, event.Draft{Time: time.Unix(1, 0)})
	if err := appendOne(next); !fault.Is(err, fault.Exhausted) {
		t.Errorf("over the bound: got %v, want %s", err, fault.Exhausted)
	}
	if _, err := m.Trim(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	if err := appendOne(next); err != nil {
		t.Errorf("after Trim: %v", err)
	}
}
