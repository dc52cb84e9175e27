package event_test

import (
	"strings"
	"testing"
	"time"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
)

func TestParsePosition(t *testing.T) {
	at := time.Date(2026, 5, 1, 10, 0, 0, 5e8, time.UTC)
	for text, want := range map[string]event.Position{
		"earliest":               {Earliest: true},
		"1":                      {Seq: 1},
		"0042":                   {Seq: 42},
		"9223372036854775807":    {Seq: 1<<63 - 1},
		"1h":                     {Ago: time.Hour},
		"90m":                    {Ago: 90 * time.Minute},
		"1.5h":                   {Ago: 90 * time.Minute},
		"7d":                     {Ago: 7 * 24 * time.Hour},
		"1d12h30m":               {Ago: 36*time.Hour + 30*time.Minute},
		"2026-05-01T10:00:00.5Z": {Time: at},
	} {
		if got, err := event.ParsePosition(text); err != nil || got != want {
			t.Errorf("%s: got %+v, %v, want %+v", text, got, err, want)
		}
	}
	for _, text := range []string{
		"", "0", "000", "-1", "+1", "1.5", "9223372036854775808", "now", "Earliest", "tomorrow", "1 h", "-1h", "0s", "0d", "1d-1h", "1d+1h", "1d24h", "+1d",
		"1.5d", "d", "1dd", "70000d", "36501d", "2026-05-01", "2026-05-01T10:00:00", "0001-01-01T00:00:00Z", "1969-12-31T23:00:00Z", strings.Repeat("1", 1000),
	} {
		if got, err := event.ParsePosition(text); !fault.Is(err, fault.Invalid) || len(err.Error()) > 300 {
			t.Errorf("%q: got %+v, %v, want a short error", text, got, err)
		}
	}
}

func TestPositionWhen(t *testing.T) {
	now := time.Date(2026, 5, 1, 10, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		position event.Position
		want     time.Time
	}{
		{event.Position{Ago: time.Hour}, now.Add(-time.Hour)},
		{event.Position{Time: now.Add(5)}, now.Add(5)},
		{event.Position{Seq: 7}, time.Time{}},
		{event.Position{Earliest: true}, time.Time{}},
	} {
		if got, ok := tt.position.When(now); !got.Equal(tt.want) || ok == tt.want.IsZero() {
			t.Errorf("%+v: got %v, %v", tt.position, got, ok)
		}
	}
}

// FuzzParsePosition: every text names exactly one position, or is refused.
func FuzzParsePosition(f *testing.F) {
	for _, text := range []string{"earliest", "12", "1d2h", "-1h", "2026-05-01T10:00:00+02:00", "0001-01-01T00:00:00Z", "1d", "9999999999999h", "\xff"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := event.ParsePosition(text)
		if err != nil {
			if !fault.Is(err, fault.Invalid) || p != (event.Position{}) {
				t.Fatalf("%q: got %+v, %v", text, p, err)
			}
			return
		}
		set := 0
		for _, is := range []bool{p.Seq > 0, !p.Time.IsZero(), p.Ago > 0, p.Earliest} {
			if is {
				set++
			}
		}
		if set != 1 || p.Ago < 0 {
			t.Fatalf("%q: got %+v", text, p)
		}
		if when, ok := p.When(time.Unix(1e9, 0)); ok && p.Ago > 0 && !when.Before(time.Unix(1e9, 0)) {
			t.Fatalf("%q is not before now: %v", text, when)
		}
	})
}
