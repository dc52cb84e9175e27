package host

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/berth-host/berth/host/bus"
	"github.com/berth-host/berth/host/config"
	"github.com/berth-host/berth/host/delivery"
	"github.com/berth-host/berth/host/event"
)

// lettersHost is a Host with a log of three events, of the hours 1 to 3.
func lettersHost(t *testing.T, text string) (*Host, engine) {
	t.Helper()
	c, err := config.Parse("f", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	h := &Host{logger: slog.New(slog.DiscardHandler)}
	h.current.Store(c)
	var hour time.Duration
	m := bus.NewMemory(bus.MemoryConfig{Now: func() time.Time { hour++; return time.Unix(0, 0).Add(hour * time.Hour) }})
	t.Cleanup(func() { m.Close() })
	for range 3 {
		ev, err := event.New(event.Draft{Type: "t"})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := m.Append(t.Context(), []*event.Event{ev}); err != nil {
			t.Fatal(err)
		}
	}
	return h, engine{eventLog: m}
}

func TestWhereAHandlerStarts(t *testing.T) {
	h, log := lettersHost(t, `handlers: {a: {start: now}, b: {start: earliest}, c: {start: 1970-01-01T02:00:00Z}, d: {start: 1970-01-01T02:00:01Z}, e: {start: 2100-01-01T00:00:00Z}}`)
	start := h.startOf(log)
	for handler, want := range map[string]uint64{"a": 3, "b": 0, "c": 1, "d": 2, "e": 3, "not in the file": 3} {
		if got, err := start(t.Context(), handler); got != want || err != nil {
			t.Errorf("%s: got %d, %v, want %d", handler, got, err, want)
		}
	}
	if n, err := log.Trim(t.Context(), 3); n != 2 || err != nil {
		t.Fatal(n, err)
	}
	if got, err := start(t.Context(), "b"); got != 2 || err != nil {
		t.Errorf("earliest after a trim: got %d, %v, want 2", got, err)
	}
}

func TestDeadLettersEnd(t *testing.T) {
	for text, want := range map[string]int{"": 2, "bus: {dead_letters: {retention: 0s}}": 3, "bus: {dead_letters: {retention: 3d}}": 1} {
		h, log := lettersHost(t, text)
		r := &runner{dispatcher: delivery.New(delivery.Config{Store: log, Log: deliveryLog{log: log}})}
		now := time.Now()
		var rows []event.Delivery
		for i, age := range []time.Duration{31, 29, 1} {
			rows = append(rows, event.Delivery{Handler: "h", Seq: uint64(i + 1), Status: event.StatusDead, At: now.Add(-age * 24 * time.Hour)})
		}
		if _, err := log.SaveDeliveries(t.Context(), rows, nil); err != nil {
			t.Fatal(err)
		}
		h.expireLetters(t.Context(), r, now)
		left, _, err := r.dispatcher.DeadLetters(t.Context(), event.DeadFilter{}, "", 10)
		if err != nil || len(left) != want {
			t.Errorf("%q: %d are left, %v, want %d", text, len(left), err, want)
		}
		if err := r.dispatcher.Close(context.Background()); err != nil {
			t.Error(err)
		}
	}
}
