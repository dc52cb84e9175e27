package delivery

import (
	"testing"

	"pgregory.net/rapid"
)

// TestLanesAreAMap compares lanes with a map.
func TestLanesAreAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var l lanes
		want := make(map[uint64]*task)
		// Numbers repeat, and many belong to the same entries, also at the table's end.
		numbers := rapid.Custom(func(t *rapid.T) uint64 {
			return rapid.Uint64Range(0, 200).Draw(t, "number")<<rapid.SampledFrom([]int{0, 6, 40}).Draw(t, "shift") -
				rapid.SampledFrom([]uint64{0, 3}).Draw(t, "before")
		})
		for range rapid.IntRange(1, 400).Draw(t, "steps") {
			n := numbers.Draw(t, "n")
			if rapid.IntRange(0, 2).Draw(t, "put") > 0 {
				fresh := &task{}
				if got := l.put(n, fresh); got != want[n] {
					t.Fatalf("put(%d) returns %p, want %p", n, got, want[n])
				}
				want[n] = fresh
			} else {
				l.remove(n)
				delete(want, n)
			}
			if l.n != len(want) {
				t.Fatalf("it counts %d, want %d", l.n, len(want))
			}
			for n, w := range want {
				if got := l.get(n); got != w {
					t.Fatalf("get(%d) returns %p, want %p", n, got, w)
				}
			}
			if probe := numbers.Draw(t, "probe"); l.get(probe) != want[probe] {
				t.Fatalf("get(%d) returns %p, want %p", probe, l.get(probe), want[probe])
			}
		}
	})
}

// get returns the last task of a lane, nil if it has none.
func (l *lanes) get(number uint64) *task {
	if l.n == 0 {
		return nil
	}
	return l.entries[l.at(number)].last
}
