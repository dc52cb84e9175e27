package events

import (
	"testing"
	"time"

	"github.com/berth-host/berth/host/wire"
)

// Durations back from now are sent to the host as times.
func TestDeadLettersSince(t *testing.T) {
	now := time.Date(2026, 5, 1, 10, 0, 0, 0, time.UTC)
	got, err := deadLetterFilter(wire.DeadLetterFilter{Since: "1h", Until: "30m"}, now)
	if err != nil || got.Since != "2026-05-01T09:00:00Z" || got.Until != "2026-05-01T09:30:00Z" {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestSizes(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 1 << 20: "1.0 MiB", 5 << 29: "2.5 GiB", 1<<63 - 1: "8.0 EiB"} {
		if got := size(n); got != want {
			t.Errorf("%d: got %s, want %s", n, got, want)
		}
	}
	for s, want := range map[int64]string{0: "for ever", 60: "1m0s", 86400: "1d", 86400 + 30: "1d 30s"} {
		if got := retention(s); got != want {
			t.Errorf("%d: got %s, want %s", s, got, want)
		}
	}
}
