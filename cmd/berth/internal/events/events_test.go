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

func TestLogWithoutEvents(t *testing.T) {
	for _, tt := range []struct {
		s    wire.LogStatus
		want string
	}{
		{wire.LogStatus{}, "none yet"},
		{wire.LogStatus{LastSeq: 240}, "none; the last one was 240"},
		{wire.LogStatus{Events: 7, FirstSeq: 3, LastSeq: 9}, "7, from 3 to 9"},
	} {
		if got := content(tt.s); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
}

func TestRetention(t *testing.T) {
	for s, want := range map[int64]string{0: "for ever", 60: "1m0s", 86400: "1d", 86400 + 30: "1d 30s"} {
		if got := retention(s); got != want {
			t.Errorf("%d: got %s, want %s", s, got, want)
		}
	}
}
