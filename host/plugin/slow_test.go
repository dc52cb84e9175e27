package plugin

import (
	"testing"
	"time"
)

// TestSlowJob: a job is slow while it is loading, from its time on.
func TestSlowJob(t *testing.T) {
	at := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		name    string
		loading bool
		now     time.Time
		want    bool
	}{
		{"loading, before", true, at.Add(-1), false},
		{"loading, at the time", true, at, true},
		{"loading, after", true, at.Add(1), true},
		{"not loading, before", false, at.Add(-1), false},
		{"not loading, after", false, at.Add(1), false},
	} {
		j := &job{slowAt: at}
		j.loading.Store(tt.loading)
		if got := j.slow(tt.now); got != tt.want {
			t.Errorf("%s: got %v", tt.name, got)
		}
	}
}
