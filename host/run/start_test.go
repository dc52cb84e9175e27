package run

import (
	"log/slog"
	"testing"
	"time"

	"github.com/berth-host/berth/host/bus"
	"github.com/berth-host/berth/host/config"
	"github.com/berth-host/berth/host/event"
)

func TestStartPositionOfNewHandler(t *testing.T) {
	c, err := config.Parse("f", []byte(`handlers: {a: {start: now}, b: {start: earliest}, c: {start: 1970-01-01T02:00:00Z}, d: {start: 1970-01-01T02:00:01Z}, e: {start: 2100-01-01T00:00:00Z}}`))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Unix(0, 0)
	log := bus.NewMemory(bus.MemoryConfig{Now: func() time.Time { return now }})
	defer log.Close() //nolint:errcheck // it is memory
	for range 3 {     // of the hours 1 to 3
		now = now.Add(time.Hour)
		ev, err := event.New(event.Draft{Type: "t"})
		if err != nil {
			t.Fatal(err)
		}
		_, err = log.Append(t.Context(), []*event.Event{ev})
		if err != nil {
			t.Fatal(err)
		}
	}
	start := StartPosition(log, func(handler string) config.Start { return c.Handlers[handler].Start }, slog.New(slog.DiscardHandler))
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
