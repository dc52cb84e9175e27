package delivery

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/berth-host/berth/host/event"
)

// TestIndexIsAMap compares an index with a map, for both of a task's links at once.
func TestIndexIsAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var x [2]index
		var want [2]map[uint64]*task
		for i := range x {
			x[i].which, want[i] = i, make(map[uint64]*task)
		}
		// Few numbers, and far apart: they meet again, and share buckets.
		numbers := rapid.Custom(func(t *rapid.T) uint64 {
			return rapid.Uint64Range(0, 300).Draw(t, "number") << rapid.SampledFrom([]int{0, 6, 40}).Draw(t, "shift")
		})
		for range rapid.IntRange(1, 400).Draw(t, "steps") {
			n, i := numbers.Draw(t, "n"), rapid.IntRange(0, 1).Draw(t, "which")
			if rapid.Bool().Draw(t, "put") {
				fresh := &task{}
				if got := x[i].put(n, fresh); got != want[i][n] {
					t.Fatalf("put(%d) returns %p, want %p", n, got, want[i][n])
				}
				want[i][n] = fresh
				// In the other one as well, as tasks are.
				if want[1-i][n] == nil {
					x[1-i].put(n, fresh)
					want[1-i][n] = fresh
				}
			} else if got := x[i].remove(n); got != want[i][n] {
				t.Fatalf("remove(%d) returns %p, want %p", n, got, want[i][n])
			} else {
				delete(want[i], n)
			}
		}
		for i := range x {
			all := 0
			for range x[i].all {
				all++
			}
			if x[i].n != len(want[i]) || all != len(want[i]) {
				t.Fatalf("it counts %d and yields %d, want %d", x[i].n, all, len(want[i]))
			}
			for n, w := range want[i] {
				if got := x[i].get(n); got != w {
					t.Fatalf("get(%d) returns %p, want %p", n, got, w)
				}
			}
		}
	})
}

// TestReusedTaskIsClean: a reused task has nothing of its former event.
func TestReusedTaskIsClean(t *testing.T) {
	var h handler
	old := &task{lane: 1, users: 1, recorded: true, unstored: true, past: &event.Delivery{Attempts: 3}, lease: &Lease{}, slot: 2}
	h.drop(old)
	got := h.reuse(nil, 5)
	if len(got) != 1 || got[0] != old || len(h.free) != 0 {
		t.Fatalf("got %v, and %d are free", got, len(h.free))
	}
	if *got[0] != (task{}) {
		t.Fatalf("got %+v", got[0])
	}
}
