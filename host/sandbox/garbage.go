package sandbox

import (
	"runtime"
	"runtime/metrics"
	"sync"
)

// collectAfter is how many bytes of guests' memory are left to the garbage collector
// before it is started. By itself it starts when the heap has doubled: beside guests that
// hold hundreds of megabytes, as much again would be left.
const collectAfter = 64 << 20

// garbage is the guests' memory that nobody needs any more and that may not be collected
// yet. It is safe for concurrent use.
type garbage struct {
	mu         sync.Mutex
	bytes      int64  // since the last look
	cycles     uint64 // of the collector, at the last look
	collecting bool
}

// add notes so many bytes. It collects, which takes milliseconds, when there are
// collectAfter of them and the collector has not begun since the last look.
func (g *garbage) add(n int64) {
	if g.due(n, collections) {
		runtime.GC()
		g.mu.Lock()
		g.collecting = false
		g.mu.Unlock()
	}
}

// due reports whether the caller shall collect.
func (g *garbage) due(n int64, collections func() uint64) bool {
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

// collections is how often the garbage collector has run.
func collections() uint64 {
	sample := []metrics.Sample{{Name: "/gc/cycles/total:gc-cycles"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}
