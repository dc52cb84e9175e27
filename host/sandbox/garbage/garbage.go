// Package garbage counts discarded guest memory, and starts the garbage collector.
package garbage

import (
	"runtime"
	"runtime/metrics"
	"sync"
)

// collectAfter is how many bytes of discarded guest memory start the garbage collector.
// By itself it starts when the heap has doubled: beside guests that have hundreds of
// megabytes, as much again would be garbage.
const collectAfter = 64 << 20

// Counter counts the guest memory that was discarded and may not be collected yet. The
// zero value counts nothing yet. It is safe for concurrent use.
type Counter struct {
	mu         sync.Mutex
	bytes      int64  // since the last check
	cycles     uint64 // of the collector, at the last check
	collecting bool
}

// Add counts n bytes. It collects, which takes milliseconds, when there are collectAfter
// bytes and the collector has not run since the last check.
func (g *Counter) Add(n int64) {
	if g.due(n, collections) {
		runtime.GC()
		g.mu.Lock()
		g.collecting = false
		g.mu.Unlock()
	}
}

// Pending returns the bytes since the last check.
func (g *Counter) Pending() int64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.bytes
}

// due counts n bytes, and reports whether the caller must collect.
func (g *Counter) due(n int64, collections func() uint64) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.bytes += n; g.bytes < collectAfter || g.collecting {
		return false
	}
	g.bytes = 0
	cycles := collections()
	if cycles != g.cycles {
		g.cycles = cycles
		return false
	}
	g.cycles++ // the caller's
	g.collecting = true
	return true
}

// collections returns how often the garbage collector has run.
func collections() uint64 {
	sample := []metrics.Sample{{Name: "/gc/cycles/total:gc-cycles"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}
