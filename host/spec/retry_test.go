package spec_test

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/berth-host/berth/host/spec"
)

// TestBackoffGrows: every backoff is within its bounds, and longer than the one before as
// long as MaxBackoff allows, for any random number.
func TestBackoffGrows(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := spec.RetryPolicy{
			Backoff:    time.Duration(rapid.Int64Range(1, int64(24*time.Hour)).Draw(t, "backoff")),
			MaxBackoff: time.Duration(rapid.Int64Range(1, int64(24*time.Hour)).Draw(t, "max")),
		}.WithDefaults()
		dice := rapid.OneOf(rapid.Just(0.0), rapid.Just(math.Nextafter(1, 0)), rapid.Float64Range(0, math.Nextafter(1, 0)))
		shortest := min(r.Backoff, r.MaxBackoff)
		before := time.Duration(0)
		for n := 1; n <= rapid.IntRange(1, 1000).Draw(t, "attempts"); n++ {
			d := r.Wait(n, dice.Draw(t, "random"))
			if d < shortest || d > r.MaxBackoff {
				t.Fatalf("after attempt %d: %v is not in [%v, %v]", n, d, shortest, r.MaxBackoff)
			}
			// 2·Backoff·2^(n-1), where it is not cut.
			if n < 40 && r.Backoff <= r.MaxBackoff>>n {
				if lo := r.Backoff << (n - 1); d < lo || d > 2*lo || d < before {
					t.Fatalf("after attempt %d: %v is not in [%v, %v] or shorter than the one before, %v", n, d, lo, 2*lo, before)
				}
			} else if d < r.MaxBackoff/2 {
				t.Fatalf("after attempt %d: %v is under half of max_backoff, %v", n, d, r.MaxBackoff)
			}
			before = d
		}
	})
}

// TestBackoffJitter: the jitter covers the whole range up to the doubled backoff.
func TestBackoffJitter(t *testing.T) {
	r := spec.RetryPolicy{Backoff: 100 * time.Millisecond, MaxBackoff: time.Second}
	for _, tt := range []struct {
		attempts int
		random   float64
		want     time.Duration
	}{
		{1, 0, 100 * time.Millisecond}, {1, 0.5, 150 * time.Millisecond}, {2, 0, 200 * time.Millisecond},
		{3, 0.75, 700 * time.Millisecond}, {4, 0, 500 * time.Millisecond}, {4, 0.5, 750 * time.Millisecond}, {999, 0, 500 * time.Millisecond},
	} {
		if got := r.Wait(tt.attempts, tt.random); got != tt.want {
			t.Errorf("Wait(%d, %v): got %v, want %v", tt.attempts, tt.random, got, tt.want)
		}
	}
}
