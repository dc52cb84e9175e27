package cluster

import "time"

// The times of a lease.
const (
	BeatEvery = 750 * time.Millisecond // between two renewals
	BeginFor  = 2 * time.Second        // no attempt begins on an older lease
	LeaseFor  = 3 * time.Second        // attempts are cancelled, and other hosts take the units
)

var started = time.Now()
