package event

import (
	"testing"
	"time"

	"github.com/berth-host/berth/abi"
)

func TestDeferral(t *testing.T) {
	now := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		name string
		d    Deferral
		due  time.Time
		bad  bool
	}{
		{"at once", Deferral{}, now, false},
		{"at a time", Deferral{At: now.Add(time.Hour)}, now.Add(time.Hour), false},
		{"in the past", Deferral{At: now.Add(-time.Hour)}, now, false},
		{"after a while", Deferral{After: time.Minute}, now.Add(time.Minute), false},
		{"both", Deferral{At: now, After: time.Minute}, now, true},
		{"below zero", Deferral{After: -time.Second}, now, true},
		{"a year and a day later", Deferral{After: abi.MaxDeferral + time.Second}, now, true},
		{"at a time in two years", Deferral{At: now.Add(2 * abi.MaxDeferral)}, now, true},
	} {
		if err := tt.d.Check(now); (err != nil) != tt.bad {
			t.Errorf("%s: %v", tt.name, err)
		}
		if got := tt.d.Due(now); !tt.bad && !got.Equal(tt.due) {
			t.Errorf("%s: due at %v, want %v", tt.name, got, tt.due)
		}
		if tt.d.IsZero() != (tt.name == "at once") {
			t.Errorf("%s: IsZero is %v", tt.name, tt.d.IsZero())
		}
	}
}
