package delivery

import (
	"time"

	"github.com/berth-host/berth/host/spec"
)

// backoff returns how long to wait after the given number of attempts, at least one. It
// is between r.Backoff, doubled with each attempt, and twice that, for random in [0, 1):
// each backoff is longer than the one before, and none is shorter than r.Backoff. Once
// twice that exceeds MaxBackoff, it is between half of MaxBackoff and MaxBackoff.
func backoff(r spec.RetryPolicy, attempts int, random float64) time.Duration {
	hi := r.Backoff
	for range attempts {
		if hi >= r.MaxBackoff/2 {
			hi = r.MaxBackoff
			break
		}
		hi *= 2
	}
	lo := max(hi/2, min(r.Backoff, hi))
	return lo + time.Duration(float64(hi-lo)*random)
}
