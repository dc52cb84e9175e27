package spec

import "time"

// RetryPolicy bounds the attempts at one event.
type RetryPolicy struct {
	MaxAttempts int           // including the first; default 5
	Backoff     time.Duration // before the second attempt, doubled before each further one; default 200ms
	MaxBackoff  time.Duration // upper bound of the backoff; default 1m
}

// WithDefaults replaces zero and negative values by the defaults.
func (p RetryPolicy) WithDefaults() RetryPolicy {
	if p.MaxAttempts <= 0 {
		p.MaxAttempts = 5
	}
	p.Backoff = positive(p.Backoff, 200*time.Millisecond)
	p.MaxBackoff = positive(p.MaxBackoff, time.Minute)
	return p
}

// Wait returns how long to wait after the given number of attempts, at least one. It
// is between p.Backoff, doubled with each attempt, and twice that, for random in [0, 1):
// each backoff is longer than the one before, and none is shorter than p.Backoff. Once
// twice that exceeds MaxBackoff, it is between half of MaxBackoff and MaxBackoff.
func (p RetryPolicy) Wait(attempts int, random float64) time.Duration {
	hi := p.Backoff
	for range attempts {
		if hi >= p.MaxBackoff/2 {
			hi = p.MaxBackoff
			break
		}
		hi *= 2
	}
	lo := max(hi/2, min(p.Backoff, hi))
	return lo + time.Duration(float64(hi-lo)*random)
}
