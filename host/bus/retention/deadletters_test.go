package retention

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/berth-host/berth/host/bus"
	"github.com/berth-host/berth/host/bus/logtest"
	"github.com/berth-host/berth/host/config"
	"github.com/berth-host/berth/host/delivery"
	"github.com/berth-host/berth/host/event"
)

// unread is a log without subscribers.
type unread struct{ *bus.Memory }

// Subscribe implements delivery.Log.
func (unread) Subscribe(uint64) delivery.Reader { return nil }

func TestDeadLettersExpire(t *testing.T) {
	const days = 24 * time.Hour
	for text, want := range map[string]int{"": 2, "bus: {dead_letters: {retention: 0s}}": 3, "bus: {dead_letters: {retention: 3d}}": 1} {
		c, err := config.Parse("f", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		m := bus.NewMemory(bus.MemoryConfig{})
		t.Cleanup(func() { m.Close() })
		for range 3 {
			if _, err := m.Append(t.Context(), []*event.Event{logtest.Make(t, event.Draft{Type: "t"})}); err != nil {
				t.Fatal(err)
			}
		}
		dispatcher := delivery.New(delivery.Config{Store: m, Log: unread{m}})
		now := time.Now()
		var dead []event.Delivery
		for i, age := range []time.Duration{31, 29, 1} {
			dead = append(dead, event.Delivery{Handler: "h", Seq: uint64(i + 1), Status: event.StatusDead, At: now.Add(-age * days)})
		}
		if _, _, err := m.SaveDeliveries(t.Context(), nil, nil, dead, nil); err != nil {
			t.Fatal(err)
		}
		retention := DeadLetters{Retention: func() time.Duration { return c.Bus.DeadLetters.Retention }, Purge: dispatcher.Purge, Logger: slog.New(slog.DiscardHandler)}
		retention.Expire(t.Context(), now)
		left, _, err := dispatcher.DeadLetters(t.Context(), event.DeadFilter{}, "", 10)
		if err != nil || len(left) != want {
			t.Errorf("%q: %d are left, %v, want %d", text, len(left), err, want)
		}
		if err := dispatcher.Close(context.Background()); err != nil {
			t.Error(err)
		}
	}
}
