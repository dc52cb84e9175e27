package garbage

import "testing"

// TestGuestsGarbageIsCollected: 64 MiB of it start the garbage collector, one at a time,
// unless that has run meanwhile.
func TestGuestsGarbageIsCollected(t *testing.T) {
	cycles := uint64(7)
	collections := func() uint64 { return cycles }
	g := &Counter{cycles: 7}
	step := func(what string, n int64, want bool) {
		t.Helper()
		if got := g.due(n, collections); got != want {
			t.Fatalf("%s: due is %v", what, got)
		}
	}
	step("a byte less than 64 MiB", 67108863, false)
	step("64 MiB", 1, true)
	cycles++
	step("while that is collected", 67108864, false)
	g.collecting = false
	step("garbage added meanwhile", 0, true)
	g.collecting = false
	cycles += 2
	step("the collector has run by itself", 67108864, false)
	step("a byte less than 64 MiB after that", 67108863, false)
	step("64 MiB after that", 1, true)
}
